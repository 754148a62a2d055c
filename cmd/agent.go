package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/agent"
	"github.com/fobcli/fob/internal/config"
)

type agentOptions struct {
	detach      bool
	forgetAfter time.Duration
}

// defaultForgetAfter is how long the agent holds what nobody asks for.
const defaultForgetAfter = time.Hour

func newAgentCmd(a *app) *cobra.Command {
	var opts agentOptions
	c := &cobra.Command{
		Use:   "agent",
		Short: "Hold logins open, for scripts and for other machines",
		Long: `Hold what is opened of logins in memory, and answer 'fob token' and all else that
needs a token here: faster, and without a passphrase each time. It is optional: without
it every command does the same by itself. A refresh token is read for a refresh alone,
and nothing is refreshed before it has to be.

What nobody asks for is forgotten after a while, all of it by 'fob agent lock'. Only
programs of this user may ask. 'fob agent forward' lets another machine ask over ssh.

FOB_AGENT names another socket, or is "off".

` + exitHelp(exitDone, exitFailed, exitUsage, exitStorage, exitInterrupted),
		Example: `  fob agent --detach
  fob agent --forget-after 10m
  fob agent lock`,
		Args: noKeyArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runAgent(cmd.Context(), a, opts)
		},
	}
	c.Flags().BoolVar(&opts.detach, "detach", false, "go on in the background, and return when it answers")
	c.Flags().DurationVar(&opts.forgetAfter, "forget-after", defaultForgetAfter, "forget what was not asked for in this `TIME`")
	c.AddCommand(newAgentStatusCmd(a), newAgentLockCmd(a), newAgentUnlockCmd(a), newAgentForwardCmd(a), newAgentStopCmd(a))
	return c
}

// The sockets in the folder for them.
const (
	agentSocketName   = "agent.sock"
	forwardSocketName = "forward.sock"
)

// agentOff is the value of FOB_AGENT that means none.
const agentOff = "off"

// agentSocket is where the agent listens, or "". named: FOB_AGENT says so.
func (a *app) agentSocket() (path string, named bool, err error) {
	switch given := a.getenv("FOB_AGENT"); {
	case given == agentOff:
		return "", true, nil
	case given != "":
		if !agent.PathFits(given) {
			return "", true, withHint(usagef("FOB_AGENT is no path of a socket: %q", given), "set it to an absolute path of 100 characters at most, or to off")
		}
		return given, true, nil
	}
	paths, err := a.paths()
	path = filepath.Join(paths.Runtime, agentSocketName)
	if err != nil || !agent.PathFits(path) {
		path = ""
	}
	return path, false, err
}

// agentPlace is agentSocket for who needs one.
func (a *app) agentPlace() (string, error) {
	path, _, err := a.agentSocket()
	if err == nil && path == "" {
		err = withHint(usagef("there is no place for the agent's socket: FOB_AGENT is off, or the folder's name too long"), "set FOB_AGENT to an absolute path of 100 characters at most")
	}
	return path, err
}

// agentHome is whose logins a request of this process means.
func (a *app) agentHome() (agent.Home, error) {
	paths, err := a.paths()
	if err != nil {
		return agent.Home{}, err
	}
	configFile := paths.Config
	if configFile != "" {
		configFile, err = filepath.Abs(configFile) // FOB_CONFIG may be relative
	}
	return agent.Home{Config: configFile, Data: paths.Data, Cache: paths.Cache, Storage: a.getenv("FOB_STORAGE")}, err
}

func runAgent(ctx context.Context, a *app, opts agentOptions) error {
	if opts.forgetAfter <= 0 {
		return withHint(usagef("an agent that forgets after %s holds nothing", opts.forgetAfter), "write --forget-after like 10m or 8h")
	}
	path, err := a.agentPlace()
	if err != nil {
		return err
	}
	if opts.detach {
		return a.detachAgent(ctx, path, opts)
	}
	if err := agent.Harden(); err != nil {
		return fmt.Errorf("keeping the agent's memory from other programs: %w", err)
	}
	memory, err := agent.NewMemory(opts.forgetAfter, a.elapsed())
	if err != nil {
		return withHint(err, "see 'ulimit -l': one page is needed")
	}
	defer func() { _ = memory.Close() }()
	listener, err := agent.Listen(ctx, path)
	if errors.Is(err, agent.ErrRunning) {
		return withHint(err, "see 'fob agent status'; 'fob agent stop' ends it")
	}
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	home, err := a.agentHome()
	if err != nil {
		return err
	}
	keeper := &agentKeeper{a: a, home: home, memory: memory, forgetAfter: opts.forgetAfter}
	keeper.stop = func() { // the socket is gone before who asked for it hears so
		stop()
		_ = listener.Close()
	}
	a.note("The agent listens at %s.", path)
	a.noteLockedFiles()
	go memory.ForgetUntil(ctx.Done())
	if err := agent.Serve(ctx, listener, keeper.answer); err != nil {
		return err
	}
	a.note("The agent has ended, and forgotten everything.")
	return nil
}

