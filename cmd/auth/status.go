package auth

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/records"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/session"
)

type statusOptions struct {
	usage.JSONFlag
	Check bool `flag:"check" help:"refresh the login at its server, or try its token"`
}

func NewStatus(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "status [PROFILE]",
		Short: "Show the logins and how long they last",
		Long: `Show all logins, or one in detail, without network access. A star marks the default
profile. --check asks the servers: it refreshes each login, or tries its token.

With a PROFILE, the exit status is 4 if it needs a new login, 6 if its storage
cannot be read, and that of 'fob token' if --check fails. The list of all profiles
exits with 0, unless none can be read.`,
		Example: `  fob status
  fob status work --json
  fob status work --check`,
		Args: usage.AtMostProfile,
	}, statusOptions{}, runStatus, cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitLoginRequired, cli.ExitUnavailable, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitInterrupted)
}

func runStatus(ctx context.Context, a *app.App, args []string, opts statusOptions) error {
	cfg, err := a.Config()
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return listStatus(ctx, a, cfg, opts)
	}
	p, err := a.Profile(args)
	if err != nil {
		return err
	}
	status, err := statusOf(ctx, a, cfg, p, opts)
	if err != nil {
		return err
	}
	status.Select(unnamedProfile(a, cfg))
	if opts.JSON {
		err = a.PrintJSON(status)
	} else {
		err = printStatus(a, status)
	}
	if err != nil {
		return err
	}
	return cli.ForProfile(status.Failure(), p.Name)
}

func listStatus(ctx context.Context, a *app.App, cfg *config.Config, opts statusOptions) error {
	orphans := records.WarnOfOrphans(ctx, a)
	all := []app.LoginStatus{}
	unnamed := unnamedProfile(a, cfg)
	for _, name := range cfg.Names() {
		status, err := statusOf(ctx, a, cfg, cfg.Profiles[name], opts)
		if err != nil {
			return err
		}
		status.Select(unnamed)
		all = append(all, status)
	}
	if opts.JSON {
		return errors.Join(a.PrintJSON(all), unreadable(all))
	}
	noteExpiringSecrets(a, cfg)
	if len(all) == 0 && !orphans {
		a.Note("There are no profiles yet. Create one: fob login github")
		return nil
	}
	rows := [][]string{{"PROFILE", "", "STATE", "ACCOUNT", "TOKEN EXPIRES", "LOGIN EXPIRES", "STORAGE", "SERVER", "PROBLEM"}}
	for _, s := range all {
		rows = append(rows, []string{s.Profile, cli.TextIf(s.Selected, "*"), string(s.State), s.Account.String(), cli.LeftText(s.ExpiresAt, a.Now()), cli.LeftText(s.LoginExpiresAt, a.Now()), s.Storage, s.Server, sanitize.Line(s.Problem)})
	}
	if err := a.PrintTable(rows, "SERVER", "STORAGE", "LOGIN EXPIRES", "TOKEN EXPIRES", "ACCOUNT"); err != nil {
		return err
	}
	explainSelection(a, unnamed)
	return unreadable(all)
}

// unreadable returns the first login's error if no login can be read.
func unreadable(all []app.LoginStatus) error {
	if len(all) == 0 || slices.ContainsFunc(all, func(s app.LoginStatus) bool { return s.State != session.StateUnreadable }) {
		return nil
	}
	return cli.ForProfile(all[0].Failure(), all[0].Profile)
}

// unnamedProfile returns the default profile and what selects it, or the zero value if that
// is ambiguous.
func unnamedProfile(a *app.App, cfg *config.Config) config.Choice {
	named, err := a.Choice(nil)
	if err == nil && named.Name == "" && a.Getenv("FOB_TOKEN") != "" {
		a.Note("Without a PROFILE, 'fob token' prints FOB_TOKEN.")
	}
	if err == nil {
		_, named, err = cfg.Select(named)
	}
	if selection, ok := errors.AsType[*config.SelectError](err); ok && selection.Choice.Name == "" {
		return config.Choice{}
	}
	if err != nil {
		a.Warn("default profile: " + err.Error())
		return config.Choice{}
	}
	return named
}

func explainSelection(a *app.App, unnamed config.Choice) {
	switch unnamed.By {
	case "", config.BySole: // not worth mentioning
	case config.ByDefault:
		a.Note("%s is the default profile.", unnamed.Name)
	default:
		a.Note("%s is the default profile here, set by %s.", unnamed.Name, sanitize.Line(unnamed.By))
	}
}

// checkAtServer gets a token that the server has just confirmed, not a cached one.
func checkAtServer(ctx context.Context, a *app.App, p config.Profile) (*session.Token, error) {
	variable, refreshes := a.TokenVariable(p.Name)
	if variable != "" && !refreshes {
		a.Note("%s: not checked: %s contains an access token, and fob does not know its server.", p.Name, variable)
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
		a.Note("%s: the server issued a fresh token.", p.Name)
	}
	return token, err
}

func tryAtServer(ctx context.Context, a *app.App, s *session.Session) (*session.Token, error) {
	token, err := s.Try(ctx)
	switch {
	case errors.Is(err, oauth.ErrUnsupported):
		a.Note("%s: not checked: %s.", s.Profile.Name, err)
		return token, nil
	case err == nil:
		a.Note("%s: the server accepts the token.", s.Profile.Name)
	}
	return token, err
}

// statusOf returns the status of a profile's login, with --check after querying its server.
func statusOf(ctx context.Context, a *app.App, cfg *config.Config, p config.Profile, opts statusOptions) (app.LoginStatus, error) {
	if !opts.Check {
		return app.LocalStatus(ctx, a, cfg, p)
	}
	token, failure := checkAtServer(ctx, a, p)
	if errors.Is(failure, context.Canceled) {
		return app.LoginStatus{}, failure
	}
	status, err := app.LocalStatus(ctx, a, cfg, p)
	switch {
	case err != nil:
	case failure == nil:
		status.State, status.ExpiresAt = session.StateValid, cli.UTCSeconds(token.ExpiresAt)
	default:
		status.Err, status.Problem = failure, failure.Error()
		if errors.Is(failure, session.ErrLoginRequired) && status.State != session.StateLoggedOut && status.State != session.StateEnded {
			status.State = session.StateExpired
		}
	}
	return status, err
}

// noteExpiringSecrets lists the secrets that 'fob secret list --exit-code' would report.
func noteExpiringSecrets(a *app.App, cfg *config.Config) {
	for _, s := range cfg.SecretsEndingBy(a.Now().Add(app.SecretExpiring)) {
		a.Note("The secret %q %s.", s.Name, cli.ExpiryText(s.Expires, a.Now()))
	}
}

func printStatus(a *app.App, s app.LoginStatus) error {
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
		{"token expires", cli.UntilText(s.ExpiresAt, a.Now())},
		{"login expires", cli.UntilText(s.LoginExpiresAt, a.Now())},
	}
	return a.PrintTable(cli.WithoutEmptyValues(rows))
}
