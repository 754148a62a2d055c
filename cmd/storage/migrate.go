package storage

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/complete"
	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/records"
)

type migrateOptions struct {
	to     string
	dryRun bool
}

func newMigrate(a *app.App) *cobra.Command {
	var opts migrateOptions
	c := &cobra.Command{
		Use:   "migrate --to STORAGE [PROFILE|secret/NAME...]",
		Short: "Move logins and secrets to another storage",
		Long: `Move logins and secrets (default: all, and the peppers of API keys) to the OS keyring or
to encrypted files. No login is ended.

Each record is copied, read back and only then deleted from its old storage. After an
interruption it is in the storage that config.toml names.

` + usage.ExitHelp(cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitInterrupted),
		Example: `  fob storage migrate --to file work
  fob storage migrate --to file secret/stripe/prod
  fob storage migrate --to keyring --dry-run`,
		Args:              usage.RecordArgs,
		ValidArgsFunction: complete.New(a).Records,
		RunE:              func(cmd *cobra.Command, args []string) error { return runMigrate(cmd.Context(), a, args, opts) },
	}
	c.Flags().StringVar(&opts.to, "to", "", "the `STORAGE`: keyring or file")
	c.Flags().BoolVar(&opts.dryRun, "dry-run", false, "show what would be moved, and move nothing")
	_ = c.RegisterFlagCompletionFunc("to", complete.Storage)
	return c
}

func runMigrate(ctx context.Context, a *app.App, args []string, opts migrateOptions) error {
	if opts.to == "" {
		return cli.WithHint(cli.Usagef("--to is required"), "use --to keyring or --to file")
	}
	if err := app.CheckStorage(opts.to); err != nil {
		return err
	}
	all, err := records.Select(ctx, a, args)
	if err != nil {
		return err
	}
	return each(ctx, all, func(r records.Record) error { return migrate(ctx, a, r, opts) })
}

func migrate(ctx context.Context, a *app.App, r records.Record, opts migrateOptions) error {
	if opts.dryRun && r.Storage != opts.to {
		a.Note("%s: would move from %q to %q.", r.Label, r.Storage, opts.to)
		return nil
	}
	if opts.dryRun {
		a.Note("%s: already in %q.", r.Label, opts.to)
		return nil
	}
	moved, err := r.Move(ctx, opts.to)
	switch {
	case err != nil:
		return err
	case moved.Already:
		a.Note("%s: already in %q.", r.Label, opts.to)
	case moved.Missing:
		a.Note("%s: %s; its storage is now %q.", r.Label, r.Missing(), opts.to)
	default:
		a.Note("%s: moved to %q.", r.Label, opts.to)
	}
	if moved.Left != nil {
		a.Warn(fmt.Sprintf("%s: the old record could not be deleted ('fob storage check' tries again): %s", r.Label, moved.Left))
	}
	return nil
}
