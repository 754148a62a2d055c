package storage

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/records"
)

type migrateOptions struct {
	To     string `flag:"to" required:"use --to keyring or --to file" values:"keyring file" help:"the {STORAGE}: keyring or file"`
	DryRun bool   `flag:"dry-run" help:"show what would be moved, and move nothing"`
}

func newMigrate(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "migrate --to STORAGE [PROFILE|secret/NAME...]",
		Short: "Move logins and secrets to another storage",
		Long: `Move logins and secrets (default: all, and the peppers of API keys) to the OS keyring or
to encrypted files. No login is ended.

Each record is copied, read back and only then deleted from its old storage. After an
interruption it is in the storage that config.toml names.`,
		Example: `  fob storage migrate --to file work
  fob storage migrate --to file secret/stripe/prod
  fob storage migrate --to keyring --dry-run`,
		Args: usage.RecordArgs,
	}, migrateOptions{}, runMigrate, cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitInterrupted)
}

func runMigrate(ctx context.Context, a *app.App, args []string, opts migrateOptions) error {
	all, err := records.Select(ctx, a, args)
	if err != nil {
		return err
	}
	return each(ctx, all, func(r records.Record) error { return migrate(ctx, a, r, opts) })
}

func migrate(ctx context.Context, a *app.App, r records.Record, opts migrateOptions) error {
	if opts.DryRun && r.Storage != opts.To {
		a.Note("%s: would move from %q to %q.", r.Label, r.Storage, opts.To)
		return nil
	}
	if opts.DryRun {
		a.Note("%s: already in %q.", r.Label, opts.To)
		return nil
	}
	moved, err := r.Move(ctx, opts.To)
	switch {
	case err != nil:
		return err
	case moved.Already:
		a.Note("%s: already in %q.", r.Label, opts.To)
	case moved.Missing:
		a.Note("%s: %s; its storage is now %q.", r.Label, r.Missing(), opts.To)
	default:
		a.Note("%s: moved to %q.", r.Label, opts.To)
	}
	if moved.Left != nil {
		a.Warn(fmt.Sprintf("%s: the old record could not be deleted ('fob storage check' tries again): %s", r.Label, moved.Left))
	}
	return nil
}
