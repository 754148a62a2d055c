package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/filelock"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/session"
)

type logoutOptions struct {
	All        bool `flag:"all" help:"log out of every profile"`
	Local      bool `flag:"local" help:"delete the login here without revoking it"`
	Unregister bool `flag:"unregister" not:"local" help:"also remove the client that fob registered"`
	EndSession bool `flag:"end-session" not:"local" help:"open the page that signs the browser out"`
	Purge      bool `flag:"purge" help:"also delete the settings; with --all, everything"`
	Yes        bool `flag:"yes" help:"do not ask for confirmation"`
	DryRun     bool `flag:"dry-run" help:"print what would be done, and do nothing"`
}

func NewLogout(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "logout [PROFILE]",
		Short: "Revoke a login at the server and delete it here",
		Long: `Revoke the refresh token and the access token, and delete the login from this
machine. The profile's settings remain for the next 'fob login PROFILE', and so does
a client that fob registered, unless --unregister is set. If the server fails to
revoke a token, the login is deleted here all the same, and the exit status is 1.
Without a PROFILE, fob asks before it logs out of the default of several profiles.

Your browser may still be signed in at the server: --end-session opens the page
that signs it out. --purge deletes the settings and the registered client too;
'fob logout --all --purge' deletes all that fob stores except a registry of API keys.`,
		Example: `  fob logout work
  fob logout --all --dry-run
  fob logout --all --purge`,
		Args: usage.AtMostProfile,
	}, logoutOptions{}, runLogout, cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitInterrupted)
}

func runLogout(ctx context.Context, a *app.App, args []string, opts logoutOptions) error {
	profiles, err := selectProfiles(a, args, opts.All)
	if err != nil {
		return err
	}
	cfg, err := a.Config()
	if err != nil {
		return err
	}
	if opts.Purge {
		err = checkPurge(ctx, a, cfg, profiles, opts)
	} else if !opts.All && len(args) == 0 && !opts.Yes && !opts.DryRun {
		err = confirmUnnamed(ctx, a, cfg)
	}
	if err != nil {
		return err
	}
	if !opts.All {
		_, err := logout(ctx, a, cfg, profiles[0], opts)
		return err
	}
	var failed cli.Failures
	left := false
	for _, p := range profiles {
		gone, err := logout(ctx, a, cfg, p, opts)
		left = left || !gone
		failed.Of(p.Name, err)
	}
	if opts.Purge {
		failed = append(failed, purgeAll(ctx, a, cfg, left, opts.DryRun)...)
	}
	return failed.Err()
}

// confirmUnnamed asks before a logout from a profile that was not named, unless it is the
// only one.
func confirmUnnamed(ctx context.Context, a *app.App, cfg *config.Config) error {
	named, err := a.Choice(nil)
	if err != nil {
		return err
	}
	_, chosen, err := cfg.Select(named)
	if err != nil || chosen.By == config.ByVariable || chosen.By == config.BySole {
		return err
	}
	what := fmt.Sprintf("log out of %s (selected by %s)", chosen.Name, sanitize.Line(chosen.By))
	unasked := cli.WithHint(cli.Usagef("refusing to %s without confirmation (not a terminal)", what), "run 'fob logout %s', or add --yes", chosen.Name)
	return a.Confirm(ctx, "This would "+what+". Continue?", unasked)
}

// selectProfiles returns the profiles of a call: the named ones, all, or the default one.
func selectProfiles(a *app.App, names []string, all bool) ([]config.Profile, error) {
	if all && len(names) > 0 {
		return nil, cli.Usagef("--all and a profile cannot be combined")
	}
	if !all && len(names) <= 1 {
		p, err := a.Profile(names)
		return []config.Profile{p}, err
	}
	cfg, err := a.Config()
	if err != nil {
		return nil, err
	}
	return app.ProfilesNamed(cfg, names)
}

