package storage

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/complete"
	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	appkeys "github.com/fobcli/fob/internal/app/keys"
	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/records"
	"github.com/fobcli/fob/internal/secretstore"
	"github.com/fobcli/fob/internal/session"
)

func newStorageRestoreCmd(a *app.App) *cobra.Command {
	var opts backupOptions
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
	c.Flags().StringVar(&opts.storage, "storage", "", "the `STORAGE` to put all into: keyring or file")
	c.Flags().BoolVar(&opts.force, "force", false, "replace what is here already")
	c.Flags().BoolVar(&opts.dryRun, "dry-run", false, "say what would be restored, and restore nothing")
	_ = c.RegisterFlagCompletionFunc("storage", complete.Storage)
	return c
}

func runRestore(ctx context.Context, a *app.App, opts backupOptions) error {
	if opts.storage != "" {
		if err := app.CheckStorage(opts.storage); err != nil {
			return err
		}
	}
	a.MakesConfig = true
	b, settings, err := readBackup(ctx, a, opts)
	if err != nil {
		return err
	}
	cfg, err := a.Config()
	if err != nil {
		return err
	}
	var failed error
	for _, login := range b.Logins {
		p, ok := settings.Profiles[login.Profile]
		if !ok {
			return errNoBackup
		}
		if err := restore(ctx, a, cfg, p, login, opts); err != nil {
			failed = errors.Join(failed, cli.ForProfile(fmt.Errorf("%s: %w", p.Name, err), p.Name))
		}
	}
	for _, stored := range b.Secrets {
		s, ok := settings.Secrets[stored.Profile]
		if !ok {
			return errNoBackup
		}
		failed = errors.Join(failed, restoreSecret(ctx, a, cfg, s, stored, opts))
	}
	if b.Peppers != nil {
		failed = errors.Join(failed, restorePeppers(ctx, a, cfg, b.Peppers, opts))
	}
	return failed
}

var errNoBackup = errors.New("what the file holds is no backup that this fob can read")

func readBackup(ctx context.Context, a *app.App, opts backupOptions) (backup, *config.Config, error) {
	var b backup
	sealed, err := atomicfile.ReadRegular(opts.file, maxBackup)
	if err != nil {
		return b, nil, cli.AsUsage(err)
	}
	passphrase, err := backupPassphrase(ctx, a, opts, false)
	if err != nil {
		return b, nil, err
	}
	identity, err := age.NewScryptIdentity(passphrase.Reveal())
	if err != nil {
		return b, nil, cli.AsUsage(err)
	}
	identity.SetMaxWorkFactor(20) // 1 GiB: what a hostile file may at most cost
	plain, err := age.Decrypt(bytes.NewReader(sealed), identity)
	var wrong *age.NoIdentityMatchError
	switch {
	case errors.As(err, &wrong):
		return b, nil, cli.WithHint(errors.New("the backup does not open with this passphrase"), "nothing was changed; try again")
	case err != nil:
		return b, nil, cli.WithHint(fmt.Errorf("%s is no backup of fob's", opts.file), "nothing was changed; 'fob storage backup' writes one")
	}
	text, err := io.ReadAll(plain)
	if err != nil {
		return b, nil, cli.WithHint(fmt.Errorf("%s is damaged or cut off", opts.file), "nothing was changed; copy the backup again")
	}
	if err := json.Unmarshal(text, &b); err != nil || b.Version != 1 {
		return b, nil, errNoBackup
	}
	cfg, err := config.Parse(opts.file, []byte(b.Config))
	return b, cfg, err
}

