package cmd

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/session"
)

type migrateOptions struct {
	args   []string
	to     string
	dryRun bool
}

func newStorageMigrateCmd(a *app) *cobra.Command {
	var opts migrateOptions
	c := &cobra.Command{
		Use:   "migrate --to STORAGE [PROFILE|secret/NAME...]",
		Short: "Move logins and secrets to another storage",
		Long: `Move logins and secrets (default: all, and the peppers of API keys) to the OS keyring or
to encrypted files. Each is copied, read back, and only then deleted where it was: a crash
leaves it in the storage that config.toml names. No login is ended by it.

` + exitHelp(exitDone, exitFailed, exitUsage, exitStorage, exitLockTimeout, exitInterrupted),
		Example: `  fob storage migrate --to file work
  fob storage migrate --to file secret/stripe/prod
  fob storage migrate --to keyring --dry-run`,
		Args:              recordArgs,
		ValidArgsFunction: completionsOf(a).completeRecords,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.args = args
			return runMigrate(cmd.Context(), a, opts)
		},
	}
	c.Flags().StringVar(&opts.to, "to", "", "the `STORAGE`: keyring or file")
	c.Flags().BoolVar(&opts.dryRun, "dry-run", false, "say what would be moved, and move nothing")
	_ = c.RegisterFlagCompletionFunc("to", completeStorage)
	return c
}

func runMigrate(ctx context.Context, a *app, opts migrateOptions) error {
	if opts.to == "" {
		return withHint(usagef("where to?"), "give --to keyring or --to file")
	}
	if err := checkStorage(opts.to); err != nil {
		return err
	}
	cfg, err := a.config()
	if err != nil {
		return err
	}
	profiles, others, err := a.recordsFor(ctx, cfg, opts.args)
	if err != nil {
		return err
	}
	var failed error
	for _, p := range profiles {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := a.migrate(ctx, cfg, p, opts); err != nil {
			failed = errors.Join(failed, forProfile(fmt.Errorf("%s: %w", p.Name, err), p.Name))
		}
	}
	for _, r := range others {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		failed = errors.Join(failed, r.failed(a.migrateRecord(ctx, cfg, r, opts.to, opts.dryRun)))
	}
	return failed
}

func (a *app) migrate(ctx context.Context, cfg *config.Config, p config.Profile, opts migrateOptions) error {
	from, err := a.storageName(cfg, p)
	if err != nil {
		return err
	}
	switch {
	case from == opts.to && p.Storage == opts.to:
		a.note("%s: is in %q already.", p.Name, opts.to)
		return nil
	case opts.dryRun:
		a.note("%s: would move from %q to %q.", p.Name, from, opts.to)
		return nil
	}
	p.Storage = from
	s, err := a.localSession(p)
	if err != nil {
		return err
	}
	s.Current = func() error { return a.stillIn(s.Store, p.Name) }
	p.Storage = opts.to
	settle := func() error { return config.SaveProfile(cfg.Paths.Config, p) }
	if from != opts.to {
		to, err := a.store(cfg, p)
		if err != nil {
			return err
		}
		err = s.MoveTo(ctx, to, settle)
		switch {
		case err == nil:
			a.note("%s: moved to %q.", p.Name, opts.to)
			return nil
		case !errors.Is(err, session.ErrLoginRequired):
			return withHint(err, "the login stays in %q and is as good as before; 'fob doctor' says what is amiss", from)
		}
	}
	if err := settle(); err != nil { // there is no login, or it is there already
		return err
	}
	a.note("%s: from now on in %q.", p.Name, opts.to)
	return nil
}
