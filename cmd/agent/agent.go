// Package agent has the commands of the agent, and the logins behind its socket.
package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/agent"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/process"
)

// agentPlaces is how many connections the agent serves at once.
const agentPlaces = 512

type agentOptions struct {
	Detach      bool          `flag:"detach" help:"run in the background; return once the agent is ready"`
	ForgetAfter time.Duration `flag:"forget-after" help:"forget logins that were not used for this {TIME}"`
}

// defaultForgetAfter is how long the agent caches a login that is not used.
const defaultForgetAfter = time.Hour

func New(a *app.App) *cobra.Command {
	c := usage.Command(a, &cobra.Command{
		Use:   "agent",
		Short: "Cache open logins for scripts and other machines",
		Long: `Cache opened logins in memory, for 'fob token' and all other commands that need a
token: they are faster, and need no passphrase each time. Secrets are not cached. The
agent is optional: without it every command opens the login itself. Refresh tokens are not cached: they are read
only for a refresh, and nothing is refreshed early.

Logins that are not used for a while are forgotten; 'fob agent lock' forgets them all.
Only your own programs can use the agent. 'fob agent forward' lets another machine use
it over ssh. FOB_AGENT is the path of another socket, or "off".`,
		Example: `  fob agent --detach
  fob agent --forget-after 10m
  fob agent lock`,
		Args: usage.NoSuchCommand,
	}, agentOptions{ForgetAfter: defaultForgetAfter}, runAgent, cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitStorage)
	lock := newAgentOrderCmd(a, agent.DoLock, "Lock the agent: forget everything",
		`Overwrite the key of the agent's memory: it forgets everything, and refuses all
requests until 'fob agent unlock'. The lock covers only the agent: commands here still
open logins themselves.`, "The agent is locked, and has forgotten everything. Commands on this machine still open logins themselves.")
	stop := newAgentOrderCmd(a, agent.DoStop, "Stop the agent",
		"Stop the agent. It finishes the requests in progress, then forgets everything.", "The agent has stopped.")
	c.AddCommand(newAgentStatusCmd(a), lock, newAgentUnlockCmd(a), newAgentForwardCmd(a), stop)
	return c
}

func agentSocket(a *app.App) (string, error) {
	path, named, err := a.AgentSocket()
	if err != nil || path != "" {
		return path, err
	}
	if named {
		return "", cli.WithHint(cli.Usagef("FOB_AGENT is off"), "unset it, or set it to the path of a socket")
	}
	paths, err := a.Paths()
	if err != nil {
		return "", err
	}
	err = agent.CheckPath(filepath.Join(paths.Runtime, app.AgentSocketName))
	return "", cli.WithHint(cli.AsUsage(err), "set FOB_AGENT to the path of a socket elsewhere")
}

func runAgent(ctx context.Context, a *app.App, _ []string, opts agentOptions) error {
	if opts.ForgetAfter <= 0 {
		return cli.WithHint(cli.Usagef("--forget-after must be positive, not %s", opts.ForgetAfter), "write --forget-after like 10m or 8h")
	}
	path, err := agentSocket(a)
	if err != nil {
		return err
	}
	if opts.Detach {
		return detachAgent(ctx, a, path, opts)
	}
	memory, err := newMemory(ctx, a, opts.ForgetAfter)
	if err != nil {
		return err
	}
	defer func() { _ = memory.Close() }()
	home, err := a.AgentHome()
	if err != nil {
		return err
	}
	listener, err := agent.Listen(ctx, path)
	if errors.Is(err, agent.ErrRunning) {
		return cli.WithHint(err, "see 'fob agent status', or stop it: 'fob agent stop'")
	}
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGHUP) // of a terminal that is closed
	ctx, cancel := context.WithCancel(ctx)
	defer stop()
	a.ForgetSecrets()
	handler := agent.NewHandler(home, tokens{a, memory}, memory, opts.ForgetAfter, func() {
		cancel() // the socket is gone before the answer is sent
		_ = listener.Close()
	})
	a.Note("The agent listens on %s.", path)
	noteMissingKey(a, handler.Status())
	go memory.ForgetUntil(ctx.Done())
	if err := agent.Serve(ctx, listener, agentPlaces, handler.Answer); err != nil {
		return err
	}
	a.Note("The agent has stopped, and forgotten everything.")
	return nil
}

func newMemory(ctx context.Context, a *app.App, forgetAfter time.Duration) (*agent.Memory, error) {
	memory, err := agent.NewMemory(forgetAfter, elapsed(a))
	if err != nil {
		return nil, cli.WithHint(err, "raise 'ulimit -l': one page is required")
	}
	if a.Getenv(app.SealKeyVariable) != "" {
		key, err := filesKey(ctx, a)
		if err != nil {
			return nil, errors.Join(err, memory.Close())
		}
		memory.PutSealKey(key)
	}
	return memory, nil
}

