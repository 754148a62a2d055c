package cmd

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
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
}

type backedLogin struct {
	Profile string `json:"profile"`
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
		Use:   "backup --output FILE [PROFILE...]",
		Short: "Write logins to one encrypted file, for a new machine",
		Long: `Write the logins of the profiles (default: all that there are) and their settings
to one file, encrypted with a passphrase in the age format: 'fob storage restore' or
'age --decrypt' opens it.

It is for moving to a new machine. Where a server gives a new refresh token with
each refresh, two machines cannot share a login: the server ends both.

` + exitHelp(exitDone, exitFailed, exitUsage, exitStorage, exitLockTimeout, exitInterrupted),
		Example: `  fob storage backup --output fob.age
  fob storage backup --output fob.age --passphrase-file phrase.txt work`,
		Args:              func(_ *cobra.Command, args []string) error { return checkNames(args) },
		ValidArgsFunction: a.completeProfiles,
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
	profiles, err := a.profilesFor(cfg, opts.args)
	if err != nil {
		return err
	}
	b := backup{Version: 1, MadeAt: a.now().UTC()}
	var kept []config.Profile
	for _, p := range profiles {
		s, err := a.localSession(p)
		if err != nil {
			return err
		}
		stored, err := s.Export(ctx)
		if errors.Is(err, session.ErrLoginRequired) && len(opts.args) == 0 {
			a.note("%s: passed over, it is not logged in.", p.Name)
			continue
		}
		if err != nil {
			return forProfile(err, p.Name)
		}
		kept = append(kept, p)
		b.Logins = append(b.Logins, backedLogin{p.Name, stored.Head, stored.Body})
	}
	if len(kept) == 0 {
		return withHint(usagef("there is no login to back up"), "'fob status' shows the logins")
	}
	b.Config = string(config.Marshal(kept, nil))
	passphrase, err := a.backupPassphrase(ctx, opts, true)
	if err != nil {
		return err
	}
	if err := a.writeBackup(b, passphrase, opts); err != nil {
		return err
	}
	a.note("%s backed up. Log out here, or there: a server that renews refresh tokens ends a login that two machines use.", plural(len(kept), "login", "logins"))
	return nil
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
		err = withHint(&usageError{err.Error()}, "give --passphrase-file")
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
		_, err = a.stdout.Write(sealed.Bytes())
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

func newStorageRestoreCmd(a *app) *cobra.Command {
	var opts backupOptions
	c := &cobra.Command{
		Use:   "restore FILE",
		Short: "Take logins from a backup",
		Long: `Take the logins and the profiles' settings from a file that 'fob storage backup'
wrote. A login that is here already is kept, unless --force is given. They go to the
storage that each profile names, or to --storage.

` + exitHelp(exitDone, exitFailed, exitUsage, exitStorage, exitLockTimeout, exitInterrupted),
		Example: `  fob storage restore fob.age
  fob storage restore fob.age --storage file --dry-run`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return withHint(usagef("'%s' takes one file", cmd.CommandPath()), "see '%s --help'", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.file = args[0]
			return runRestore(cmd.Context(), a, opts)
		},
	}
	c.Flags().StringVar(&opts.passphraseFile, "passphrase-file", "", "read the backup's passphrase from a `FILE`")
	c.Flags().StringVar(&opts.storage, "storage", "", "the `STORAGE` to put all logins into: keyring or file")
	c.Flags().BoolVar(&opts.force, "force", false, "replace logins that are here already")
	c.Flags().BoolVar(&opts.dryRun, "dry-run", false, "say what would be restored, and restore nothing")
	_ = c.RegisterFlagCompletionFunc("storage", completeStorage)
	return c
}

func runRestore(ctx context.Context, a *app, opts backupOptions) error {
	if opts.storage != "" {
		if err := checkStorage(opts.storage); err != nil {
			return err
		}
	}
	a.makesConfig = true
	b, profiles, err := a.readBackup(ctx, opts)
	if err != nil {
		return err
	}
	cfg, err := a.config()
	if err != nil {
		return err
	}
	var failed error
	for _, login := range b.Logins {
		p, ok := profiles.Profiles[login.Profile]
		if !ok {
			return errNoBackup
		}
		if err := a.restore(ctx, cfg, p, login, opts); err != nil {
			failed = errors.Join(failed, forProfile(fmt.Errorf("%s: %w", p.Name, err), p.Name))
		}
	}
	return failed
}

var errNoBackup = errors.New("what the file holds is no backup that this fob can read")

func (a *app) readBackup(ctx context.Context, opts backupOptions) (backup, *config.Config, error) {
	var b backup
	f, err := os.Open(opts.file)
	if err != nil {
		return b, nil, &usageError{err.Error()}
	}
	defer f.Close()
	passphrase, err := a.backupPassphrase(ctx, opts, false)
	if err != nil {
		return b, nil, err
	}
	identity, err := age.NewScryptIdentity(passphrase.Reveal())
	if err != nil {
		return b, nil, &usageError{err.Error()}
	}
	identity.SetMaxWorkFactor(20) // 1 GiB: what a hostile file may at most cost
	plain, err := age.Decrypt(io.LimitReader(f, maxBackup), identity)
	var wrong *age.NoIdentityMatchError
	switch {
	case errors.As(err, &wrong):
		return b, nil, withHint(errors.New("the backup does not open with this passphrase"), "nothing was changed; try again")
	case err != nil:
		return b, nil, withHint(fmt.Errorf("%s is no backup of fob's", opts.file), "nothing was changed; 'fob storage backup' writes one")
	}
	text, err := io.ReadAll(plain)
	if err != nil {
		return b, nil, withHint(fmt.Errorf("%s is damaged or cut off", opts.file), "nothing was changed; copy the backup again")
	}
	if err := json.Unmarshal(text, &b); err != nil || b.Version != 1 {
		return b, nil, errNoBackup
	}
	cfg, err := config.Parse(opts.file, []byte(b.Config))
	return b, cfg, err
}

func (a *app) restore(ctx context.Context, cfg *config.Config, p config.Profile, login backedLogin, opts backupOptions) error {
	before, known := cfg.Profiles[p.Name]
	if known && !opts.force {
		s, err := a.localSession(before)
		if err != nil {
			return err
		}
		if state := s.Status(ctx).State; state != session.StateLoggedOut {
			a.note("%s: kept as it is here; --force replaces it.", p.Name)
			return nil
		}
	}
	var err error
	p.Storage = cmp.Or(opts.storage, a.getenv("FOB_STORAGE"), p.Storage)
	if p.Storage, err = a.storageName(cfg, p); err != nil {
		return err
	}
	if opts.dryRun {
		a.note("%s: would be restored to %q.", p.Name, p.Storage)
		return nil
	}
	s, err := a.localSession(p)
	if err != nil {
		return err
	}
	if err := s.Import(ctx, credstore.Record{Head: login.Head, Body: login.Body}); err != nil {
		return err
	}
	paths, err := a.paths()
	if err != nil {
		return err
	}
	if err := config.SaveProfile(paths.Config, p); err != nil {
		return err
	}
	if known {
		a.forgetElsewhere(ctx, cfg, before, p)
	}
	a.note("%s: restored to %q.", p.Name, p.Storage)
	return nil
}
