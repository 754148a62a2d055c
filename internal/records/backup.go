package records

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"time"

	"filippo.io/age"

	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/secret"
)

// Why a backup cannot be read.
var (
	ErrPassphrase = errors.New("wrong passphrase")
	ErrNotBackup  = errors.New("not a backup that this fob can read")
	ErrCutOff     = errors.New("damaged or cut off")
)

// MaxBackup bounds a backup file: a thousand of the largest records.
const MaxBackup = 128 << 20

// workFactor makes scrypt use 64 MiB of memory, like the passphrase of the encrypted files.
const workFactor = 16

// Backup is the content of the encrypted file. It is never written unencrypted.
type Backup struct {
	Version int           `json:"fob_backup"`
	MadeAt  time.Time     `json:"made_at"`
	Config  string        `json:"config"` // the settings of the profiles and secrets, as in config.toml
	Logins  []backupEntry `json:"logins"`
	Secrets []backupEntry `json:"secrets,omitempty"`
	Peppers []byte        `json:"peppers,omitempty"` // of API keys

	Records  []Record `json:"-"` // that were added
	profiles []config.Profile
	secrets  []config.Secret
}

type backupEntry struct {
	Name string `json:"profile"` // or the secret's
	Head []byte `json:"head"`
	Body []byte `json:"body"`
}

// NewBackup returns a backup without records.
func NewBackup(now time.Time) *Backup { return &Backup{Version: 1, MadeAt: now.UTC()} }

// Add adds a record to the backup.
func (b *Backup) Add(ctx context.Context, r Record) error {
	c, err := r.open(r.Storage, true)
	if err != nil {
		return r.wrap(err)
	}
	stored, err := c.Export(ctx)
	if err != nil {
		return r.wrap(err)
	}
	switch entry := (backupEntry{r.Name, stored.Head, stored.Body}); r.Kind {
	case Login:
		b.Logins, b.profiles = append(b.Logins, entry), append(b.profiles, r.profile)
	case Secret:
		b.Secrets, b.secrets = append(b.Secrets, entry), append(b.secrets, r.secret)
	case Peppers:
		b.Peppers = stored.Head
	}
	b.Records = append(b.Records, r)
	return nil
}

// Encrypt returns the backup file, in the age format.
func (b *Backup) Encrypt(passphrase secret.Secret) ([]byte, error) {
	recipient, err := age.NewScryptRecipient(passphrase.Reveal())
	if err != nil {
		return nil, err
	}
	recipient.SetWorkFactor(workFactor)
	debug.FreeOSMemory() // the key takes 64 MiB, in addition to what reading the records took
	var file bytes.Buffer
	w, err := age.Encrypt(&file, recipient)
	if err != nil {
		return nil, err
	}
	debug.FreeOSMemory()
	text, err := b.marshal()
	if err != nil {
		return nil, err
	}
	_, err = w.Write(text)
	err = errors.Join(err, w.Close())
	return file.Bytes(), err
}

func (b *Backup) marshal() ([]byte, error) {
	b.Config = string(config.Marshal(b.profiles, b.secrets))
	return json.Marshal(b)
}

// Backed is a record of a backup.
type Backed struct {
	Record
	stored credstore.Record
}

// ReadBackup decrypts a backup file.
func ReadBackup(a *app.App, file []byte, passphrase secret.Secret) ([]Backed, error) {
	identity, err := age.NewScryptIdentity(passphrase.Reveal())
	if err != nil {
		return nil, cli.AsUsage(err)
	}
	identity.SetMaxWorkFactor(20) // 1 GiB: limits the cost of a malicious file
	plain, err := age.Decrypt(bytes.NewReader(file), identity)
	switch {
	case errors.As(err, new(*age.NoIdentityMatchError)):
		return nil, ErrPassphrase
	case err != nil:
		return nil, ErrNotBackup
	}
	text, err := io.ReadAll(plain)
	if err != nil {
		return nil, ErrCutOff
	}
	return parseBackup(a, text)
}

func parseBackup(a *app.App, text []byte) ([]Backed, error) {
	var b Backup
	if err := json.Unmarshal(text, &b); err != nil || b.Version != 1 {
		return nil, ErrNotBackup
	}
	settings, err := config.Parse("the backup's settings", []byte(b.Config))
	if err != nil {
		return nil, err
	}
	cfg, err := a.Config()
	if err != nil {
		return nil, err
	}
	if err := settings.Unknown(""); err != nil {
		return nil, err
	}
	settings.Paths = cfg.Paths
	var all []Backed
	for kind, entries := range [][]backupEntry{Login: b.Logins, Secret: b.Secrets} {
		for _, entry := range entries {
			r, known := find(a, settings, Kind(kind), entry.Name)
			if err := settings.Unknown(entry.Name); err != nil {
				return nil, err
			}
			if !known {
				return nil, fmt.Errorf("%w: it lacks the settings of %q", ErrNotBackup, entry.Name)
			}
			all = append(all, Backed{r, credstore.Record{Head: entry.Head, Body: entry.Body}})
		}
	}
	if b.Peppers != nil {
		storage, err := PeppersStorage(cfg)
		if err != nil {
			return nil, err
		}
		all = append(all, Backed{newPeppers(a, cfg, storage), credstore.Record{Head: b.Peppers}})
	}
	return all, nil
}

