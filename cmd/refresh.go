package cmd

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/session"
)

type refreshOptions struct {
	args []string
	all  bool
}

func newRefreshCmd(a *app) *cobra.Command {
	var opts refreshOptions
	c := &cobra.Command{
		Use:   "refresh [PROFILE...]",
		Short: "Refresh logins, to keep them alive",
		Long: `Refresh logins now, for instance from cron: a login that the server ends when it
is not used for a while stays alive. Nothing is printed on stdout. A login that
fails does not keep the others from being refreshed.

With --all, profiles without a login, and logins that cannot be refreshed, are
passed over.

` + exitHelp(exitDone, exitFailed, exitUsage, exitLoginRequired, exitUnavailable, exitStorage, exitLockTimeout, exitInterrupted),
		Example: `  fob refresh work
  fob refresh --all`,
		Args:              func(_ *cobra.Command, args []string) error { return checkNames(args) },
		ValidArgsFunction: completionsOf(a).completeMoreProfiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.args = args
			return runRefresh(cmd.Context(), a, opts)
		},
	}
	c.Flags().BoolVar(&opts.all, "all", false, "refresh every login")
	return c
}

func runRefresh(ctx context.Context, a *app, opts refreshOptions) error {
	profiles, err := a.profilesToRefresh(opts)
	if err != nil {
		return err
	}
	if len(profiles) == 1 {
		return forProfile(a.refresh(ctx, profiles[0], opts.all), profiles[0].Name)
	}
	var failed failures
	for _, p := range profiles {
		failed.of(p.Name, a.refresh(ctx, p, opts.all))
	}
	return failed.err()
}

func (a *app) profilesToRefresh(opts refreshOptions) ([]config.Profile, error) {
	if opts.all && len(opts.args) > 0 {
		return nil, usagef("--all and the name of a profile exclude each other")
	}
	cfg, err := a.config()
	if err != nil {
		return nil, err
	}
	names := opts.args
	if opts.all {
		names = cfg.Names()
	}
	if len(names) == 0 && !opts.all {
		p, err := a.profile(nil)
		return []config.Profile{p}, err
	}
	var profiles []config.Profile
	for _, name := range names {
		p, err := a.profile([]string{name})
		if err != nil {
			return nil, err
		}
		profiles = append(profiles, p)
	}
	return profiles, nil
}

func (a *app) refresh(ctx context.Context, p config.Profile, all bool) error {
	s, err := a.localSession(p)
	if err != nil {
		return err
	}
	if all && !s.Status(ctx).Refreshes {
		a.note("%s: passed over, there is nothing to refresh.", p.Name)
		return nil
	}
	token, err := a.token(ctx, p, session.TokenOptions{ForceRefresh: true})
	if err != nil {
		return err
	}
	a.note("%s: refreshed%s.", p.Name, goodUntil(token))
	return nil
}

func goodUntil(token *session.Token) string {
	if token.ExpiresAt.IsZero() {
		return ""
	}
	return fmt.Sprintf(", good until %s", timeText(token.ExpiresAt))
}
