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
	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/filelock"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/safetext"
	"github.com/fobcli/fob/internal/secret"
	"github.com/fobcli/fob/internal/session"
)

// agentToken asks the agent for a token. Where none listens, or it cannot serve this
// profile here, served is false: fob does the same alone.
func (a *app) agentToken(ctx context.Context, p config.Profile, want session.TokenOptions) (token *session.Token, served bool, err error) {
	path, named, err := a.agentSocket()
	if err != nil || path == "" {
		return nil, err != nil, err
	}
	only := named && isUnknown(p)
	home, err := a.agentHome()
	if err != nil {
		return nil, true, err
	}
	answer, err := agent.Ask(ctx, path, agent.Request{
		Do: agent.DoToken, Home: home, Profile: p.Name, Scope: want.Scope, Resource: want.Resource,
		MinTTL: want.MinTTL, ForceRefresh: want.ForceRefresh, IDToken: want.WantIDToken,
	}, a.agentNote)
	switch {
	case err != nil && (only || ctx.Err() != nil || errors.Is(err, atomicfile.ErrUnsafe)):
		return nil, true, withHint(err, "see whether an agent listens at FOB_AGENT (%s), or set FOB_AGENT=off", path)
	case err != nil:
		return nil, false, nil //nolint:nilerr // fob does without
	case answer.Failure != nil && answer.Failure.Ask && !only:
		return nil, false, nil
	case answer.Failure != nil:
		return nil, true, newAgentError(answer.Failure)
	}
	token, err = a.tokenFromAgent(answer.Token)
	return token, true, err
}

// tokenProfile is profile for who wants a token. One that is named and not configured may
// be another machine's, whose agent FOB_AGENT names.
func (a *app) tokenProfile(args []string) (config.Profile, error) {
	p, err := a.profile(args)
	var selection *config.SelectError
	if socket := a.getenv("FOB_AGENT"); errors.As(err, &selection) && selection.Choice.Name != "" && socket != "" && socket != agentOff {
		return config.Profile{Name: selection.Choice.Name}, nil
	}
	return p, err
}

// isUnknown reports whether a profile is a name alone: this machine's configuration has
// none of it, and only an agent of another machine can.
func isUnknown(p config.Profile) bool { return p.Issuer == "" && p.Provider == "" && p.ClientID == "" }

// agentNote shows a line that an agent has sent, which another machine's may be.
func (a *app) agentNote(line string) { a.note("%s", safetext.Line(line)) }

// tokenFromAgent takes no token that could not stand in a header.
func (a *app) tokenFromAgent(t *agent.Token) (*session.Token, error) {
	if t == nil || t.AccessToken == "" {
		return nil, errors.New("the agent's answer holds no token")
	}
	if !safetext.IsVisibleASCII(t.AccessToken + t.IDToken + t.TokenType) {
		return nil, errors.New("the agent's answer holds what is no token")
	}
	return &session.Token{
		Value: secret.New(t.AccessToken), Type: t.TokenType, Scope: t.Scope, ExpiresAt: t.ExpiresAt,
		IDToken: secret.New(t.IDToken), IDTokenExpiresAt: t.IDTokenExpiresAt,
	}, nil
}

// agentError is a failure that an agent tells of: it ends fob as it would have without.
type agentError struct{ agent.Failure }

func newAgentError(f *agent.Failure) error {
	err := &agentError{agent.Failure{Error: safetext.Lines(f.Error), Status: f.Status}}
	if f.Hint == "" {
		return err
	}
	return withHint(err, "%s", safetext.Line(f.Hint))
}

func (e *agentError) Error() string { return e.Failure.Error }

func (e *agentError) Is(target error) bool {
	return map[int]error{
		exitLoginRequired: session.ErrLoginRequired,
		exitUnavailable:   oauth.ErrUnavailable,
		exitLockTimeout:   filelock.ErrTimeout,
	}[e.Status] == target
}