// logout ends a profile's login. gone means that nothing of it is left on this machine,
// whatever the server's response.
func logout(ctx context.Context, a *app.App, cfg *config.Config, p config.Profile, opts logoutOptions) (gone bool, err error) {
	provider, _ := config.FindProvider(p.Provider)
	revokes := !opts.Local && provider.Revocation != config.RevokesNothing
	warnGrantMates(a, cfg, p, provider, revokes)
	if opts.DryRun {
		a.Note("%s: would %s.", p.Name, logoutPlan(revokes, opts))
		return true, nil
	}
	switch {
	case app.ShowsIdentity(p) && !keepsRecord(ctx, a, p):
		a.Note("%s: nothing is stored for it.", p.Name)
		gone = true
	case revokes:
		gone, err = endLogin(ctx, a, p, provider, opts)
	default:
		gone, err = forgetLogin(ctx, a, p, provider, opts)
	}
	if opts.All && opts.Purge && revokes { // whatever the server's response, nothing is left
		if err != nil {
			a.Warn(fmt.Sprintf("%s: %s%s", p.Name, sanitize.Line(err.Error()), revokeByHandHint(provider)))
		}
		if err = nil; !gone {
			gone, err = forgetLogin(ctx, a, p, provider, opts)
		}
	}
	if !gone || !opts.Purge || opts.All { // --all --purge removes the whole configuration
		return gone, err
	}
	return gone, errors.Join(err, config.RemoveProfile(cfg.Paths.Config, p.Name))
}

// keepsRecord reports whether a profile whose grant stores nothing still has a login, from
// before its grant was changed. Without a keyring there is none.
func keepsRecord(ctx context.Context, a *app.App, p config.Profile) bool {
	s, err := a.LocalSession(p)
	if err != nil {
		return false
	}
	status := s.Status(ctx)
	return status.State != session.StateLoggedOut && !errors.Is(status.Err, credstore.ErrAbsent) || status.Registered
}

// forgetLogin deletes a login on this machine, and prints what remains at the server.
func forgetLogin(ctx context.Context, a *app.App, p config.Profile, provider config.Provider, opts logoutOptions) (gone bool, err error) {
	s, err := a.LocalSession(p)
	if err != nil {
		return false, err
	}
	s.Current = func() error { return a.StillIn(s.Store, p.Name) }
	registered := s.Status(ctx).Registered
	if err := s.Forget(ctx); err != nil {
		return false, cli.ForProfile(err, p.Name)
	}
	if registered && !opts.Purge { // the next login registers another one
		p.ClientID = ""
		if err := a.SaveProfile(p); err != nil {
			return true, err
		}
	}
	a.Note("%s: deleted here, not revoked at the server.", p.Name)
	if !opts.Local {
		a.Note("%s offers no revocation: revoke the login at %s", provider.Title, provider.RevokeAt)
	}
	return true, nil
}

func endLogin(ctx context.Context, a *app.App, p config.Profile, provider config.Provider, opts logoutOptions) (gone bool, err error) {
	s, err := a.Session(p)
	if err != nil {
		return false, err
	}
	s.Current = func() error { return a.StillIn(s.Store, p.Name) }
	status := s.Status(ctx)
	unregister := (opts.Unregister || opts.Purge) && status.Registered
	if opts.Unregister && !status.Registered && status.State != session.StateUnreadable {
		a.Note("%s: fob did not register its client; nothing to remove at the server.", p.Name)
	}
	page := s.EndSessionURL(ctx)
	steps, err := s.Logout(ctx, unregister)
	if errors.Is(err, session.ErrLoginRequired) {
		a.Note("%s: not logged in; nothing to do.", p.Name)
		return true, nil
	}
	reportErr := reportSteps(a, p, provider, steps)
	if errors.Is(err, filelock.ErrUnwritable) {
		return false, cli.ForProfile(err, p.Name)
	}
	if err != nil {
		err = cli.WithHint(cli.ForProfile(err, p.Name), "to delete the login here without revoking it: 'fob logout %s --local'", p.Name)
		return false, errors.Join(err, reportErr)
	}
	a.Note("%s: deleted here.", p.Name)
	gone = !unregister || !s.Status(ctx).Registered
	if unregister && gone {
		page = withoutClientID(page) // the client was removed
	}
	endSession(ctx, a, page, opts)
	if unregister && gone && !opts.Purge {
		p.ClientID = ""
		err = a.SaveProfile(p)
	}
	return gone, errors.Join(err, reportErr)
}

