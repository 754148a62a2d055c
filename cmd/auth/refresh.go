package auth

import (
	"cmp"
	"context"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/session"
)

type refreshOptions struct {
	All bool `flag:"all" help:"refresh every login"`
}

func NewRefresh(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "refresh [PROFILE...]",
		Short: "Refresh logins before they expire",
		Long: `Refresh logins now, for instance from cron: many servers end a login that is not
used for a while. If one login fails, the others are refreshed all the same. --all
skips profiles without a login, and logins that cannot be refreshed.`,
		Example: `  fob refresh work
  fob refresh --all`,
		Args: func(_ *cobra.Command, args []string) error { return usage.CheckNames(args) },
	}, refreshOptions{}, runRefresh, cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitLoginRequired, cli.ExitUnavailable, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitInterrupted)
}

func runRefresh(ctx context.Context, a *app.App, args []string, opts refreshOptions) error {
	profiles, err := selectProfiles(a, args, opts.All)
	if err != nil {
		return err
	}
	if len(profiles) == 1 {
		return cli.ForProfile(refresh(ctx, a, profiles[0], opts.All), profiles[0].Name)
	}
	errs := app.ForEach(ctx, a, profiles, func(a *app.App, p config.Profile) error { return refresh(ctx, a, p, opts.All) })
	var failed cli.Failures
	for i, p := range profiles {
		failed.Of(p.Name, errs[i])
	}
	return cmp.Or(ctx.Err(), failed.Err())
}

func refresh(ctx context.Context, a *app.App, p config.Profile, all bool) error {
	s, err := a.LocalSession(p)
	if err != nil {
		return err
	}
	if all && !s.Status(ctx).Refreshes {
		a.Note("%s: skipped, nothing to refresh.", p.Name)
		return nil
	}
	token, err := a.Token(ctx, p, session.TokenOptions{ForceRefresh: true})
	if err != nil {
		return err
	}
	a.Note("%s: refreshed%s.", p.Name, cli.TextIf(!token.ExpiresAt.IsZero(), ", valid until "+cli.TimeText(token.ExpiresAt)))
	return nil
}