// askAgent sends a command to the agent of this machine.
func (a *app) askAgent(ctx context.Context, r agent.Request) (agent.Answer, error) {
	path, err := a.agentPlace()
	if err != nil {
		return agent.Answer{}, err
	}
	answer, err := agent.Ask(ctx, path, r, a.agentNote)
	switch {
	case errors.Is(err, agent.ErrAbsent):
		err = withHint(err, "start one: 'fob agent --detach'")
	case errors.Is(err, agent.ErrNoAnswer):
		err = withHint(err, "see whether it was stopped (Ctrl-Z), or end it with 'kill'")
	case err == nil && answer.Failure != nil:
		err = newAgentError(answer.Failure)
	}
	return answer, err
}

func newAgentStatusCmd(a *app) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Show whether an agent listens, and what it holds",
		Long: `Show whether an agent listens, and what it holds open: logins, and the key of the
sealed files. Without an agent the status is 1.

` + exitHelp(exitDone, exitFailed, exitUsage),
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
	PID         int      `json:"pid"`
	Locked      bool     `json:"locked"`
	Profiles    []string `json:"profiles"`     // held open
	Files       bool     `json:"files"`        // the key of the sealed files is held
	ForgetAfter float64  `json:"forget_after"` // seconds
}

func (a *app) runAgentStatus(ctx context.Context, asJSON bool) error {
	answer, err := a.askAgent(ctx, agent.Request{Do: agent.DoStatus})
	if err != nil {
		return err
	}
	if answer.Status == nil {
		return errors.New("what answers there is no agent")
	}
	status := answer.Status
	path, err := a.agentPlace()
	if err != nil {
		return err
	}
	if asJSON {
		return a.printJSON(agentStatusJSON{path, status.PID, status.Locked, status.Profiles, status.Files, status.ForgetAfter.Seconds()})
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
	switch {
	case status.Locked:
		return "nothing, it is locked: 'fob agent unlock'"
	case len(held) == 0:
		return "nothing yet"
	}
	return strings.Join(held, ", ")
}

func newAgentLockCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "lock",
		Short: "Forget everything, and serve nobody until it is unlocked",
		Long: `Have the agent overwrite the key of its memory: it forgets everything, and serves
nobody, this machine or another, until 'fob agent unlock'. What runs here does without it.

` + exitHelp(exitDone, exitFailed, exitUsage),
		Example: "  fob agent lock",
		Args:    noKeyArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := a.askAgent(cmd.Context(), agent.Request{Do: agent.DoLock})
			if err == nil {
				a.note("The agent is locked, and has forgotten everything.")
			}
			return err
		},
	}
}

func newAgentUnlockCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "unlock",
		Short: "Let it serve again, and give it the passphrase of the files",
		Long: `Let the agent serve again. Where logins lie in sealed files, their key goes to the
agent: the passphrase is asked for here, and is not sent.

` + exitHelp(exitDone, exitFailed, exitUsage, exitStorage, exitInterrupted),
		Example: "  fob agent unlock",
		Args:    noKeyArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.unlockAgent(cmd.Context())
		},
	}
}

func (a *app) unlockAgent(ctx context.Context) error {
	if _, err := a.askAgent(ctx, agent.Request{Do: agent.DoStatus}); err != nil {
		return err // rather before a passphrase is asked for
	}
	key, err := a.typedKey(ctx)
	if err != nil {
		return err
	}
	_, err = a.askAgent(ctx, agent.Request{Do: agent.DoUnlock, Key: key})
	if err == nil {
		a.note("The agent is unlocked.")
	}
	return err
}

// typedKey is the key of the sealed files where a person types its passphrase, or nil:
// the agent finds every other key itself.
func (a *app) typedKey(ctx context.Context) ([]byte, error) {
	if !a.filesNeedPassphrase() {
		return nil, nil
	}
	paths, err := a.paths()
	if err != nil {
		return nil, err
	}
	cfg, err := a.config()
	if err != nil {
		return nil, err
	}
	key, err := a.fileKey(paths, cfg).open(ctx, false)
	if errors.Is(err, credstore.ErrNoKey) { // there is no passphrase
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return key.Bytes(), nil
}

func newAgentStopCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "stop",
		Short: "End it",
		Long: `End the agent. What it has begun it finishes; then it forgets everything.

` + exitHelp(exitDone, exitFailed, exitUsage),
		Example: "  fob agent stop",
		Args:    noKeyArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := a.askAgent(cmd.Context(), agent.Request{Do: agent.DoStop})
			if err == nil {
				a.note("The agent has ended.")
			}
			return err
		},
	}
}
