package storage

import (
	"context"
	"errors"
	"os"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/complete"
	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/records"
	"github.com/fobcli/fob/internal/secret"
)

type backupOptions struct {
	args           []string
	file           string
	passphraseFile string
	force          bool
}

func newBackup(a *app.App) *cobra.Command {
	var opts backupOptions
	c := &cobra.Command{
		Use:   "backup --output FILE [PROFILE|secret/NAME...]",
		Short: "Write logins and secrets to one encrypted file, for a new machine",
		Long: `Write logins and secrets (default: all that there are, and the peppers of API keys) and
their settings to one file, encrypted with a passphrase in the age format: 'fob storage
restore' or 'age --decrypt' opens it.

It is for moving to a new machine. Where a server gives a new refresh token with
each refresh, two machines cannot share a login: the server ends both.

` + usage.ExitHelp(cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitInterrupted),
		Example: `  fob storage backup --output fob.age
  fob storage backup --output fob.age --passphrase-file phrase.txt work`,
		Args:              usage.RecordArgs,
		ValidArgsFunction: complete.New(a).Records,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.args = args
			return runBackup(cmd.Context(), a, opts)
		},
	}
	c.Flags().StringVarP(&opts.file, "output", "o", "", "the `FILE` to write, or - for stdout")
	c.Flags().StringVar(&opts.passphraseFile, "passphrase-file", "", "read the backup's passphrase from a `FILE`")
	c.Flags().BoolVar(&opts.force, "force", false, "replace a file that is there")
	return c
}

func runBackup(ctx context.Context, a *app.App, opts backupOptions) error {
	if opts.file == "" {
		return cli.WithHint(cli.Usagef("where to?"), "give --output FILE")
	}
	all, err := records.Select(ctx, a, opts.args)
	if err != nil {
		return err
	}
	b := records.NewBackup(a.Now())
	for _, r := range all {
		err := b.Add(ctx, r)
		if records.IsMissing(err) && len(opts.args) == 0 {
			a.Note("%s: skipped, %s.", r.Label, r.Missing())
		} else if err != nil {
			return err
		}
	}
	if len(b.Records) == 0 {
		return cli.WithHint(cli.Usagef("there is no login and no secret to back up"), "'fob status' shows the logins, 'fob secret list' the secrets")
	}
	passphrase, err := backupPassphrase(ctx, a, opts.passphraseFile, true)
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
		a.Note("Log out here, or there: a server that renews refresh tokens ends a login that two machines use.")
	}
	return nil
}

func writeBackup(a *app.App, file []byte, opts backupOptions) error {
	if opts.file == "-" {
		_, err := a.Out.Raw().Write(file)
		return err
	}
	if opts.force {
		return atomicfile.Write(opts.file, file)
	}
	err := atomicfile.Create(opts.file, file)
	if errors.Is(err, os.ErrExist) {
		err = cli.WithHint(cli.Usagef("%s is there already", opts.file), "give another name, or --force")
	}
	return err
}

// backupPassphrase is what opens a backup; fresh: one that is being written.
func backupPassphrase(ctx context.Context, a *app.App, path string, fresh bool) (secret.Secret, error) {
	const question = "Passphrase of the backup:"
	var passphrase secret.Secret
	var err error
	switch {
	case path != "" && fresh:
		passphrase, err = cli.NewPassphraseIn(path)
	case path != "":
		passphrase, err = cli.ReadSecretFile(path)
	case fresh:
		passphrase, err = a.AskNewPassphrase(ctx, question)
	default:
		passphrase, err = a.AskSecret(ctx, question)
	}
	if errors.Is(err, cli.ErrNoTerminal) {
		err = cli.WithHint(cli.AsUsage(err), "give --passphrase-file")
	}
	return passphrase, err
}
