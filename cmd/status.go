package cmd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/safetext"
	"github.com/fobcli/fob/internal/session"
)

type statusOptions struct {
	args []string
	json bool
}

func newStatusCmd(a *app) *cobra.Command {
	var opts statusOptions
	c := &cobra.Command{
		Use:   "status [PROFILE]",
		Short: "Show the logins and how long they last",
		Long: `Show each profile's login, or one in detail. Nothing is asked of the network
and nothing is changed.

With a PROFILE the status is 4 if it needs a new login, and 6 if its storage
does not give it; a list of all profiles is always 0.

` + exitHelp(exitDone, exitUsage, exitLoginRequired, exitStorage),
		Example: `  fob status
  fob status work --json`,
		Args:              atMostProfile,
		ValidArgsFunction: a.completeProfiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.args = args
			return runStatus(cmd.Context(), a, opts)
		},
	}
	c.Flags().BoolVar(&opts.json, "json", false, "print JSON")
	return c
}

func runStatus(ctx context.Context, a *app, opts statusOptions) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	if len(opts.args) == 0 {
		return a.listStatus(ctx, cfg, opts)
	}
	p, err := a.profile(opts.args)
	if err != nil {
		return err
	}
	status, err := a.statusOf(ctx, cfg, p)
	if err != nil {
		return err
	}
	if opts.json {
		err = a.printJSON(status)
	} else {
		err = a.printStatus(status)
	}
	if err != nil {
		return err
	}
	return forProfile(status.failure(), p.Name)
}

func (a *app) listStatus(ctx context.Context, cfg *config.Config, opts statusOptions) error {
	all := []statusJSON{}
	for _, name := range cfg.Names() {
		status, err := a.statusOf(ctx, cfg, cfg.Profiles[name])
		if err != nil {
			return err
		}
		all = append(all, status)
	}
	if opts.json {
		return a.printJSON(all)
	}
	if len(all) == 0 {
		a.note("There is no profile yet. Make one: fob login github")
		return nil
	}
	rows := [][]string{{"PROFILE", "STATE", "ACCOUNT", "TOKEN ENDS", "LOGIN ENDS", "STORAGE", "SERVER"}}
	for _, s := range all {
		rows = append(rows, []string{s.Profile, string(s.State), s.Account.String(), leftText(s.ExpiresAt, a.now()), leftText(s.LoginExpiresAt, a.now()), s.Storage, s.Server})
	}
	return a.printTable(rows)
}

// statusJSON is what `fob status --json` prints of one profile.
type statusJSON struct {
	Profile        string        `json:"profile"`
	State          session.State `json:"state"`
	Account        account       `json:"account,omitzero"`
	Server         string        `json:"server"`
	ClientID       string        `json:"client_id"`
	Scopes         []string      `json:"scopes,omitempty"`
	Storage        string        `json:"storage"`
	LoggedInAt     time.Time     `json:"logged_in_at,omitzero"`
	ExpiresAt      time.Time     `json:"expires_at,omitzero"`       // of the access token at hand
	LoginExpiresAt time.Time     `json:"login_expires_at,omitzero"` // of the login itself
	Problem        string        `json:"problem,omitempty"`

	err error
}

func (a *app) statusOf(ctx context.Context, cfg *config.Config, p config.Profile) (statusJSON, error) {
	storage, err := a.storageName(cfg, p)
	if err != nil {
		return statusJSON{}, err
	}
	if name, refreshes := a.givenVariable(p.Name); name != "" || storage == storageEnv {
		return a.givenStatus(p, name, refreshes), nil
	}
	s, err := a.session(p)
	if err != nil {
		return statusJSON{}, err
	}
	status := s.Status(ctx)
	if errors.Is(status.Err, context.Canceled) {
		return statusJSON{}, status.Err
	}
	out := statusJSON{
		Profile:        p.Name,
		State:          status.State,
		Account:        newAccount(status.Account),
		Server:         s.Profile.Authority(),
		ClientID:       p.ClientID,
		Scopes:         shownScopes(status.Scope),
		Storage:        storage,
		LoggedInAt:     utcSeconds(status.LoggedInAt),
		ExpiresAt:      utcSeconds(status.AccessExpiresAt),
		LoginExpiresAt: utcSeconds(status.RefreshExpiresAt),
		err:            status.Err,
	}
	if status.Err != nil {
		out.Problem = status.Err.Error()
	}
	return out, nil
}

// givenStatus is the status of a login that the environment holds, or should.
func (a *app) givenStatus(p config.Profile, variable string, refreshes bool) statusJSON {
	out := statusJSON{Profile: p.Name, State: session.StateLoggedOut, Server: p.WithProvider().Authority(), ClientID: p.ClientID, Storage: storageEnv}
	switch {
	case refreshes:
		out.State, out.Storage = session.StateRefreshable, storageEnv+": "+variable
	case variable != "":
		out.State, out.Storage = session.StateValid, storageEnv+": "+variable
	}
	return out
}

// shownScopes are the server's words: each is made inert.
func shownScopes(scope string) []string {
	scopes := strings.Fields(scope)
	for i := range scopes {
		scopes[i] = safetext.Line(scopes[i])
	}
	return scopes
}

// failure is what makes the command's exit status.
func (s statusJSON) failure() error {
	switch s.State {
	case session.StateLoggedOut, session.StateExpired:
		return fmt.Errorf("profile %q is %s: %w", s.Profile, s.State, session.ErrLoginRequired)
	case session.StateUnreadable:
		return s.err
	}
	return nil
}

func (a *app) printStatus(s statusJSON) error {
	rows := [][]string{
		{"profile", s.Profile},
		{"state", string(s.State)},
		{"account", s.Account.String()},
		{"server", s.Server},
		{"client ID", s.ClientID},
		{"scopes", strings.Join(s.Scopes, " ")},
		{"storage", s.Storage},
		{"logged in", timeText(s.LoggedInAt)},
		{"token ends", untilText(s.ExpiresAt, a.now())},
		{"login ends", untilText(s.LoginExpiresAt, a.now())},
	}
	return a.printTable(filled(rows))
}
