package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/complete"
	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/session"
)

type statusOptions struct {
	args  []string
	json  bool
	check bool
}

func NewStatus(a *app.App) *cobra.Command {
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

` + usage.ExitHelp(cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitLoginRequired, cli.ExitUnavailable, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitInterrupted),
		Example: `  fob status
  fob status work --json
  fob status work --check`,
		Args:              usage.AtMostProfile,
		ValidArgsFunction: complete.New(a).Profiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.args = args
			return runStatus(cmd.Context(), a, opts)
		},
	}
	c.Flags().BoolVar(&opts.json, "json", false, "print JSON")
	c.Flags().BoolVar(&opts.check, "check", false, "ask the server: refresh the login, or try its token")
	return c
}

func runStatus(ctx context.Context, a *app.App, opts statusOptions) error {
	cfg, err := a.Config()
	if err != nil {
		return err
	}
	if len(opts.args) == 0 {
		return listStatus(ctx, a, cfg, opts)
	}
	p, err := a.Profile(opts.args)
	if err != nil {
		return err
	}
	status, err := statusOf(ctx, a, cfg, p, opts)
	if err != nil {
		return err
	}
	status.Choose(defaultProfile(a, cfg))
	if opts.json {
		err = a.PrintJSON(status)
	} else {
		err = printStatus(a, status)
	}
	if err != nil {
		return err
	}
	return cli.ForProfile(status.failure(), p.Name)
}

func listStatus(ctx context.Context, a *app.App, cfg *config.Config, opts statusOptions) error {
	all := []StatusJSON{}
	meant := defaultProfile(a, cfg)
	for _, name := range cfg.Names() {
		status, err := statusOf(ctx, a, cfg, cfg.Profiles[name], opts)
		if err != nil {
			return err
		}
		status.Choose(meant)
		all = append(all, status)
	}
	if opts.json {
		return a.PrintJSON(all)
	}
	noteEndingSecrets(a, cfg)
	if len(all) == 0 {
		a.Note("There is no profile yet. Make one: fob login github")
		return nil
	}
	rows := [][]string{{"PROFILE", "", "STATE", "ACCOUNT", "TOKEN ENDS", "LOGIN ENDS", "STORAGE", "SERVER", "PROBLEM"}}
	for _, s := range all {
		rows = append(rows, []string{s.Profile, cli.TextIf(s.Selected, "*"), string(s.State), s.Account.String(), cli.LeftText(s.ExpiresAt, a.Now()), cli.LeftText(s.LoginExpiresAt, a.Now()), s.Storage, s.Server, sanitize.Line(s.Problem)})
	}
	if err := a.PrintTable(rows, "SERVER", "STORAGE", "LOGIN ENDS", "TOKEN ENDS", "ACCOUNT"); err != nil {
		return err
	}
	explainDefault(a, meant)
	return nil
}

// defaultProfile returns the profile of calls that name none, and what selects it; the zero
// value if that is ambiguous.
func defaultProfile(a *app.App, cfg *config.Config) config.Choice {
	named, err := a.Choice(nil)
	if err == nil && named.Name == "" && a.Getenv("FOB_TOKEN") != "" {
		a.Note("FOB_TOKEN answers 'fob token' where no profile is named.")
	}
	if err == nil {
		_, named, err = cfg.Select(named)
	}
	if selection, ok := errors.AsType[*config.SelectError](err); ok && selection.Choice.Name == "" {
		return config.Choice{}
	}
	if err != nil {
		a.Warn("where no profile is named: " + err.Error())
		return config.Choice{}
	}
	return named
}

func explainDefault(a *app.App, meant config.Choice) {
	switch meant.By {
	case "", config.BySole: // there is nothing to tell
	case config.ByDefault:
		a.Note("%s is meant where no profile is named: it is the default.", meant.Name)
	default:
		a.Note("%s is meant where no profile is named: %s says so.", meant.Name, sanitize.Line(meant.By))
	}
}

// StatusJSON is what `fob status --json` prints of one profile.
type StatusJSON struct {
	Profile        string        `json:"profile"`
	Selected       bool          `json:"selected"`              // it is meant where no profile is named
	SelectedBy     string        `json:"selected_by,omitempty"` // FOB_PROFILE, a path, default or only profile
	State          session.State `json:"state"`
	Account        app.Account   `json:"account,omitzero"`
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

func (s *StatusJSON) Choose(meant config.Choice) {
	if s.Selected = s.Profile == meant.Name; s.Selected {
		s.SelectedBy = meant.By
	}
}

// checkAtServer gets a token that the server has just vouched for, and says so. No cache
// answers for it.
func checkAtServer(ctx context.Context, a *app.App, p config.Profile) (*session.Token, error) {
	variable, refreshes := a.TokenVariable(p.Name)
	if variable != "" && !refreshes {
		a.Note("%s: the server was not asked: %s holds an access token, and nothing else is known of it.", p.Name, variable)
		return a.Token(ctx, p, session.TokenOptions{})
	}
	if variable == "" && !app.ShowsIdentity(p) {
		s, err := a.Session(p)
		if err != nil {
			return nil, err
		}
		s.Current = func() error { return a.StillIn(s.Store, p.Name) }
		if status := s.Status(ctx); status.Err == nil && !status.Refreshes && status.State != session.StateLoggedOut {
			return tryAtServer(ctx, a, s)
		}
	}
	token, err := a.Token(ctx, p, session.TokenOptions{ForceRefresh: !app.ShowsIdentity(p)})
	if err == nil {
		a.Note("%s: the server was asked, and gave a fresh token.", p.Name)
	}
	return token, err
}

func tryAtServer(ctx context.Context, a *app.App, s *session.Session) (*session.Token, error) {
	token, err := s.Try(ctx)
	switch {
	case errors.Is(err, oauth.ErrUnsupported):
		a.Note("%s: the server was not asked: %s.", s.Profile.Name, err)
		return token, nil
	case err == nil:
		a.Note("%s: the server was asked, and takes the token.", s.Profile.Name)
	}
	return token, err
}

// statusOf is the status of a profile's login, with --check after its server was asked.
func statusOf(ctx context.Context, a *app.App, cfg *config.Config, p config.Profile, opts statusOptions) (StatusJSON, error) {
	if !opts.check {
		return LocalStatus(ctx, a, cfg, p)
	}
	token, failure := checkAtServer(ctx, a, p)
	if errors.Is(failure, context.Canceled) {
		return StatusJSON{}, failure
	}
	status, err := LocalStatus(ctx, a, cfg, p)
	switch {
	case err != nil:
	case failure == nil:
		status.State, status.ExpiresAt = session.StateValid, cli.UTCSeconds(token.ExpiresAt)
	default:
		status.err, status.Problem = failure, failure.Error()
		if errors.Is(failure, session.ErrLoginRequired) && status.State != session.StateLoggedOut && status.State != session.StateEnded {
			status.State = session.StateExpired
		}
	}
	return status, err
}

// noteEndingSecrets names those that 'fob secret list --exit-code' would find.
func noteEndingSecrets(a *app.App, cfg *config.Config) {
	for _, s := range cfg.SecretsEndingBy(a.Now().Add(app.SecretExpiring)) {
		if s.Expires.After(a.Now()) {
			a.Note("The secret %q ends %s.", s.Name, cli.LeftText(s.Expires, a.Now()))
		} else {
			a.Note("The secret %q has ended.", s.Name)
		}
	}
}

// LocalStatus returns what this machine knows, without a request. A profile that must not be
// used as it is set has a row like any other.
func LocalStatus(ctx context.Context, a *app.App, cfg *config.Config, p config.Profile) (StatusJSON, error) {
	out := StatusJSON{Profile: p.Name, Server: p.WithProvider().Authority(), ClientID: p.ClientID, Storage: p.Storage}
	storage, err := cfg.StorageFor(p.Storage)
	if err != nil {
		out.State, out.Problem, out.err = session.StateUnreadable, err.Error(), err
		return out, nil //nolint:nilerr // the row tells
	}
	out.Storage = storage
	switch variable, refreshes := a.TokenVariable(p.Name); {
	case refreshes:
		out.State, out.Storage = session.StateRefreshable, app.FromEnv+": "+variable
		return out, nil
	case variable != "":
		out.State, out.Storage = session.StateValid, app.FromEnv+": "+variable
		return out, nil
	case storage == config.StorageNone:
		out.State = session.StateLoggedOut
		return out, nil
	case app.ShowsIdentity(p):
		out.State, out.Grant, out.Scopes, out.Storage = session.StateRefreshable, p.Grant, p.Scopes, "nothing: the machine's identity"
		return out, nil
	}
	s, err := a.LocalSession(p)
	if err != nil {
		return StatusJSON{}, err
	}
	status := s.Status(ctx)
	if errors.Is(status.Err, context.Canceled) {
		return StatusJSON{}, status.Err
	}
	out.State, out.err = status.State, status.Err
	out.Account, out.Scopes = app.NewAccount(status.Account), cli.InertRow(strings.Fields(status.Scope)...)
	out.Grant, out.DPoP, out.Registered = status.Grant, status.DPoP, status.Registered
	out.LoggedInAt, out.ExpiresAt, out.LoginExpiresAt = cli.UTCSeconds(status.LoggedInAt), cli.UTCSeconds(status.AccessExpiresAt), cli.UTCSeconds(status.RefreshExpiresAt)
	if status.Err != nil {
		out.Problem = status.Err.Error()
	}
	return out, nil
}

// failure is what makes the command's exit status.
func (s StatusJSON) failure() error {
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

func printStatus(a *app.App, s StatusJSON) error {
	rows := [][]string{
		{"profile", s.Profile},
		{"selected by", sanitize.Line(s.SelectedBy)},
		{"state", string(s.State)},
		{"account", s.Account.String()},
		{"server", s.Server},
		{"client ID", s.ClientID},
		{"client", cli.TextIf(s.Registered, "registered by fob: 'fob logout --unregister' removes it")},
		{"grant", s.Grant},
		{"tokens", cli.TextIf(s.DPoP, "bound to a key (DPoP)")},
		{"scopes", strings.Join(s.Scopes, " ")},
		{"storage", s.Storage},
		{"logged in", cli.TimeText(s.LoggedInAt)},
		{"token ends", cli.UntilText(s.ExpiresAt, a.Now())},
		{"login ends", cli.UntilText(s.LoginExpiresAt, a.Now())},
	}
	return a.PrintTable(cli.WithoutEmptyValues(rows))
}