func withoutClientID(page string) string {
	u, err := url.Parse(page)
	if err != nil {
		return page
	}
	query := u.Query()
	query.Del("client_id")
	u.RawQuery = query.Encode()
	return u.String()
}

// endSession prints or opens the page where the user ends the session at the server (OpenID
// Connect RP-Initiated Logout).
func endSession(ctx context.Context, a *app.App, page string, opts logoutOptions) {
	switch {
	case page == "" && opts.EndSession:
		a.Note("The server has no page that signs the browser out.")
	case page == "":
	case opts.EndSession && browserOf(a).IsAvailable():
		a.Note("Opening the page that signs the browser out:\n  %s", page)
		openBrowser(ctx, a, page)
	default:
		a.Note("Your browser may still be signed in at the server. This page signs it out:\n  %s", page)
	}
}

func logoutPlan(revokes bool, opts logoutOptions) string {
	plan := "delete the login here, and revoke nothing at the server"
	if revokes {
		plan = "revoke the refresh token and the access token at the server, then delete the login here"
	}
	if revokes && (opts.Unregister || opts.Purge) {
		plan += ", and remove the client if fob has registered it"
	}
	if opts.Purge {
		plan += ", with the profile's settings"
	}
	return plan
}

// warnGrantMates names the other profiles whose logins a revocation ends too, if the
// provider revokes everything that the user granted to the client.
func warnGrantMates(a *app.App, cfg *config.Config, p config.Profile, provider config.Provider, revokes bool) {
	if !revokes || provider.Revocation != config.RevokesGrant {
		return
	}
	for _, name := range cfg.Names() {
		mate := cfg.Profiles[name]
		if name != p.Name && mate.Provider == p.Provider && mate.ClientID == p.ClientID {
			a.Note("%s: %s revokes the whole grant, which also ends profile %q if it uses the same account.", p.Name, provider.Title, name)
		}
	}
}

// reportSteps prints the result for each token. It returns an error if a token could have
// been revoked and was not.
func reportSteps(a *app.App, p config.Profile, provider config.Provider, steps []session.Step) error {
	var failed error
	for _, step := range steps {
		what, done := fmt.Sprintf("the %s of %q", step.Token, p.Name), "revoked"
		isClient := step.Token == session.StepRegistration
		if isClient {
			what, done = fmt.Sprintf("the client of %q", p.Name), "removed"
		}
		reason := ""
		switch unsupported := errors.Is(step.Err, oauth.ErrUnsupported); {
		case step.Err == nil:
			a.Note("%s: %s %s.", p.Name, step.Token, done)
			continue
		case errors.Is(step.Err, session.ErrClientGone):
			reason = ": the server no longer knows the client, which ended its logins."
		case unsupported && isClient:
			reason = ": the server does not support it."
		case !isClient && oauth.HasCode(step.Err, "unsupported_token_type"): // RFC 7009 §2.2.1: often the case for access tokens that are JWTs
			reason = ": the server revokes no tokens of this kind; it is valid until it expires."
		case unsupported:
			reason = ": the server offers no revocation." + revokeByHandHint(provider)
		default:
			failed = errors.Join(failed, fmt.Errorf("%s was not %s: %w", what, done, step.Err))
		}
		a.Note("%s: %s not %s%s", p.Name, step.Token, done, cmp.Or(reason, "."))
	}
	if failed != nil {
		// Without the causes, so that the exit status is 1.
		return cli.WithHint(errors.New(failed.Error()), "it is valid until it expires; revoke it in the account's settings%s", revokeByHandHint(provider))
	}
	return nil
}

func revokeByHandHint(provider config.Provider) string {
	if provider.RevokeAt == "" {
		return ""
	}
	return " Revoke it at " + provider.RevokeAt
}
