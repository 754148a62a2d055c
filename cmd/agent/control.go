package agent

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/agent"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
)

func askAgent(ctx context.Context, a *app.App, r agent.Request) (*agent.Status, error) {
	path, err := agentSocket(a)
	if err != nil {
		return nil, err
	}
	answer, err := agent.Ask(ctx, path, r, app.NoteLine(a))
	switch {
	case errors.Is(err, agent.ErrAbsent) && a.Getenv("FOB_AGENT") != "":
		err = cli.WithHint(err, "FOB_AGENT names this socket: correct it, or unset it")
	case errors.Is(err, agent.ErrAbsent):
		err = cli.WithHint(err, "start one: 'fob agent --detach'")
	case errors.Is(err, agent.ErrNoAnswer):
		err = cli.WithHint(err, "check whether it was suspended (Ctrl-Z), or stop it with 'kill'")
	case err == nil && answer.Failure != nil:
		err = app.NewAgentError(answer.Failure)
	case err == nil && answer.Status == nil:
		err = errors.New("invalid response: not a fob agent")
	}
	return answer.Status, err
}

func newAgentStatusCmd(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "status",
		Short: "Show whether an agent runs, and what it caches",
		Long: `Show whether an agent runs, and what it caches: logins, and the key of the sealed
files. For an agent on another machine, show the profiles that it forwards. Without an
agent the exit status is 1.`,
		Example: "  fob agent status --json",
		Args:    usage.NoKeyArgs,
	}, usage.JSONFlag{}, runAgentStatus, cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitStorage)
}

type agentStatusJSON struct {
	Socket string `json:"socket"`
	agent.Status
	Forwarded   bool    `json:"forwarded"`              // from another machine
	ForgetAfter float64 `json:"forget_after,omitempty"` // seconds
}

func runAgentStatus(ctx context.Context, a *app.App, _ []string, opts usage.JSONFlag) error {
	status, err := askAgent(ctx, a, agent.Request{Do: agent.DoStatus})
	if err != nil {
		return err
	}
	path, err := agentSocket(a)
	if err != nil {
		return err
	}
	if opts.JSON {
		return a.PrintJSON(agentStatusJSON{path, *status, status.Forwarded, status.ForgetAfter.Seconds()})
	}
	if status.Forwarded {
		return a.PrintTable([][]string{{"listens on", path}, {"forwarded", strings.Join(status.Profiles, ", ")}})
	}
	return a.PrintTable([][]string{
		{"listens on", path}, {"process", strconv.Itoa(status.PID)}, {"caches", cacheText(status)}, {"forgets after", status.ForgetAfter.Round(time.Second).String()},
	})
}

func cacheText(status *agent.Status) string {
	cached := slices.Clone(status.Profiles)
	if status.Files {
		cached = append(cached, "the key of the sealed files")
	}
	text := strings.Join(cached, ", ")
	if len(cached) == 0 {
		text = "nothing yet"
	}
	switch {
	case status.Locked:
		return "nothing: it is locked ('fob agent unlock' unlocks it); commands on this machine open logins themselves"
	case status.NeedsKey:
		return text + "; the key of the sealed files is missing: 'fob agent unlock'"
	}
	return text
}

// newAgentOrderCmd is a command that sends the agent one request without parameters.
func newAgentOrderCmd(a *app.App, do, short, long, done string) *cobra.Command {
	return &cobra.Command{
		Use:     do,
		Short:   short,
		Long:    long + "\n\n" + usage.ExitHelp(cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitStorage, cli.ExitRefused),
		Example: "  fob agent " + do,
		Args:    usage.NoKeyArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := askAgent(cmd.Context(), a, agent.Request{Do: do})
			if err == nil {
				a.Note("%s", done)
			}
			return err
		},
	}
}

func newAgentUnlockCmd(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "unlock",
		Short: "Unlock the agent, and send it the key of files",
		Long: `Unlock the agent. If logins are in sealed files and the agent cannot find their key
itself, send it the key: FOB_SEAL_KEY, or the one derived from the passphrase, which is
typed here and not sent.`,
		Example: "  fob agent unlock",
		Args:    usage.NoKeyArgs,
	}, usage.NoFlags{}, unlockAgent, cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitStorage, cli.ExitRefused, cli.ExitInterrupted)
}

func unlockAgent(ctx context.Context, a *app.App, _ []string, _ usage.NoFlags) error {
	status, err := askAgent(ctx, a, agent.Request{Do: agent.DoUnlock})
	if err != nil {
		return err
	}
	if !status.NeedsKey {
		a.Note("The agent is unlocked.")
		return nil
	}
	sent, err := sendKey(ctx, a)
	if err == nil && !sent {
		noteMissingKey(a, status)
	}
	return err
}

func sendKey(ctx context.Context, a *app.App) (sent bool, err error) {
	key, err := filesKey(ctx, a)
	if err != nil || key == nil {
		return false, err
	}
	defer clear(key)
	if _, err := askAgent(ctx, a, agent.Request{Do: agent.DoUnlock, Key: key}); err != nil {
		return false, err
	}
	a.Note("The agent is unlocked.")
	return true, nil
}
