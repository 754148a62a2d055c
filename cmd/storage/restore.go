package storage

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/complete"
	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/records"
)

type restoreOptions struct {
	file, passphraseFile string
	records.RestoreOptions
}

func newRestore(a *app.App) *cobra.Command {
	var opts restoreOptions
	c := &cobra.Command{
		Use:   "restore FILE",
		Short: "Take logins and secrets from a backup",
		Long: `Take the logins, the secrets, the peppers of API keys and the settings from a file that
'fob storage backup' wrote. What is here already is kept, unless --force is given. Each
goes to the storage that its settings name, or to --storage.

` + usage.ExitHelp(cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitInterrupted),
		Example: `  fob storage restore fob.age
  fob storage restore fob.age --storage file --dry-run`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return cli.WithHint(cli.Usagef("'%s' takes one file", cmd.CommandPath()), "see '%s --help'", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.file = args[0]
			return runRestore(cmd.Context(), a, opts)
		},
	}
	c.Flags().StringVar(&opts.passphraseFile, "passphrase-file", "", "read the backup's passphrase from a `FILE`")
	c.Flags().StringVar(&opts.Storage, "storage", "", "the `STORAGE` to put all into: keyring or file")
	c.Flags().BoolVar(&opts.Force, "force", false, "replace what is here already")
	c.Flags().BoolVar(&opts.DryRun, "dry-run", false, "say what would be restored, and restore nothing")
	_ = c.RegisterFlagCompletionFunc("storage", complete.Storage)
	return c
}

func runRestore(ctx context.Context, a *app.App, opts restoreOptions) error {
	if opts.Storage != "" {
		if err := app.CheckStorage(opts.Storage); err != nil {
			return err
		}
	}
	a.MakesConfig = true
	backed, err := readBackup(ctx, a, opts)
	if err != nil {
		return err
	}
	return each(ctx, backed, func(r records.Backed) error { return restore(ctx, a, r, opts.RestoreOptions) })
}

func readBackup(ctx context.Context, a *app.App, opts restoreOptions) ([]records.Backed, error) {
	file, err := atomicfile.ReadRegular(opts.file, records.MaxBackup)
	if err != nil {
		return nil, cli.AsUsage(err)
	}
	passphrase, err := backupPassphrase(ctx, a, opts.passphraseFile, false)
	if err != nil {
		return nil, err
	}
	backed, err := records.ReadBackup(a, file, passphrase)
	for _, hint := range []cli.ErrorHint{
		cli.HintOn(records.ErrPassphrase, "nothing was changed; try again"),
		cli.HintOn(records.ErrNotBackup, "nothing was changed; 'fob storage backup' writes one"),
		cli.HintOn(records.ErrCutOff, "nothing was changed; copy the backup again"),
	} {
		if errors.Is(err, hint.Target) {
			return nil, cli.WithHint(fmt.Errorf("%s: %w", opts.file, err), "%s", hint.Hint)
		}
	}
	return backed, err
}

func restore(ctx context.Context, a *app.App, r records.Backed, opts records.RestoreOptions) error {
	restored, err := r.Restore(ctx, a, opts)
	if err != nil {
		return err
	}
	for _, name := range restored.KeptPeppers {
		a.Note("%s: %s is kept as it is here; --force replaces it.", r.Label, name)
	}
	switch {
	case restored.Kept:
		a.Note("%s: kept as it is here; --force replaces it.", r.Label)
		return nil
	case opts.DryRun:
		a.Note("%s: would be restored to %q.", r.Label, restored.Storage)
		return nil
	}
	a.Note("%s: restored to %q.", r.Label, restored.Storage)
	if restored.Left != nil {
		a.Warn(fmt.Sprintf("%s: the previous record could not be deleted from its storage: %s", r.Label, restored.Left))
	}
	if restored.SharedWith != "" {
		a.Warn(fmt.Sprintf("%s is ambiguous now: it belongs to the secret %q as well as to %q", config.SecretVariable(r.Name), restored.SharedWith, r.Name))
	}
	return nil
}
