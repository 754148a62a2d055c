package storage

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/complete"
	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/records"
	"github.com/fobcli/fob/internal/session"
)

type migrateOptions struct {
	args   []string
	to     string
	dryRun bool
}

func newStorageMigrateCmd(a *app.App) *cobra.Command {
	var opts migrateOptions
	c := &cobra.Command{
		Use:   "migrate --to STORAGE [PROFILE|secret/NAME...]",
		Short: "Move logins and secrets to another storage",
		Long: `Move logins and secrets (default: all, and the peppers of API keys) to the OS keyring or
to encrypted files. Each is copied, read back, and only then deleted where it was: a crash
leaves it in the storage that config.toml names. No login is ended by it.

` + usage.ExitHelp(cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitInterrupted),
		Example: `  fob storage migrate --to file work
  fob storage migrate --to file secret/stripe/prod
  fob storage migrate --to keyring --dry-run`,
		Args:              usage.RecordArgs,
		ValidArgsFunction: complete.New(a).Records,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.args = args
			return runMigrate(cmd.Context(), a, opts)
		},
	}
	c.Flags().StringVar(&opts.to, "to", "", "the `STORAGE`: keyring or file")
	c.Flags().BoolVar(&opts.dryRun, "dry-run", false, "say what would be moved, and move nothing")
	_ = c.RegisterFlagCompletionFunc("to", complete.Storage)
	return c
}

func runMigrate(ctx context.Context, a *app.App, opts migrateOptions) error {
	if opts.to == "" {
		return cli.WithHint(cli.Usagef("where to?"), "give --to keyring or --to file")
	}
	if err := app.CheckStorage(opts.to); err != nil {
		return err
	}
	cfg, err := a.Config()
	if err != nil {
		return err
	}
	profiles, others, err := records.Select(ctx, a, cfg, opts.args)
	if err != nil {
		return err
	}
	var failed error
	for _, p := range profiles {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := migrate(ctx, a, cfg, p, opts); err != nil {
			failed = errors.Join(failed, cli.ForProfile(fmt.Errorf("%s: %w", p.Name, err), p.Name))
		}
	}
	for _, r := range others {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		failed = errors.Join(failed, r.Failed(records.MigrateRecord(ctx, a, r, opts.to, opts.dryRun)))
	}
	return failed
}

func migrate(ctx context.Context, a *app.App, cfg *config.Config, p config.Profile, opts migrateOptions) error {
	from, err := cfg.StorageFor(p.Storage)
	if err != nil {
		return err
	}
	switch {
	case from == opts.to && p.Storage == opts.to:
		a.Note("%s: is in %q already.", p.Name, opts.to)
		return nil
	case opts.dryRun:
		a.Note("%s: would move from %q to %q.", p.Name, from, opts.to)
		return nil
	}
	p.Storage = from
	s, err := a.LocalSession(p)
	if err != nil {
		return err
	}
	s.Current = func() error { return a.StillIn(s.Store, p.Name) }
	p.Storage = opts.to
	settle := func() error { return config.SaveProfile(cfg.Paths.Config, p) }
	if from != opts.to {
		to, err := a.ProfileStore(p)
		if err != nil {
			return err
		}
		err = s.MoveTo(ctx, to, settle)
		switch {
		case err == nil:
			a.Note("%s: moved to %q.", p.Name, opts.to)
			return nil
		case !errors.Is(err, session.ErrLoginRequired):
			return cli.WithHint(err, "the login stays in %q and is as good as before; 'fob doctor' says what is amiss", from)
		}
	}
	if err := settle(); err != nil { // there is no login, or it is there already
		return err
	}
	a.Note("%s: from now on in %q.", p.Name, opts.to)
	return nil
}
