package cmd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/agent"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/safetext"
)

type agentForwardOptions struct {
	args     []string
	profiles []string
	confirm  bool
}

func newAgentForwardCmd(a *app) *cobra.Command {
	var opts agentForwardOptions
	c := &cobra.Command{
		Use:   "forward [SOCKET] --profile NAME",
		Short: "Let another machine ask for access tokens, over ssh",
		Long: `Open another socket for 'ssh -R', until Ctrl-C. Who asks there gets the access tokens of
the profiles that are named, and nothing else: no id_token, no token for other scopes or
APIs, no refresh before it is due, no say over the agent. Each request is told here.

With --confirm each is asked about: here, or by the program that SSH_ASKPASS names.
'fob agent lock' stops it all.

` + exitHelp(exitDone, exitFailed, exitUsage, exitStorage, exitInterrupted),
		Example: `  fob agent forward --profile work --confirm
  ssh -R /tmp/fob.sock:$XDG_RUNTIME_DIR/fob/forward.sock build.example.com
  FOB_AGENT=/tmp/fob.sock fob token work`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.args = args
			return a.runAgentForward(cmd.Context(), opts)
		},
	}
	c.Flags().StringArrayVar(&opts.profiles, "profile", nil, "give out tokens of this `PROFILE`; repeatable")
	c.Flags().BoolVar(&opts.confirm, "confirm", false, "ask before each token")
	_ = c.RegisterFlagCompletionFunc("profile", a.completeProfiles)
	return c
}

func (a *app) runAgentForward(ctx context.Context, opts agentForwardOptions) error {
	if len(opts.profiles) == 0 {
		return withHint(usagef("no profile is named"), "name those that the other machine may use: --profile work")
	}
	for _, name := range opts.profiles {
		if _, err := a.profile([]string{name}); err != nil {
			return err
		}
	}
	f := &forwarder{a: a, profiles: opts.profiles, asking: make(chan struct{}, 1)}
	if opts.confirm {
		if err := f.askHow(); err != nil {
			return err
		}
	}
	var err error
	if f.upstream, err = a.agentPlace(); err != nil {
		return err
	}
	if f.home, err = a.agentHome(); err != nil {
		return err
	}
	if _, err := a.askAgent(ctx, agent.Request{Do: agent.DoStatus}); err != nil {
		return err
	}
	path, err := forwardSocket(opts.args, f.upstream)
	if err != nil {
		return err
	}
	listener, err := agent.Listen(ctx, path)
	if errors.Is(err, agent.ErrRunning) {
		err = withHint(err, "name another SOCKET for this one")
	}
	if err != nil {
		return err
	}
	a.note("Tokens of %s are given out at %s, until Ctrl-C.", strings.Join(opts.profiles, ", "), path)
	a.note("ssh -R /tmp/fob.sock:%s HOST, and there FOB_AGENT=/tmp/fob.sock fob token %s", path, opts.profiles[0])
	return agent.Serve(ctx, listener, f.answer)
}

// forwardSocket is beside the agent's own, if none is named.
func forwardSocket(args []string, upstream string) (string, error) {
	path := filepath.Join(filepath.Dir(upstream), forwardSocketName)
	if len(args) > 0 {
		var err error
		if path, err = filepath.Abs(args[0]); err != nil {
			return "", err
		}
	}
	if !agent.PathFits(path) {
		return "", withHint(usagef("%q is no path of a socket", path), "name one of 100 characters at most")
	}
	return path, nil
}

// forwarder passes on what others may ask the agent.
type forwarder struct {
	a        *app
	profiles []string
	upstream string
	home     agent.Home

	confirm func(ctx context.Context, question string) bool // nil: nobody is asked
	asking  chan struct{}                                   // holds who asks the person
}

