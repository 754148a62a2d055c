package cmd

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

	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
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

func newStorageBackupCmd(a *app) *cobra.Command {
	var opts backupOptions
	c := &cobra.Command{
		Use:   "backup --output FILE [PROFILE|secret/NAME...]",
		Short: "Write logins and secrets to one encrypted file, for a new machine",
		Long: `Write logins and secrets (default: all that there are, and the peppers of API keys) and
their settings to one file, encrypted with a passphrase in the age format: 'fob storage
restore' or 'age --decrypt' opens it.

It is for moving to a new machine. Where a server gives a new refresh token with
each refresh, two machines cannot share a login: the server ends both.

` + exitHelp(exitDone, exitFailed, exitUsage, exitStorage, exitLockTimeout, exitInterrupted),
		Example: `  fob storage backup --output fob.age
  fob storage backup --output fob.age --passphrase-file phrase.txt work`,
		Args:              recordArgs,
		ValidArgsFunction: completionsOf(a).completeRecords,
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

func runBackup(ctx context.Context, a *app, opts backupOptions) error {
	if opts.file == "" {
		return withHint(usagef("where to?"), "give --output FILE")
	}
	cfg, err := a.config()
	if err != nil {
		return err
	}
	profiles, others, err := a.recordsFor(ctx, cfg, opts.args)
	if err != nil {
		return err
	}
	b := backup{Version: 1, MadeAt: a.now().UTC()}
	kept, err := a.backUpLogins(ctx, &b, profiles, len(opts.args) > 0)
	if err != nil {
		return err
	}
	secrets, err := a.backUpRecords(ctx, &b, cfg, others, len(opts.args) > 0)
	if err != nil {
		return err
	}
	if len(kept)+len(secrets) == 0 && b.Peppers == nil {
		return withHint(usagef("there is no login and no secret to back up"), "'fob status' shows the logins, 'fob secret list' the secrets")
	}
	b.Config = string(config.Marshal(kept, secrets))
	passphrase, err := a.backupPassphrase(ctx, opts, true)
	if err != nil {
		return err
	}
	if err := a.writeBackup(b, passphrase, opts); err != nil {
		return err
	}
	a.note("%s backed up.", b.count())
	if len(kept) > 0 {
		a.note("Log out here, or there: a server that renews refresh tokens ends a login that two machines use.")
	}
	return nil
}

func (b *backup) count() string {
	others := make([]storedRecord, len(b.Secrets))
	if b.Peppers != nil {
		others = append(others, storedRecord{label: peppersLabel})
	}
	return countOfRecords(len(b.Logins), others)
}

// backUpLogins puts logins into a backup. One that is not there is passed over, unless it
// was named.
func (a *app) backUpLogins(ctx context.Context, b *backup, profiles []config.Profile, named bool) (kept []config.Profile, err error) {
	for _, p := range profiles {
		s, err := a.localSession(p)
		if err != nil {
			return nil, err
		}
		stored, err := s.Export(ctx)
		if errors.Is(err, session.ErrLoginRequired) && !named {
			a.note("%s: passed over, it is not logged in.", p.Name)
			continue
		}
		if err != nil {
			return nil, forProfile(err, p.Name)
		}
		kept = append(kept, p)
		b.Logins = append(b.Logins, backedLogin{p.Name, stored.Head, stored.Body})
	}
	return kept, nil
}

// backUpRecords puts secrets and peppers into a backup, as backUpLogins does.
func (a *app) backUpRecords(ctx context.Context, b *backup, cfg *config.Config, others []storedRecord, named bool) (kept []config.Secret, err error) {
	for _, r := range others {
		stored, err := r.entry.Get(ctx)
		if errors.Is(err, credstore.ErrNotFound) && !named {
			a.note("%s: passed over, it has no value.", r.label)
			continue
		}
		if err == nil {
			err = r.check(stored)
		}
		if err != nil {
			return nil, r.failed(err)
		}
		if r.label == peppersLabel {
			b.Peppers = stored.Head
			continue
		}
		name := strings.TrimPrefix(r.label, secretReference)
		kept = append(kept, cfg.Secrets[name])
		b.Secrets = append(b.Secrets, backedLogin{name, stored.Head, stored.Body})
	}
	return kept, nil
}

// backupPassphrase is what opens a backup; fresh: one that is being written.
func (a *app) backupPassphrase(ctx context.Context, opts backupOptions, fresh bool) (secret.Secret, error) {
	const question = "Passphrase of the backup:"
	var passphrase secret.Secret
	var err error
	switch path := opts.passphraseFile; {
	case path != "" && fresh:
		passphrase, err = newPassphraseIn(path)
	case path != "":
		passphrase, err = readSecretFile(path)
	case fresh:
		passphrase, err = a.askNewPassphrase(ctx, question)
	default:
		passphrase, err = a.askSecret(ctx, question)
	}
	if errors.Is(err, errNoTerminal) {
		err = withHint(usageOf(err), "give --passphrase-file")
	}
	return passphrase, err
}

func (a *app) writeBackup(b backup, passphrase secret.Secret, opts backupOptions) error {
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
		_, err = a.stdout.raw().Write(sealed.Bytes())
	case opts.force:
		err = atomicfile.Write(opts.file, sealed.Bytes())
	default:
		err = atomicfile.Create(opts.file, sealed.Bytes())
		if errors.Is(err, os.ErrExist) {
			err = withHint(usagef("%s is there already", opts.file), "give another name, or --force")
		}
	}
	return err
}
