package agent

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/complete"
	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/agent"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/sanitize"
)

type agentForwardOptions struct {
	args     []string
	profiles []string
	confirm  bool
}

func newAgentForwardCmd(a *app.App) *cobra.Command {
	var opts agentForwardOptions
	c := &cobra.Command{
		Use:   "forward [SOCKET] --profile NAME",
		Short: "Let another machine ask for access tokens, over ssh",
		Long: `Open another socket of the agent that runs here, for 'ssh -R', until Ctrl-C; the whole
line is printed. Who asks there gets the access tokens of the profiles that are named,
and nothing else: no id_token, no token for other scopes or APIs, no refresh before it is
due, no say over the agent. Each request is told here.

With --confirm each is asked about: here, or by the program that SSH_ASKPASS names.
'fob agent lock' stops it all.

` + usage.ExitHelp(cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitStorage),
		Example: `  fob agent forward --profile work --confirm
  fob agent forward ~/.fob-forward.sock --profile work
  ssh -R /tmp/fob.sock:$HOME/.fob-forward.sock build.example.com
  FOB_AGENT=/tmp/fob.sock fob token work`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.args = args
			return runAgentForward(cmd.Context(), a, opts)
		},
	}
	c.Flags().StringArrayVar(&opts.profiles, "profile", nil, "give out tokens of this `PROFILE`; repeatable")
	c.Flags().BoolVar(&opts.confirm, "confirm", false, "ask before each token")
	_ = c.RegisterFlagCompletionFunc("profile", complete.For(a).Profiles)
	return c
}

// forwardPlaces is how many of another machine are served at once.
const forwardPlaces = 16

