package agent

import (
	"context"
	"errors"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/agent"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/sanitize"
)

type agentForwardOptions struct {
	Profiles []string `flag:"profile" required:"name the profiles for the other machine: --profile work" empty:"refused" help:"provide tokens of this {PROFILE}; repeatable"`
	Confirm  bool     `flag:"confirm" help:"confirm each token"`
}

func newAgentForwardCmd(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "forward [SOCKET] --profile NAME",
		Short: "Provide access tokens to another machine over ssh",
		Long: `Open another socket of the agent on this machine for 'ssh -R', until Ctrl-C, and print
what to run. The other machine gets access tokens of the named profiles, and nothing
else: no id_token, no tokens for other scopes or APIs, no early refresh, no control over
the agent. Each request is logged here.

With --confirm each request is confirmed, on this terminal or with the program in
SSH_ASKPASS. 'fob agent lock' stops all of them.`,
		Example: `  fob agent forward --profile work --confirm
  fob agent forward ~/.fob-forward.sock --profile work
  ssh -R /tmp/fob.sock:$HOME/.fob-forward.sock build.example.com
  FOB_AGENT=/tmp/fob.sock fob token work`,
		Args: cobra.MaximumNArgs(1),
	}, agentForwardOptions{}, runAgentForward, cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitStorage)
}

// forwardPlaces is how many requests of another machine are served at once.
const forwardPlaces = 16

func runAgentForward(ctx context.Context, a *app.App, args []string, opts agentForwardOptions) error {
	for _, name := range opts.Profiles {
		if _, err := a.Profile([]string{name}); err != nil {
			return err
		}
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	f := &agent.Forwarder{Profiles: opts.Profiles, Note: func(line string) { a.Note("%s", line) }, Hint: a.Hint}
	var err error
	if opts.Confirm {
		if f.Confirm, err = newConfirmer(a, stop); err != nil {
			return err
		}
	}
	upstream, err := agentSocket(a)
	if err != nil {
		return err
	}
	f.Ask = func(ctx context.Context, r agent.Request) (agent.Answer, error) {
		return agent.Ask(ctx, upstream, r, func(string) {})
	}
	if f.Home, err = a.AgentHome(); err != nil {
		return err
	}
	if _, err := askAgent(ctx, a, agent.Request{Do: agent.DoStatus}); err != nil {
		return err
	}
	path, err := forwardSocket(args, upstream)
	if err != nil {
		return err
	}
	listener, err := agent.Listen(ctx, path)
	if errors.Is(err, agent.ErrRunning) {
		err = cli.WithHint(err, "choose another SOCKET")
	}
	if err != nil {
		return err
	}
	a.Note("Providing tokens of %s until Ctrl-C.", strings.Join(opts.Profiles, ", "))
	a.Note("Add to your ssh command: -R /tmp/fob.sock:%s", sanitize.ShellQuote(path))
	a.Note("Then run there: FOB_AGENT=/tmp/fob.sock fob token %s", opts.Profiles[0])
	return agent.Serve(ctx, listener, forwardPlaces, func(request context.Context, r agent.Request, note func(string)) agent.Answer {
		request, cancel := context.WithCancel(request)
		defer cancel()
		defer context.AfterFunc(ctx, cancel)() // a question ends with the forwarding
		return f.Answer(request, r, note)
	})
}

// forwardSocket returns the named socket, else one next to the agent's own.
func forwardSocket(args []string, upstream string) (string, error) {
	if len(args) == 0 {
		return filepath.Join(filepath.Dir(upstream), app.ForwardSocketName), nil
	}
	if !strings.ContainsRune(args[0], filepath.Separator) {
		return "", cli.WithHint(cli.Usagef("%q is not the path of a socket", sanitize.Line(args[0])), "for a socket in this folder write ./%s; profiles are named by --profile", args[0])
	}
	path, err := filepath.Abs(args[0])
	if err != nil {
		return "", err
	}
	return path, cli.WithHint(cli.AsUsage(agent.CheckPath(path)), "choose a shorter path")
}