func noteMissingKey(a *app.App, s *agent.Status) {
	if s != nil && s.NeedsKey {
		a.Note("It cannot open logins in files yet; send it their key: 'fob agent unlock'.")
	}
}

// detachAgent starts the agent in its own session, without this terminal.
func detachAgent(ctx context.Context, a *app.App, path string, opts agentOptions) error {
	if _, err := agent.Ask(ctx, path, agent.Request{Do: agent.DoStatus}, app.NoteLine(a)); err == nil {
		a.Note("An agent already listens on %s.", path)
		return nil
	}
	child, err := detached(ctx, a, "agent", "--forget-after", opts.ForgetAfter.String())
	if err != nil {
		return err
	}
	if err := child.Start(); err != nil {
		return fmt.Errorf("starting the agent: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		_ = child.Wait()
		close(ended)
	}()
	status, err := awaitAgent(ctx, path, ended)
	if err != nil {
		_ = child.Process.Kill()
		return err
	}
	a.Note("The agent listens on %s.", path)
	if !status.NeedsKey {
		return nil
	}
	if source, err := filesKeySource(a); err == nil && source.Name == app.PassphraseSource && !a.Interactive() {
		noteMissingKey(a, status)
		return nil
	}
	sent, err := sendKey(ctx, a)
	if !sent {
		noteMissingKey(a, status)
	}
	return err
}

// detached returns a child that runs fob itself, with this environment without its secrets.
func detached(ctx context.Context, a *app.App, args ...string) (*process.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	home, err := a.AgentHome()
	if err != nil {
		return nil, err
	}
	child := process.Command(context.WithoutCancel(ctx), self, args...)
	child.Args[0] = os.Args[0]
	if child.Env, err = a.ChildEnviron(false, nil); err != nil {
		return nil, err
	}
	if path := a.Getenv("FOB_PASSPHRASE_FILE"); path != "" {
		child.Env = append(child.Env, "FOB_PASSPHRASE_FILE="+path)
	}
	if a.Getenv("FOB_CONFIG") != "" {
		child.Env = append(child.Env, "FOB_CONFIG="+home.Config)
	}
	child.Dir = string(filepath.Separator) // so that any folder can be unmounted
	child.SysProcAttr = process.OwnSession()
	return child, nil
}

const (
	agentStart     = 10 * time.Second
	agentLookEvery = 5 * time.Millisecond
)

func awaitAgent(ctx context.Context, path string, ended <-chan struct{}) (*agent.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, agentStart)
	defer cancel()
	look := time.NewTicker(agentLookEvery)
	defer look.Stop()
	for {
		select {
		case <-ended:
			return nil, cli.WithHint(errors.New("the agent exited at once"), "run 'fob agent' without --detach to see why")
		case <-ctx.Done():
			return nil, cli.WithHint(errors.New("the agent was started, but does not respond"), "run 'fob agent' without --detach to see it")
		case <-look.C:
			if answer, err := agent.Ask(ctx, path, agent.Request{Do: agent.DoStatus}, func(string) {}); err == nil && answer.Status != nil {
				return answer.Status, nil
			}
		}
	}
}

// filesKey returns the key of the sealed files if the agent cannot find it: from
// FOB_SEAL_KEY, which the agent does not inherit, or from a typed passphrase; else nil.
func filesKey(ctx context.Context, a *app.App) ([]byte, error) {
	source, err := filesKeySource(a)
	if err != nil || source.Open == nil {
		return nil, err
	}
	key, err := source.Open(ctx, false)
	switch {
	case errors.Is(err, credstore.ErrNoKey): // there is no passphrase
		return nil, nil
	case err != nil:
		return nil, err
	}
	return key.Bytes(), nil
}

// filesKeySource returns the source for filesKey. Its Open is nil if there is none, or no
// login in files.
func filesKeySource(a *app.App) (app.KeySource, error) {
	cfg, err := a.Config()
	if err != nil || !cfg.UsesStorage(config.StorageFile) {
		return app.KeySource{}, err
	}
	source := a.FileKey(cfg)
	typed := source.Name == app.PassphraseSource && a.Getenv("FOB_PASSPHRASE_FILE") == "" && len(cfg.PassphraseCommand) == 0
	if !typed && source.Name != app.SealKeyVariable {
		return app.KeySource{}, nil
	}
	return source, nil
}