func restore(ctx context.Context, a *app.App, cfg *config.Config, p config.Profile, login backedLogin, opts backupOptions) error {
	before, known := cfg.Profiles[p.Name]
	if known && !opts.force {
		s, err := a.LocalSession(before)
		if err != nil {
			return err
		}
		if state := s.Status(ctx).State; state != session.StateLoggedOut {
			a.Note("%s: kept as it is here; --force replaces it.", p.Name)
			return nil
		}
	}
	var err error
	p.Storage = cmp.Or(opts.storage, a.Getenv("FOB_STORAGE"), p.Storage)
	if p.Storage, err = cfg.StorageFor(p.Storage); err != nil {
		return err
	}
	if opts.dryRun {
		a.Note("%s: would be restored to %q.", p.Name, p.Storage)
		return nil
	}
	s, err := a.LocalSession(p)
	if err != nil {
		return err
	}
	if err := s.Import(ctx, credstore.Record{Head: login.Head, Body: login.Body}); err != nil {
		return err
	}
	if err := config.SaveProfile(cfg.Paths.Config, p); err != nil {
		return err
	}
	if known {
		a.ForgetElsewhere(ctx, cfg, before, p)
	}
	a.Note("%s: restored to %q.", p.Name, p.Storage)
	return nil
}

// restoreSecret takes a secret from a backup, with the rotation that it may be in.
func restoreSecret(ctx context.Context, a *app.App, cfg *config.Config, s config.Secret, stored backedLogin, opts backupOptions) error {
	before, known := cfg.Secrets[s.Name]
	if known && !opts.force {
		r, err := records.SecretRecord(a, cfg, before)
		if err != nil {
			return err
		}
		if _, err := r.Entry.Measure(ctx); !errors.Is(err, credstore.ErrNotFound) {
			a.Note("%s: kept as it is here; --force replaces it.", r.Label)
			return nil //nolint:nilerr // one that cannot be read is kept all the more
		}
	}
	var err error
	s.Storage = cmp.Or(opts.storage, a.Getenv("FOB_STORAGE"), s.Storage)
	if s.Storage, err = cfg.StorageFor(s.Storage); err != nil {
		return err
	}
	r, err := records.SecretRecord(a, cfg, s)
	if err != nil {
		return err
	}
	if opts.dryRun {
		a.Note("%s: would be restored to %q.", r.Label, s.Storage)
		return nil
	}
	record := credstore.Record{Head: stored.Head, Body: stored.Body}
	if err := secretstore.CheckRecord(record); err != nil {
		return errors.Join(errNoBackup, err)
	}
	r.Entry.Current = nil // the table points there next
	if err := r.Entry.Replace(ctx, record); err != nil {
		return r.Failed(err)
	}
	if err := config.RestoreSecret(cfg.Paths.Config, s); err != nil {
		return err
	}
	if known && before.Storage != s.Storage {
		a.ForgetSecretElsewhere(ctx, before)
	}
	a.Note("%s: restored to %q.", r.Label, s.Storage)
	if now, err := a.Config(); err == nil && now.SharingVariable(s.Name) != "" {
		a.Warn(fmt.Sprintf("%s is ambiguous now: it belongs to the secret %q as well as to %q", config.SecretVariable(s.Name), now.SharingVariable(s.Name), s.Name))
	}
	return nil
}

// restorePeppers adds the peppers of a backup to those of this machine. One that is here
// by the same name is kept, unless --force is given.
func restorePeppers(ctx context.Context, a *app.App, cfg *config.Config, head []byte, opts backupOptions) error {
	backed, err := records.ParsePeppers(credstore.Record{Head: head})
	if err != nil {
		return errors.Join(errNoBackup, err)
	}
	storage, err := records.PeppersStorage(cfg)
	if err != nil {
		return err
	}
	moves := false
	if opts.storage != "" && opts.storage != storage {
		here, _, err := appkeys.Peppers(ctx, a)
		if err != nil {
			return err
		}
		if moves = len(here) == 0; moves { // else they stay together, where they are
			storage = opts.storage
		}
	}
	if opts.dryRun {
		a.Note("%s: would be restored to %q.", records.PeppersLabel, storage)
		return nil
	}
	if moves {
		if err := config.SetPepperStorage(cfg.Paths.Config, storage); err != nil {
			return err
		}
	}
	err = appkeys.ChangePeppers(ctx, a, func(peppers map[string][]byte) error {
		for name, value := range backed {
			if here, there := peppers[name]; there && !opts.force && !bytes.Equal(here, value) {
				a.Note("%s: %s is kept as it is here; --force replaces it.", records.PeppersLabel, name)
				continue
			}
			peppers[name] = value
		}
		return nil
	})
	if err == nil {
		a.Note("%s: restored to %q.", records.PeppersLabel, storage)
	}
	return err
}
