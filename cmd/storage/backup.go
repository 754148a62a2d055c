package storage

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/complete"
	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/records"
	"github.com/fobcli/fob/internal/secret"
	"github.com/fobcli/fob/internal/session"
)

// maxBackup bounds a backup: a thousand of the largest records.
const maxBackup = 128 << 20

// backup is what the encrypted file holds. It exists in memory alone.
type backup struct {
	Version int           `json:"fob_backup"`
	MadeAt  time.Time     `json:"made_at"`
	Config  string        `json:"config"` // the profiles' settings, as in config.toml
	Logins  []backedLogin `json:"logins"`
	Secrets []backedLogin `json:"secrets,omitempty"` // those that others have issued
	Peppers []byte        `json:"peppers,omitempty"` // of API keys
}

type backedLogin struct {
	Profile string `json:"profile"` // or the secret's name
	Head    []byte `json:"head"`
	Body    []byte `json:"body"`
}

type backupOptions struct {
	args           []string
	file           string
	passphraseFile string
	storage        string
	force, dryRun  bool
}

func newStorageBackupCmd(a *app.App) *cobra.Command {
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
	cfg, err := a.Config()
	if err != nil {
		return err
	}
	profiles, others, err := records.Select(ctx, a, cfg, opts.args)
	if err != nil {
		return err
	}
	b := backup{Version: 1, MadeAt: a.Now().UTC()}
	kept, err := backUpLogins(ctx, a, &b, profiles, len(opts.args) > 0)
	if err != nil {
		return err
	}
	secrets, err := backUpRecords(ctx, a, &b, cfg, others, len(opts.args) > 0)
	if err != nil {
		return err
	}
	if len(kept)+len(secrets) == 0 && b.Peppers == nil {
		return cli.WithHint(cli.Usagef("there is no login and no secret to back up"), "'fob status' shows the logins, 'fob secret list' the secrets")
	}
	b.Config = string(config.Marshal(kept, secrets))
	passphrase, err := backupPassphrase(ctx, a, opts, true)
	if err != nil {
		return err
	}
	if err := writeBackup(a, b, passphrase, opts); err != nil {
		return err
	}
	a.Note("%s backed up.", b.countText())
	if len(kept) > 0 {
		a.Note("Log out here, or there: a server that renews refresh tokens ends a login that two machines use.")
	}
	return nil
}

func (b *backup) countText() string {
	others := make([]records.Record, len(b.Secrets))
	if b.Peppers != nil {
		others = append(others, records.Record{Label: records.PeppersLabel})
	}
	return records.CountOfRecords(len(b.Logins), others)
}

// backUpLogins puts logins into a backup. One that is not there is passed over, unless it
// was named.
func backUpLogins(ctx context.Context, a *app.App, b *backup, profiles []config.Profile, named bool) (kept []config.Profile, err error) {
	for _, p := range profiles {
		s, err := a.LocalSession(p)
		if err != nil {
			return nil, err
		}
		stored, err := s.Export(ctx)
		if errors.Is(err, session.ErrLoginRequired) && !named {
			a.Note("%s: passed over, it is not logged in.", p.Name)
			continue
		}
		if err != nil {
			return nil, cli.ForProfile(err, p.Name)
		}
		kept = append(kept, p)
		b.Logins = append(b.Logins, backedLogin{p.Name, stored.Head, stored.Body})
	}
	return kept, nil
}

// backUpRecords puts secrets and peppers into a backup, as backUpLogins does.
func backUpRecords(ctx context.Context, a *app.App, b *backup, cfg *config.Config, others []records.Record, named bool) (kept []config.Secret, err error) {
	for _, r := range others {
		stored, err := r.Entry.Get(ctx)
		if errors.Is(err, credstore.ErrNotFound) && !named {
			a.Note("%s: passed over, it has no value.", r.Label)
			continue
		}
		if err == nil {
			err = r.Check(stored)
		}
		if err != nil {
			return nil, r.Failed(err)
		}
		if r.Label == records.PeppersLabel {
			b.Peppers = stored.Head
			continue
		}
		name := strings.TrimPrefix(r.Label, app.SecretReference)
		kept = append(kept, cfg.Secrets[name])
		b.Secrets = append(b.Secrets, backedLogin{name, stored.Head, stored.Body})
	}
	return kept, nil
}

// backupPassphrase is what opens a backup; fresh: one that is being written.
func backupPassphrase(ctx context.Context, a *app.App, opts backupOptions, fresh bool) (secret.Secret, error) {
	const question = "Passphrase of the backup:"
	var passphrase secret.Secret
	var err error
	switch path := opts.passphraseFile; {
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

func writeBackup(a *app.App, b backup, passphrase secret.Secret, opts backupOptions) error {
	plain, err := json.Marshal(b)
	if err != nil {
		return err
	}
	recipient, err := age.NewScryptRecipient(passphrase.Reveal())
	if err != nil {
		return err
	}
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, recipient)
	if err != nil {
		return err
	}
	if _, err := w.Write(plain); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	switch {
	case opts.file == "-":
		_, err = a.Out.Raw().Write(sealed.Bytes())
	case opts.force:
		err = atomicfile.Write(opts.file, sealed.Bytes())
	default:
		err = atomicfile.Create(opts.file, sealed.Bytes())
		if errors.Is(err, os.ErrExist) {
			err = cli.WithHint(cli.Usagef("%s is there already", opts.file), "give another name, or --force")
		}
	}
	return err
}
