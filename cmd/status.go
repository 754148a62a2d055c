package cmd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/safetext"
	"github.com/fobcli/fob/internal/session"
)

type statusOptions struct {
	args  []string
	json  bool
	check bool
}

func newStatusCmd(a *app) *cobra.Command {
	var opts statusOptions
	c := &cobra.Command{
		Use:   "status [PROFILE]",
		Short: "Show the logins and how long they last",
		Long: `Show each profile's login, or one in detail. Nothing is asked of the network
and nothing is changed. A star marks the profile that is meant where none is named.

With --check each server is asked: the login is refreshed or, where it cannot be, its
token is tried. What fails is shown.

With a PROFILE the status is 4 if it needs a new login, 6 if its storage does not
give it, and that of 'fob token' if --check fails; a list of all profiles is
always 0.

` + exitHelp(exitDone, exitFailed, exitUsage, exitLoginRequired, exitUnavailable, exitStorage, exitLockTimeout, exitInterrupted),
		Example: `  fob status
  fob status work --json
  fob status work --check`,
		Args:              atMostProfile,
		ValidArgsFunction: completionsOf(a).completeProfiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.args = args
			return runStatus(cmd.Context(), a, opts)
		},
	}
	c.Flags().BoolVar(&opts.json, "json", false, "print JSON")
	c.Flags().BoolVar(&opts.check, "check", false, "ask the server: refresh the login, or try its token")
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
	status, err := a.statusOf(ctx, cfg, p, opts)
	if err != nil {
		return err
	}
	status.choose(a.meant(cfg))
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
	meant := a.meant(cfg)
	for _, name := range cfg.Names() {
		status, err := a.statusOf(ctx, cfg, cfg.Profiles[name], opts)
		if err != nil {
			return err
		}
		status.choose(meant)
		all = append(all, status)
	}
	if opts.json {
		return a.printJSON(all)
	}
	a.noteEndingSecrets(cfg)
	if len(all) == 0 {
		a.note("There is no profile yet. Make one: fob login github")
		return nil
	}
	rows := [][]string{{"PROFILE", "", "STATE", "ACCOUNT", "TOKEN ENDS", "LOGIN ENDS", "STORAGE", "SERVER", "PROBLEM"}}
	for _, s := range all {
		rows = append(rows, []string{s.Profile, yesText(s.Selected, "*"), string(s.State), s.Account.String(), leftText(s.ExpiresAt, a.now()), leftText(s.LoginExpiresAt, a.now()), s.Storage, s.Server, safetext.Line(s.Problem)})
	}
	if err := a.printTable(rows, "SERVER", "STORAGE", "LOGIN ENDS", "TOKEN ENDS", "ACCOUNT"); err != nil {
		return err
	}
	a.explainMeant(meant)
	return nil
}

// meant is the profile of the calls that name none, and what chose it; the zero value
// where that is not clear.
func (a *app) meant(cfg *config.Config) config.Choice {
	named, err := a.named("")
	if err == nil && named.Name == "" && a.getenv("FOB_TOKEN") != "" {
		a.note("FOB_TOKEN answers 'fob token' where no profile is named.")
	}
	if err == nil {
		_, named, err = cfg.Select(named)
	}
	if selection, ok := errors.AsType[*config.SelectError](err); ok && selection.Choice.Name == "" {
		return config.Choice{}
	}
	if err != nil {
		a.warn("where no profile is named: " + err.Error())
		return config.Choice{}
	}
	return named
}

func (a *app) explainMeant(meant config.Choice) {
	switch meant.By {
	case "", config.BySole: // there is nothing to tell
	case config.ByDefault:
		a.note("%s is meant where no profile is named: it is the default.", meant.Name)
	default:
		a.note("%s is meant where no profile is named: %s says so.", meant.Name, safetext.Line(meant.By))
	}
}

// statusJSON is what `fob status --json` prints of one profile.
type statusJSON struct {
	Profile        string        `json:"profile"`
	Selected       bool          `json:"selected"`              // it is meant where no profile is named
	SelectedBy     string        `json:"selected_by,omitempty"` // FOB_PROFILE, a path, default or only profile
	State          session.State `json:"state"`
	Account        account       `json:"account,omitzero"`
	Server         string        `json:"server"`
	ClientID       string        `json:"client_id"`
	Scopes         []string      `json:"scopes,omitempty"`
	Grant          string        `json:"grant,omitempty"`      // how tokens are had; empty: a person has logged in
	DPoP           bool          `json:"dpop,omitempty"`       // tokens are bound to a key
	Registered     bool          `json:"registered,omitempty"` // fob has registered the client
	Storage        string        `json:"storage"`
	LoggedInAt     time.Time     `json:"logged_in_at,omitzero"`
	ExpiresAt      time.Time     `json:"expires_at,omitzero"`       // of the access token at hand
	LoginExpiresAt time.Time     `json:"login_expires_at,omitzero"` // of the login itself
	Problem        string        `json:"problem,omitempty"`

	err error
}

func (s *statusJSON) choose(meant config.Choice) {
	if s.Selected = s.Profile == meant.Name; s.Selected {
		s.SelectedBy = meant.By
	}
}