func (f *forwarder) answer(ctx context.Context, r agent.Request, note func(string)) agent.Answer {
	profile := safetext.Line(r.Profile)
	if err := f.check(ctx, r); err != nil {
		f.a.note("%s: refused: %s", profile, err)
		return agent.Answer{Failure: &agent.Failure{Error: err.Error(), Hint: hintIn(err), Status: exitRefused, Ask: true}}
	}
	answer, err := agent.Ask(ctx, f.upstream, agent.Request{Do: agent.DoToken, Home: f.home, Profile: r.Profile}, note)
	switch {
	case err != nil:
		answer = cannot("the agent on the machine where the login is does not answer", "see 'fob agent status' there")
		f.a.note("%s: %s", profile, safetext.Line(err.Error()))
	case answer.Failure != nil:
		f.a.note("%s: %s", profile, safetext.Line(answer.Failure.Error))
	default:
		f.a.note("%s: a token was given.", profile)
	}
	return answer
}

// check is the policy.
func (f *forwarder) check(ctx context.Context, r agent.Request) error {
	switch {
	case r.Do != agent.DoToken || r.IDToken:
		return errors.New("a forwarded agent gives out access tokens alone")
	case config.ValidName(r.Profile) != nil || !slices.Contains(f.profiles, r.Profile):
		return withHint(fmt.Errorf("profile %q is not forwarded", safetext.Line(r.Profile)), "where the login is: 'fob agent forward --profile NAME'")
	case r.Scope != "" || r.Resource != "":
		return withHint(errors.New("a forwarded agent gives out the login's own tokens alone"), "leave out --scope and --resource")
	case r.ForceRefresh || r.MinTTL != nil:
		return withHint(errors.New("a forwarded agent refreshes when it has to, and never before"), "leave out --force-refresh, --min-ttl and FOB_MIN_TTL")
	case f.confirm == nil:
		return nil
	}
	select { // one question at a time
	case f.asking <- struct{}{}:
		defer func() { <-f.asking }()
	case <-ctx.Done():
		return ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, confirmWait)
	defer cancel()
	if !f.confirm(ctx, fmt.Sprintf("Another machine asks for a token of profile %q. Give it one?", r.Profile)) {
		return errors.New("the person at the agent did not agree")
	}
	return nil
}

// confirmWait is how long a person has to answer.
const confirmWait = time.Minute

// askHow finds who can be asked: the person at this terminal, else the program that ssh
// asks with (SSH_ASKPASS in ssh(1)).
func (f *forwarder) askHow() error {
	if f.a.interactive() {
		f.confirm = f.a.confirmLines()
		return nil
	}
	program := f.a.getenv("SSH_ASKPASS")
	if program == "" {
		return withHint(usagef("nobody can be asked here: there is no terminal, and SSH_ASKPASS names no program"), "run it on a terminal, or leave out --confirm")
	}
	path, err := exec.LookPath(program)
	if err != nil {
		return withHint(usagef("the program that SSH_ASKPASS names cannot be run"), "set it to the path of one, such as ssh-askpass")
	}
	f.confirm = func(ctx context.Context, question string) bool {
		child := exec.CommandContext(ctx, path, question)
		child.Env = append(os.Environ(), "SSH_ASKPASS_PROMPT=confirm")
		child.Stderr = f.a.stderr
		return child.Run() == nil
	}
	return nil
}

// confirmLines asks again and again on one terminal: a line that was typed to a question
// which nobody waits for any more answers no other.
func (a *app) confirmLines() func(context.Context, string) bool {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for in := bufio.NewScanner(a.stdin); in.Scan(); {
			lines <- strings.TrimSpace(in.Text())
		}
	}()
	return func(ctx context.Context, question string) bool {
		for drained := false; !drained; {
			select {
			case _, open := <-lines:
				drained = !open
			default:
				drained = true
			}
		}
		fmt.Fprintf(a.stderr, "%s [y/N] ", question)
		select {
		case answer := <-lines:
			return isYes(answer)
		case <-ctx.Done():
			a.note("")
			return false
		}
	}
}
