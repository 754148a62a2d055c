package cmd

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/agent"
)

// askAgent sends a command to the agent of this machine.
func (a *app) askAgent(ctx context.Context, r agent.Request) (*agent.Status, error) {
	path, err := a.agentPlace()
	if err != nil {
		return nil, err
	}
	answer, err := agent.Ask(ctx, path, r, a.agentNote)
	switch {
	case errors.Is(err, agent.ErrAbsent) && a.getenv("FOB_AGENT") != "":
		err = withHint(err, "FOB_AGENT names it: see whether it is right, or unset it")
	case errors.Is(err, agent.ErrAbsent):
		err = withHint(err, "start one: 'fob agent --detach'")
	case errors.Is(err, agent.ErrNoAnswer):
		err = withHint(err, "see whether it was stopped (Ctrl-Z), or end it with 'kill'")
	case err == nil && answer.Failure != nil:
		err = newAgentError(answer.Failure)
	case err == nil && answer.Status == nil:
		err = errors.New("what answers there is no agent")
	}
	return answer.Status, err
}

func newAgentStatusCmd(a *app) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Show whether an agent listens, and what it holds",
		Long: `Show whether an agent listens, and what it holds open: logins, and the key of the
sealed files. Where it is another machine's, what may be asked for. Without an agent
the status is 1.

` + exitHelp(exitDone, exitFailed, exitUsage, exitStorage),
		Example: "  fob agent status --json",
		Args:    noKeyArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.runAgentStatus(cmd.Context(), asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// agentStatusJSON is what 'fob agent status --json' prints.
type agentStatusJSON struct {
	Socket      string   `json:"socket"`
	PID         int      `json:"pid,omitzero"`
	Locked      bool     `json:"locked"`
	Forwarded   bool     `json:"forwarded"`              // from another machine
	Profiles    []string `json:"profiles"`               // held open; forwarded: that may be asked for
	Files       bool     `json:"files"`                  // the key of the sealed files is held
	NeedsKey    bool     `json:"needs_key"`              // and is needed
	ForgetAfter float64  `json:"forget_after,omitempty"` // seconds
}

func (a *app) runAgentStatus(ctx context.Context, asJSON bool) error {
	status, err := a.askAgent(ctx, agent.Request{Do: agent.DoStatus})
	if err != nil {
		return err
	}
	path, err := a.agentPlace()
	if err != nil {
		return err
	}
	if asJSON {
		return a.printJSON(agentStatusJSON{
			path, status.PID, status.Locked, status.Forwarded, status.Profiles, status.Files, status.NeedsKey, status.ForgetAfter.Seconds(),
		})
	}
	if status.Forwarded {
		return a.printTable([][]string{{"listens at", path}, {"forwarded", strings.Join(status.Profiles, ", ")}})
	}
	return a.printTable([][]string{
		{"listens at", path}, {"process", strconv.Itoa(status.PID)}, {"holds", holdsText(status)}, {"forgets after", status.ForgetAfter.Round(time.Second).String()},
	})
}

func holdsText(status *agent.Status) string {
	held := slices.Clone(status.Profiles)
	if status.Files {
		held = append(held, "the key of the sealed files")
	}
	text := strings.Join(held, ", ")
	if len(held) == 0 {
		text = "nothing yet"
	}
	switch {
	case status.Locked:
		return "nothing, it is locked: 'fob agent unlock'"
	case status.NeedsKey:
		return text + "; the key of the sealed files is missing: 'fob agent unlock'"
	}
	return text
}

func newAgentLockCmd(a *app) *cobra.Command {
	return a.newAgentOrderCmd(agent.DoLock, "Forget everything, and serve nobody until it is unlocked",
		`Have the agent overwrite the key of its memory: it forgets everything, and serves
nobody until 'fob agent unlock'. Commands here go on by themselves, with whatever opens
the logins for them.`, "The agent is locked, and has forgotten everything.")
}

func newAgentStopCmd(a *app) *cobra.Command {
	return a.newAgentOrderCmd(agent.DoStop, "End it",
		"End the agent. What it has begun it finishes; then it forgets everything.", "The agent has ended.")
}

func (a *app) newAgentOrderCmd(do, short, long, done string) *cobra.Command {
	return &cobra.Command{
		Use:     do,
		Short:   short,
		Long:    long + "\n\n" + exitHelp(exitDone, exitFailed, exitUsage, exitStorage, exitRefused),
		Example: "  fob agent " + do,
		Args:    noKeyArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := a.askAgent(cmd.Context(), agent.Request{Do: do})
			if err == nil {
				a.note("%s", done)
			}
			return err
		},
	}
}

func newAgentUnlockCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "unlock",
		Short: "Let it serve again, and give it the key of the sealed files",
		Long: `Let the agent serve again. Where logins lie in sealed files, and it cannot find their
key by itself, that goes to the agent: from FOB_SEAL_KEY, or of the passphrase, which is
asked for here and not sent.

` + exitHelp(exitDone, exitFailed, exitUsage, exitStorage, exitRefused, exitInterrupted),
		Example: "  fob agent unlock",
		Args:    noKeyArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.unlockAgent(cmd.Context())
		},
	}
}

func (a *app) unlockAgent(ctx context.Context) error {
	status, err := a.askAgent(ctx, agent.Request{Do: agent.DoUnlock})
	if err != nil {
		return err
	}
	if !status.NeedsKey {
		a.note("The agent is unlocked.")
		return nil
	}
	given, err := a.giveKey(ctx)
	if err == nil && !given {
		a.noteMissingKey(status)
	}
	return err
}

// giveKey gives the agent the key of the sealed files, if there is one to give.
func (a *app) giveKey(ctx context.Context) (given bool, err error) {
	key, err := a.filesKey(ctx)
	if err != nil || key == nil {
		return false, err
	}
	defer clear(key)
	if _, err := a.askAgent(ctx, agent.Request{Do: agent.DoUnlock, Key: key}); err != nil {
		return false, err
	}
	a.note("The agent is unlocked.")
	return true, nil
}