// checkAtServer gets a token that the server has just vouched for, and says so. No cache
// answers for it.
func (a *app) checkAtServer(ctx context.Context, p config.Profile) (*session.Token, error) {
	variable, refreshes := a.givenVariable(p.Name)
	if variable != "" && !refreshes {
		a.note("%s: the server was not asked: %s holds an access token, and nothing else is known of it.", p.Name, variable)
		return a.token(ctx, p, session.TokenOptions{})
	}
	if variable == "" && !showsIdentity(p) {
		s, err := a.session(p)
		if err != nil {
			return nil, err
		}
		s.Current = func() error { return a.stillIn(s.Store, p.Name) }
		if status := s.Status(ctx); status.Err == nil && !status.Refreshes && status.State != session.StateLoggedOut {
			return a.tryAtServer(ctx, s)
		}
	}
	token, err := a.token(ctx, p, session.TokenOptions{ForceRefresh: !showsIdentity(p)})
	if err == nil {
		a.note("%s: the server was asked, and gave a fresh token.", p.Name)
	}
	return token, err
}

func (a *app) tryAtServer(ctx context.Context, s *session.Session) (*session.Token, error) {
	token, err := s.Try(ctx)
	switch {
	case errors.Is(err, oauth.ErrUnsupported):
		a.note("%s: the server was not asked: %s.", s.Profile.Name, err)
		return token, nil
	case err == nil:
		a.note("%s: the server was asked, and takes the token.", s.Profile.Name)
	}
	return token, err
}

// statusOf is the status of a profile's login, with --check after its server was asked.
func (a *app) statusOf(ctx context.Context, cfg *config.Config, p config.Profile, opts statusOptions) (statusJSON, error) {
	if !opts.check {
		return a.keptStatus(ctx, cfg, p)
	}
	token, failure := a.checkAtServer(ctx, p)
	if errors.Is(failure, context.Canceled) {
		return statusJSON{}, failure
	}
	status, err := a.keptStatus(ctx, cfg, p)
	switch {
	case err != nil:
	case failure == nil:
		status.State, status.ExpiresAt = session.StateValid, utcSeconds(token.ExpiresAt)
	default:
		status.err, status.Problem = failure, failure.Error()
		if errors.Is(failure, session.ErrLoginRequired) && status.State != session.StateLoggedOut && status.State != session.StateEnded {
			status.State = session.StateExpired
		}
	}
	return status, err
}

// keptStatus asks nobody: it is what this machine knows. A profile that is not to be
// used as it is set is a row as any other.
func (a *app) keptStatus(ctx context.Context, cfg *config.Config, p config.Profile) (statusJSON, error) {
	out := statusJSON{Profile: p.Name, Server: p.WithProvider().Authority(), ClientID: p.ClientID, Storage: p.Storage}
	storage, err := a.storageName(cfg, p)
	if err != nil {
		out.State, out.Problem, out.err = session.StateUnreadable, err.Error(), err
		return out, nil //nolint:nilerr // the row tells
	}
	out.Storage = storage
	switch variable, refreshes := a.givenVariable(p.Name); {
	case refreshes:
		out.State, out.Storage = session.StateRefreshable, storageEnv+": "+variable
		return out, nil
	case variable != "":
		out.State, out.Storage = session.StateValid, storageEnv+": "+variable
		return out, nil
	case storage == storageEnv:
		out.State = session.StateLoggedOut
		return out, nil
	case showsIdentity(p):
		out.State, out.Grant, out.Scopes, out.Storage = session.StateRefreshable, p.Grant, p.Scopes, "nothing: the machine's identity"
		return out, nil
	}
	s, err := a.localSession(p)
	if err != nil {
		return statusJSON{}, err
	}
	status := s.Status(ctx)
	if errors.Is(status.Err, context.Canceled) {
		return statusJSON{}, status.Err
	}
	out.State, out.err = status.State, status.Err
	out.Account, out.Scopes = newAccount(status.Account), inert(strings.Fields(status.Scope)...)
	out.Grant, out.DPoP, out.Registered = status.Grant, status.DPoP, status.Registered
	out.LoggedInAt, out.ExpiresAt, out.LoginExpiresAt = utcSeconds(status.LoggedInAt), utcSeconds(status.AccessExpiresAt), utcSeconds(status.RefreshExpiresAt)
	if status.Err != nil {
		out.Problem = status.Err.Error()
	}
	return out, nil
}

// failure is what makes the command's exit status.
func (s statusJSON) failure() error {
	if s.err != nil {
		return s.err
	}
	switch s.State {
	case session.StateLoggedOut, session.StateExpired:
		return fmt.Errorf("profile %q is %s: %w", s.Profile, s.State, session.ErrLoginRequired)
	case session.StateEnded:
		return fmt.Errorf("the login of profile %q was ended at the server: %w", s.Profile, session.ErrLoginRequired)
	}
	return nil
}

func (a *app) printStatus(s statusJSON) error {
	rows := [][]string{
		{"profile", s.Profile},
		{"selected by", safetext.Line(s.SelectedBy)},
		{"state", string(s.State)},
		{"account", s.Account.String()},
		{"server", s.Server},
		{"client ID", s.ClientID},
		{"client", yesText(s.Registered, "registered by fob: 'fob logout --unregister' removes it")},
		{"grant", s.Grant},
		{"tokens", yesText(s.DPoP, "bound to a key (DPoP)")},
		{"scopes", strings.Join(s.Scopes, " ")},
		{"storage", s.Storage},
		{"logged in", timeText(s.LoggedInAt)},
		{"token ends", untilText(s.ExpiresAt, a.now())},
		{"login ends", untilText(s.LoginExpiresAt, a.now())},
	}
	return a.printTable(filled(rows))
}
