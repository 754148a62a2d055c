package storage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/records"
	"github.com/fobcli/fob/internal/secret"
)

// backupQuestion is the prompt without --passphrase-file.
const backupQuestion = "Passphrase of the backup:"

type backupOptions struct {
	File           string `flag:"output,o" required:"use --output FILE, or - for stdout" help:"write to {FILE}, or - for stdout"`
	PassphraseFile string `flag:"passphrase-file" empty:"refused" help:"read the backup's passphrase from a {FILE}"`
	Force          bool   `flag:"force" help:"overwrite an existing file"`
}

func newBackup(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "backup --output FILE [PROFILE|secret/NAME...]",
		Short: "Write logins and secrets to an encrypted file",
		Long: `Write logins and secrets (default: all, and the peppers of API keys) and their settings
to one file, encrypted with a passphrase in the age format. 'fob storage restore' or
'age --decrypt' opens it.

Use it to move to another machine. Two machines cannot share a login if the server
rotates refresh tokens: it ends the login on both. So delete it on the old machine with
'fob logout PROFILE --local', which does not revoke it.`,
		Example: `  fob storage backup --output fob.age
  fob storage backup --output fob.age --passphrase-file phrase.txt work`,
		Args: usage.RecordArgs,
	}, backupOptions{}, runBackup, cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitInterrupted)
}

func runBackup(ctx context.Context, a *app.App, args []string, opts backupOptions) error {
	all, err := records.Select(ctx, a, args)
	if err != nil {
		return err
	}
	b := records.NewBackup(a.Now())
	for _, r := range all {
		err := b.Add(ctx, r)
		if records.IsMissing(err) && len(args) == 0 {
			a.Note("%s: skipped, %s.", r.Label, r.Missing())
		} else if err != nil {
			return err
		}
	}
	if len(b.Records) == 0 {
		return cli.WithHint(cli.Usagef("there is no login and no secret to back up"), "run 'fob status' to see the logins, 'fob secret list' to see the secrets")
	}
	passphrase, err := newPassphrase(ctx, a, opts.PassphraseFile, backupQuestion)
	if err != nil {
		return err
	}
	file, err := b.Encrypt(passphrase)
	if err != nil {
		return err
	}
	if err := writeBackup(a, file, opts); err != nil {
		return err
	}
	a.Note("%s backed up.", records.Count(b.Records))
	if len(b.Logins) > 0 {
		a.Note("After restoring a login on another machine, delete it here with 'fob logout PROFILE --local': a server that rotates refresh tokens ends a login that two machines use.")
	}
	return nil
}

func writeBackup(a *app.App, file []byte, opts backupOptions) error {
	if opts.File == "-" {
		_, err := a.Out.Raw().Write(file)
		return err
	}
	if opts.Force {
		return atomicfile.Write(opts.File, file)
	}
	err := atomicfile.Create(opts.File, file)
	if errors.Is(err, os.ErrExist) {
		err = cli.WithHint(cli.Usagef("%s already exists", opts.File), "use another name, or --force to overwrite it")
	}
	return err
}

type restoreOptions struct {
	PassphraseFile string `flag:"passphrase-file" empty:"refused" help:"read the backup's passphrase from a {FILE}"`
	Storage        string `flag:"storage" values:"keyring file" help:"store everything in {STORAGE}: keyring or file"`
	Force          bool   `flag:"force" help:"replace what this machine already has"`
	DryRun         bool   `flag:"dry-run" help:"show what would be restored, and restore nothing"`
}

func newRestore(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "restore FILE",
		Short: "Restore logins and secrets from a backup",
		Long: `Restore the logins, secrets, peppers of API keys and settings from a file that
'fob storage backup' wrote. What this machine already has is not replaced without --force.

Each record is stored where its settings say, or in --storage.`,
		Example: `  fob storage restore fob.age
  fob storage restore fob.age --storage file --dry-run`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return cli.WithHint(cli.Usagef("'%s' takes one file", cmd.CommandPath()), "see '%s --help'", cmd.CommandPath())
			}
			return nil
		},
	}, restoreOptions{}, runRestore, cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitInterrupted)
}

func runRestore(ctx context.Context, a *app.App, args []string, opts restoreOptions) error {
	a.MakesConfig = true
	backed, err := readBackup(ctx, a, args[0], opts.PassphraseFile)
	if err != nil {
		return err
	}
	how := records.RestoreOptions{Storage: opts.Storage, Force: opts.Force, DryRun: opts.DryRun}
	if opts.Force && !opts.DryRun {
		records.MarkReplaced(a, backed, how)
	}
	all := records.Restore(ctx, a, backed, how)
	failed := each(context.WithoutCancel(ctx), all, func(r records.Restored) error { return printRestored(a, r, opts.DryRun) })
	return cmp.Or(ctx.Err(), failed)
}

func readBackup(ctx context.Context, a *app.App, path, passphraseFile string) ([]records.Backed, error) {
	sealed, err := cli.OpenArgument(path)
	if err != nil {
		return nil, cli.WithHint(err, "name a file that 'fob storage backup' wrote")
	}
	defer sealed.Close()
	file, err := io.ReadAll(io.LimitReader(sealed, records.MaxBackup))
	if err != nil {
		return nil, err
	}
	read := func() (secret.Secret, error) { return a.AskSecret(ctx, backupQuestion) }
	if passphraseFile != "" {
		read = func() (secret.Secret, error) { return cli.ReadSecretFile(passphraseFile) }
	}
	passphrase, err := read()
	if err != nil {
		return nil, passphraseError(err)
	}
	backed, err := records.ReadBackup(a, file, passphrase)
	for _, hint := range []cli.ErrorHint{
		cli.HintOn(records.ErrPassphrase, "nothing was changed; try again"),
		cli.HintOn(records.ErrNotBackup, "nothing was changed; 'fob storage backup' writes one"),
		cli.HintOn(records.ErrCutOff, "nothing was changed; copy the backup again"),
	} {
		if errors.Is(err, hint.Target) {
			return nil, cli.WithHint(fmt.Errorf("%s: %w", path, err), "%s", hint.Hint)
		}
	}
	return backed, err
}

func printRestored(a *app.App, r records.Restored, isDryRun bool) error {
	if r.Err != nil {
		return r.Err
	}
	for _, name := range r.KeptPeppers {
		a.Note("%s: %s already exists, not replaced; --force replaces it.", r.Label, name)
	}
	switch {
	case r.Kept:
		a.Note("%s: already exists, not replaced; --force replaces it.", r.Label)
		return nil
	case isDryRun:
		a.Note("%s: would be restored to %q.", r.Label, r.Storage)
		return nil
	}
	a.Note("%s: restored to %q.", r.Label, r.Storage)
	if r.Left != nil {
		a.Warn(fmt.Sprintf("%s: the previous record could not be deleted from its storage: %s", r.Label, r.Left))
	}
	if r.SharedWith != "" {
		a.Warn(fmt.Sprintf("%s is ambiguous now: it belongs to the secrets %q and %q", config.SecretVariable(r.Name), r.SharedWith, r.Name))
	}
	return nil
}
