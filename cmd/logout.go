package cmd

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/session"
)

type logoutOptions struct {
	args   []string
	all    bool
	local  bool
	dryRun bool
}

func newLogoutCmd(a *app) *cobra.Command {
	var opts logoutOptions
	c := &cobra.Command{
		Use:   "logout [PROFILE]",
		Short: "Revoke a login at the server and delete it here",
		Long: `Revoke the refresh token and then the access token, and delete the login from
this machine. The profile's settings stay, so that 'fob login PROFILE' is enough
to come back.

A login that the server would not revoke is deleted here all the same; that is
said, and the status is 1. Some providers offer no revocation: then the page where
it is done by hand is named.

` + exitHelp(exitDone, exitFailed, exitUsage, exitStorage, exitLockTimeout, exitInterrupted),
		Example: `  fob logout work
  fob logout --all --dry-run`,
		Args:              atMostProfile,
		ValidArgsFunction: a.completeProfiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.args = args
			return runLogout(cmd.Context(), a, opts)
		},
	}
	c.Flags().BoolVar(&opts.all, "all", false, "log out of every profile")
	c.Flags().BoolVar(&opts.local, "local", false, "delete the login here, and do not revoke it at the server")
	c.Flags().BoolVar(&opts.dryRun, "dry-run", false, "say what would be done, and do nothing")
	return c
}

func runLogout(ctx context.Context, a *app, opts logoutOptions) error {
	if opts.all && len(opts.args) > 0 {
		return usagef("--all and the name of a profile exclude each other")
	}
	cfg, err := a.config()
	if err != nil {
		return err
	}
	if !opts.all {
		p, err := a.profile(opts.args)
		if err != nil {
			return err
		}
		return a.logout(ctx, cfg, p, opts)
	}
	var failed error
	for _, name := range cfg.Names() {
		if err := a.logout(ctx, cfg, cfg.Profiles[name], opts); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", name, err))
		}
	}
	return failed
}

func (a *app) logout(ctx context.Context, cfg *config.Config, p config.Profile, opts logoutOptions) error {
	s, err := a.session(p)
	if err != nil {
		return err
	}
	s.Current = func() error { return a.stillIn(s.Store, p.Name) }
	provider, _ := config.FindProvider(p.Provider)
	revokes := !opts.local && provider.Revocation != config.RevokesNothing
	a.warnGrantMates(cfg, p, provider, revokes)
	if opts.dryRun {
		a.note("%s: would %s.", p.Name, logoutPlan(revokes))
		return nil
	}
	if !revokes {
		if err := s.Forget(ctx); err != nil {
			return forProfile(err, p.Name)
		}
		a.note("%s: deleted here, not revoked at the server.", p.Name)
		if !opts.local {
			a.note("%s has no way to revoke from a terminal: end it at %s", provider.Title, provider.RevokeAt)
		}
		return nil
	}
	steps, err := s.Logout(ctx)
	if errors.Is(err, session.ErrLoginRequired) {
		a.note("%s: is not logged in; nothing to do.", p.Name)
		return s.Forget(ctx)
	}
	reportErr := a.reportSteps(p, provider, steps)
	if err != nil {
		err = withHint(forProfile(err, p.Name), "to delete the login here without revoking it: 'fob logout %s --local'", p.Name)
		return errors.Join(err, reportErr)
	}
	a.note("%s: deleted here.", p.Name)
	return reportErr
}

func logoutPlan(revokes bool) string {
	if revokes {
		return "revoke the refresh token and the access token at the server, then delete the login here"
	}
	return "delete the login here, and revoke nothing at the server"
}

// warnGrantMates names the other profiles that a revocation ends too, where the
// provider revokes everything that the user granted to the client.
func (a *app) warnGrantMates(cfg *config.Config, p config.Profile, provider config.Provider, revokes bool) {
	if !revokes || provider.Revocation != config.RevokesGrant {
		return
	}
	for _, name := range cfg.Names() {
		mate := cfg.Profiles[name]
		if name != p.Name && mate.Provider == p.Provider && mate.ClientID == p.ClientID {
			a.note("%s: %s ends the whole grant, and with it profile %q if that is the same account.", p.Name, provider.Title, name)
		}
	}
}

// reportSteps says what became of each token. A token that could have been
// revoked and was not is the returned error.
func (a *app) reportSteps(p config.Profile, provider config.Provider, steps []session.Step) error {
	var failed error
	for _, step := range steps {
		switch {
		case step.Err == nil:
			a.note("%s: %s revoked.", p.Name, step.Token)
		case errors.Is(step.Err, oauth.ErrUnsupported):
			a.note("%s: %s not revoked: the server offers no revocation.%s", p.Name, step.Token, byHand(provider))
		default:
			a.note("%s: %s not revoked.", p.Name, step.Token)
			failed = errors.Join(failed, fmt.Errorf("the %s of %q was not revoked: %w", step.Token, p.Name, step.Err))
		}
	}
	if failed != nil {
		return withHint(&localError{failed}, "it stays good until it expires; end it by hand in the account's settings%s", byHand(provider))
	}
	return nil
}

func byHand(provider config.Provider) string {
	if provider.RevokeAt == "" {
		return ""
	}
	return " End it at " + provider.RevokeAt
}

// localError is a failure whose status is 1, whatever caused it.
type localError struct{ cause error }

func (e *localError) Error() string { return e.cause.Error() }