// elapsed is a clock that goes on while the machine sleeps, and that nobody sets back.
func (a *app) elapsed() func() time.Duration {
	start := time.Now()
	return func() time.Duration {
		if up := a.clock.Uptime(); up.Boot != "" {
			return up.Time
		}
		return time.Since(start)
	}
}

// detachAgent starts the agent in a session of its own, without this terminal.
func (a *app) detachAgent(ctx context.Context, path string, opts agentOptions) error {
	if _, err := agent.Ask(ctx, path, agent.Request{Do: agent.DoStatus}, a.agentNote); err == nil {
		a.note("An agent listens at %s already.", path)
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	child := exec.CommandContext(context.WithoutCancel(ctx), self, "agent", "--forget-after", opts.forgetAfter.String())
	child.Args[0] = os.Args[0]
	child.Env = a.agentEnviron()
	child.SysProcAttr = ownSession()
	if err := child.Start(); err != nil {
		return fmt.Errorf("starting the agent: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		_ = child.Wait()
		close(ended)
	}()
	if err := awaitAgent(ctx, path, ended); err != nil {
		_ = child.Process.Kill()
		return err
	}
	a.note("The agent listens at %s.", path)
	if a.interactive() && a.filesNeedPassphrase() {
		return a.unlockAgent(ctx)
	}
	a.noteLockedFiles()
	return nil
}

// agentEnviron is what the agent gets of this environment: where fob's files are and how
// they open, and nothing that answers for a login.
func (a *app) agentEnviron() []string {
	environ := os.Environ() // without secrets: see takeEnviron
	for _, name := range []string{"FOB_SEAL_KEY", "FOB_PASSPHRASE_FILE"} {
		if value := a.getenv(name); value != "" {
			environ = append(environ, name+"="+value)
		}
	}
	return environ
}

const (
	agentStart     = 10 * time.Second
	agentLookEvery = 5 * time.Millisecond
)

// awaitAgent waits until the agent that was just started answers.
func awaitAgent(ctx context.Context, path string, ended <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, agentStart)
	defer cancel()
	look := time.NewTicker(agentLookEvery)
	defer look.Stop()
	for {
		select {
		case <-ended:
			return withHint(errors.New("the agent ended at once"), "run 'fob agent' without --detach: it says why")
		case <-ctx.Done():
			return withHint(errors.New("the agent was started, and does not answer"), "run 'fob agent' without --detach to see it")
		case <-look.C:
			if _, err := agent.Ask(ctx, path, agent.Request{Do: agent.DoStatus}, func(string) {}); err == nil {
				return nil
			}
		}
	}
}

// filesNeedPassphrase reports whether some login lies in files that open with a
// passphrase which a person has to type.
func (a *app) filesNeedPassphrase() bool {
	paths, err := a.paths()
	if err != nil {
		return false
	}
	cfg, err := a.config()
	if err != nil || !a.usesFiles(cfg) {
		return false
	}
	return a.fileKey(paths, cfg).name == passphraseSource && a.getenv("FOB_PASSPHRASE_FILE") == "" && len(cfg.PassphraseCommand) == 0
}

// usesFiles reports whether the login of some profile lies in files.
func (a *app) usesFiles(cfg *config.Config) bool {
	for _, p := range cfg.Profiles {
		if name, err := a.storageName(cfg, p); err == nil && name == storageFile {
			return true
		}
	}
	return false
}

func (a *app) noteLockedFiles() {
	if a.filesNeedPassphrase() {
		a.note("It opens no login in files before it has the passphrase: 'fob agent unlock'.")
	}
}