// RestoreOptions configures the restoring of a record.
type RestoreOptions struct {
	Storage string // "": by FOB_STORAGE or its settings
	Force   bool   // replace existing records
	DryRun  bool
}

// Restored is the result of restoring a record, which is now in its Storage.
type Restored struct {
	Record
	Err         error
	Kept        bool     // the existing record was not replaced
	KeptPeppers []string // likewise
	Left        error    // why the previous record could not be deleted from another storage
	SharedWith  string   // another secret with the same variable

	hasSettings bool    // that are to be written to config.toml
	previous    *Record // to be deleted from another storage
}

// Restore stores the records of a backup until ctx is done, and then the settings of those
// that are stored. If interrupted in between, it can be repeated.
func Restore(ctx context.Context, a *app.App, backed []Backed, opts RestoreOptions) (all []Restored) {
	var changed []Record
	for _, b := range backed {
		if ctx.Err() != nil {
			break
		}
		out := Restored{Record: b.Record}
		if b.Kind == Peppers {
			out.Err = b.restorePeppers(ctx, a, opts, &out)
		} else {
			out.Err = b.wrap(b.restore(ctx, a, opts, &out))
		}
		if all = append(all, out); out.hasSettings {
			changed = append(changed, out.Record)
		}
	}
	failed := Save(changed)
	now, err := a.Config()
	for i := range all {
		out := &all[i]
		if unsaved := failed[out.Label]; out.hasSettings && unsaved != nil {
			out.Err = out.wrap(unsaved)
		} else if out.previous != nil {
			out.Left = out.previous.Remove(ctx, out.previous.Storage)
		}
		if err == nil && out.hasSettings && out.Kind == Secret {
			out.SharedWith = now.SharingVariable(out.Name)
		}
	}
	return all
}

// restore stores the record, but not its settings.
func (b Backed) restore(ctx context.Context, a *app.App, opts RestoreOptions, out *Restored) error {
	cfg, err := a.Config()
	if err != nil {
		return err
	}
	before, known := find(a, cfg, b.Kind, b.Name)
	out.Storage, err = b.target(a, opts)
	if err != nil {
		return err
	}
	c, err := b.open(out.Storage, false)
	if err != nil {
		return err
	}
	if !opts.Force {
		_, stored := c.Read(ctx)
		out.Kept = stored == nil || isUnreadable(stored)
		if known && !out.Kept {
			_, err := before.read(ctx, before.Storage)
			out.Kept = !IsMissing(err) // also one that cannot be read
		}
		out.hasSettings = stored == nil && !known && !opts.DryRun // they were lost
	}
	if out.Kept || opts.DryRun {
		return nil
	}
	if err := c.Import(ctx, b.stored); err != nil {
		return err
	}
	out.hasSettings = true
	if known && before.Storage != out.Storage {
		out.previous = &before
	}
	return nil
}

// target returns the storage that the record is restored to.
func (b Backed) target(a *app.App, opts RestoreOptions) (string, error) {
	cfg, err := a.Config()
	if err != nil || b.Kind == Peppers {
		return b.Storage, err
	}
	return cfg.StorageFor(cmp.Or(opts.Storage, a.Getenv("FOB_STORAGE"), b.profile.Storage, b.secret.Storage))
}

// MarkReplaced allows a new key in place of a lost one, if only records that the backup replaces
// need the lost one.
func MarkReplaced(a *app.App, backed []Backed, opts RestoreOptions) {
	for _, b := range backed {
		storage, err := b.target(a, opts)
		if c, openErr := b.open(storage, false); err == nil && openErr == nil { // else Restore fails, too
			c.MarkReplaced()
		}
	}
}

func find(a *app.App, cfg *config.Config, kind Kind, name string) (Record, bool) {
	if kind == Login {
		p, known := cfg.Profiles[name]
		return newLogin(a, cfg, p), known
	}
	s, known := cfg.Secrets[name]
	return newSecret(a, cfg, s), known
}

// restorePeppers adds the peppers of a backup to those of this machine, which all stay in
// one storage.
func (b Backed) restorePeppers(ctx context.Context, a *app.App, opts RestoreOptions, out *Restored) error {
	peppers, err := parsePeppers(b.stored)
	if err != nil {
		return errors.Join(ErrNotBackup, err)
	}
	here, err := ReadPeppers(ctx, a)
	switch {
	case opts.Force && isUnreadable(err):
		return b.restore(ctx, a, opts, out)
	case err != nil:
		return err
	case opts.Storage != "" && len(here) == 0:
		out.Storage = opts.Storage
	}
	if opts.DryRun {
		return nil
	}
	if out.Storage != b.Storage {
		if err := b.pin(out.Storage); err != nil {
			return err
		}
	}
	return ChangePeppers(ctx, a, func(here map[string][]byte) error {
		for name, value := range peppers {
			if before, exists := here[name]; exists && !opts.Force && !bytes.Equal(before, value) {
				out.KeptPeppers = append(out.KeptPeppers, name)
				continue
			}
			here[name] = value
		}
		return nil
	})
}