func runAgentForward(ctx context.Context, a *app.App, opts agentForwardOptions) error {
	if len(opts.profiles) == 0 {
		return cli.WithHint(cli.Usagef("no profile is named"), "name those that the other machine may use: --profile work")
	}
	for _, name := range opts.profiles {
		if name == "" {
			return cli.WithHint(cli.Usagef("--profile is empty"), "give it a value; in a script, see whether the variable is set")
		}
		if _, err := a.Profile([]string{name}); err != nil {
			return err
		}
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	f := &forwarder{a: a, profiles: opts.profiles, ending: ctx}
	var err error
	if opts.confirm {
		if f.confirm, err = newConfirmer(a, stop); err != nil {
			return err
		}
	}
	if f.upstream, err = agentPlace(a); err != nil {
		return err
	}
	if f.home, err = a.AgentHome(); err != nil {
		return err
	}
	if _, err := askAgent(ctx, a, agent.Request{Do: agent.DoStatus}); err != nil {
		return err
	}
	path, err := forwardSocket(opts.args, f.upstream)
	if err != nil {
		return err
	}
	listener, err := agent.Listen(ctx, path)
	if errors.Is(err, agent.ErrRunning) {
		err = cli.WithHint(err, "name another SOCKET for this one")
	}
	if err != nil {
		return err
	}
	a.Note("Tokens of %s are given out at %s, until Ctrl-C.", strings.Join(opts.profiles, ", "), path)
	a.Note("ssh -R /tmp/fob.sock:%s HOST, and there FOB_AGENT=/tmp/fob.sock fob token %s", path, opts.profiles[0])
	return agent.Serve(ctx, listener, forwardPlaces, f.answer)
}

// forwardSocket is beside the agent's own, if none is named.
func forwardSocket(args []string, upstream string) (string, error) {
	if len(args) == 0 {
		return filepath.Join(filepath.Dir(upstream), app.ForwardSocketName), nil
	}
	if !strings.ContainsRune(args[0], filepath.Separator) {
		return "", cli.WithHint(cli.Usagef("%q is no path of a socket", sanitize.Line(args[0])), "write ./%s for one in this folder; profiles are named by --profile", args[0])
	}
	path, err := filepath.Abs(args[0])
	if err != nil {
		return "", err
	}
	if err := agent.CheckPath(path); err != nil {
		return "", cli.WithHint(cli.AsUsage(err), "name a shorter path")
	}
	return path, nil
}

// forwarder passes on what others may ask the agent.
type forwarder struct {
	a        *app.App
	profiles []string
	upstream string
	home     agent.Home
	confirm  *confirmer      // nil: nobody is asked
	ending   context.Context // ends with the forwarding
}

func (f *forwarder) answer(ctx context.Context, r agent.Request, _ func(string)) agent.Answer {
	if r.Do == agent.DoStatus {
		return agent.Answer{Status: &agent.Status{Forwarded: true, Profiles: f.profiles}}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(f.ending, cancel)()
	if err := f.check(r); err != nil {
		f.note("refused: %s", err)
		return f.refusal(err)
	}
	if err := f.agreed(ctx, r.Profile); err != nil {
		f.note("%s: refused: %s", r.Profile, err)
		return f.refusal(err)
	}
	answer, err := agent.Ask(ctx, f.upstream, agent.Request{
		Do: agent.DoToken, Home: f.home, Profile: r.Profile, Issuer: r.Issuer, ClientID: r.ClientID,
	}, func(string) {})
	switch {
	case err != nil:
		f.note("%s: %s", r.Profile, sanitize.Line(err.Error()))
		return cannot("the agent where the login is does not answer", "there: 'fob agent status'")
	case answer.Failure != nil:
		f.note("%s: %s", r.Profile, sanitize.Line(answer.Failure.Error))
		return agent.Answer{Failure: withoutDetails(answer.Failure)}
	case answer.Token == nil:
		return cannot("the agent where the login is is of another version", "there: 'fob agent stop', and start it again")
	}
	f.note("%s: a token was given.", r.Profile)
	return answer
}

// check is the policy: an access token of a profile that is named, as it is, and nothing
// else.
func (f *forwarder) check(r agent.Request) error {
	switch {
	case r.Do != agent.DoToken || r.IDToken:
		return cli.WithHint(errors.New("a forwarded agent gives out access tokens alone"), "the agent itself obeys where the login is")
	case config.ValidName(r.Profile) != nil || !slices.Contains(f.profiles, r.Profile):
		return cli.WithHint(errors.New("the profile is not forwarded"), "'fob agent status' lists those that are; where the login is: 'fob agent forward --profile NAME'")
	case r.Scope != "" || r.Resource != "":
		return cli.WithHint(errors.New("a forwarded agent gives out the login's own tokens alone"), "leave out --scope and --resource")
	case r.ForceRefresh || r.MinTTL != nil:
		return cli.WithHint(errors.New("a forwarded agent refreshes when it has to, and never before"), "leave out --force-refresh, --min-ttl and FOB_MIN_TTL")
	}
	return nil
}

// agreed asks the person, if one is to be asked.
func (f *forwarder) agreed(ctx context.Context, profile string) error {
	if f.confirm == nil {
		return nil
	}
	return f.confirm.ask(ctx, fmt.Sprintf("Another machine asks for a token of profile %q. Give it one?", profile))
}

// note tells the person here, not within an open question.
func (f *forwarder) note(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if f.confirm != nil {
		f.confirm.note(line)
	} else {
		f.a.Note("%s", line)
	}
}

func (f *forwarder) refusal(err error) agent.Answer {
	return agent.Answer{Failure: &agent.Failure{Error: err.Error(), Hint: f.a.Hint(err), Status: cli.ExitRefused, Fallback: true}}
}

// withoutDetails says what failed in words that tell nothing of this machine.
func withoutDetails(f *agent.Failure) *agent.Failure {
	text := map[int]string{
		cli.ExitLoginRequired: "the login has ended where it is",
		cli.ExitUnavailable:   "the server of the login is unavailable",
		cli.ExitLockTimeout:   "another process there is busy with the login",
	}[f.Status]
	if text == "" {
		text = "the agent where the login is gives no token"
	}
	return &agent.Failure{Error: text, Hint: "there one reads why: see 'fob agent forward', and 'fob agent status'", Status: f.Status, Fallback: f.Fallback}
}
