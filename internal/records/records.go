// Package records are what a storage holds beside logins, moved, checked and sealed anew in one way.
package records

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/secretstore"
)

// StatusJSON is what is printed of a stored record.
type StatusJSON struct {
	Profile string `json:"profile,omitempty"` // of a login
	Record  string `json:"record,omitempty"`  // what else it is
	Items   int    `json:"items"`             // keyring items, or files
	Bytes   int    `json:"bytes"`             // sealed
	Health  string `json:"health"`
	Problem string `json:"problem,omitempty"`
}

// Record is what a storage keeps beside logins: a secret that somebody else has
// issued, or the peppers of API keys. Nobody gives them a second time.
type Record struct {
	Label   string // as messages and arguments have it
	storage string
	Entry   credstore.Entry
	pin     func(storage string) error // makes the configuration name another storage
	hint    func(error) error
	Check   func(credstore.Record) error // refuses what fob would not read
	later   func(r, other credstore.Record) bool
}

// PeppersLabel is no name that a profile or a secret could have.
const PeppersLabel = "key peppers"

// SecretRecord is the record of a secret, in the storage that its settings name.
func SecretRecord(a *app.App, cfg *config.Config, s config.Secret) (Record, error) {
	storage, err := cfg.StorageFor(s.Storage)
	if err != nil {
		return Record{}, err
	}
	v, err := a.SealedSecret(s)
	if err != nil {
		return Record{}, err
	}
	return Record{
		Label: app.SecretReference + s.Name, storage: storage, Entry: v.Entry(),
		pin: func(storage string) error {
			s.Storage = storage
			return config.SaveSecret(cfg.Paths.Config, s)
		},
		hint:  func(err error) error { return secretstore.ForSecret(err, s.Name) },
		Check: secretstore.CheckRecord,
		later: secretstore.IsLater,
	}, nil
}

// PeppersStorage is where peppers are added: as pinned by a move, else the default.
func PeppersStorage(cfg *config.Config) (string, error) {
	return cfg.StorageFor(cfg.Keys.PepperStorage)
}

// PeppersRecord is the record of this machine's peppers in a storage.
func PeppersRecord(a *app.App, cfg *config.Config, storage string) (Record, error) {
	if storage == config.StorageNone {
		return Record{}, cli.WithHint(cli.Usagef("peppers need a storage, and FOB_STORAGE or the configuration says 'none'"), "choose 'keyring' or 'file', where the peppers are")
	}
	store, err := a.Store(storage)
	if err != nil {
		return Record{}, err
	}
	return Record{
		Label: PeppersLabel, storage: storage,
		Entry: credstore.Entry{Store: store, Context: PeppersContext, Lock: filepath.Join(cfg.Paths.Data, "locks", "peppers")},
		pin:   func(storage string) error { return config.SetPepperStorage(cfg.Paths.Config, storage) },
		hint:  func(err error) error { return &PeppersError{err} },
		Check: func(r credstore.Record) error {
			_, err := ParsePeppers(r)
			return err
		},
		later: func(credstore.Record, credstore.Record) bool { return true }, // nobody knows: keep both
	}, nil
}

// InStorage returns the records other than logins in a storage, with the peppers if there
// are any.
func InStorage(ctx context.Context, a *app.App, cfg *config.Config, storage string) ([]Record, error) {
	all, err := secretRecordsIn(a, cfg, storage)
	if err != nil {
		return nil, err
	}
	if in, err := PeppersStorage(cfg); err != nil || in != storage {
		return all, nil //nolint:nilerr // a storage that is misspelt has none
	}
	peppers, err := PeppersRecord(a, cfg, storage)
	if err != nil {
		return nil, err
	}
	if _, err := peppers.Entry.Measure(ctx); errors.Is(err, credstore.ErrNotFound) || errors.Is(err, credstore.ErrAbsent) && cfg.Keys.PepperStorage == "" {
		return all, nil
	}
	return append(all, peppers), nil
}

func secretRecordsIn(a *app.App, cfg *config.Config, storage string) ([]Record, error) {
	var all []Record
	for _, name := range cfg.SecretNames() {
		s := cfg.Secrets[name]
		if in, err := cfg.StorageFor(s.Storage); err != nil || in != storage {
			continue
		}
		r, err := SecretRecord(a, cfg, s)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// Select returns the profiles and the other records that arguments name, or all without
// arguments.
func Select(ctx context.Context, a *app.App, cfg *config.Config, args []string) (profiles []config.Profile, all []Record, err error) {
	var names []string
	for _, arg := range args {
		name, isSecret := strings.CutPrefix(arg, app.SecretReference)
		if !isSecret {
			names = append(names, name)
			continue
		}
		s, err := app.KnownSecret(cfg, name)
		if err != nil {
			return nil, nil, err
		}
		r, err := SecretRecord(a, cfg, s)
		if err != nil {
			return nil, nil, err
		}
		all = append(all, r)
	}
	if len(args) == 0 || len(names) > 0 {
		slices.Sort(names)
		if profiles, err = app.ProfilesNamed(cfg, names); err != nil {
			return nil, nil, err
		}
	}
	if len(args) > 0 {
		return profiles, all, nil
	}
	for _, storage := range config.Storages() {
		in, err := InStorage(ctx, a, cfg, storage)
		if err != nil {
			return nil, nil, err
		}
		all = append(all, in...)
	}
	return profiles, all, nil
}

// ResealRecords seals the records of a storage beside logins under its present key. The
// peppers are looked for whatever the default is by now: FOB_STORAGE may have been
// another one when they were added.
func ResealRecords(ctx context.Context, a *app.App, cfg *config.Config, storage string) error {
	all, err := secretRecordsIn(a, cfg, storage)
	if err != nil {
		return err
	}
	peppers, err := PeppersRecord(a, cfg, storage)
	if err != nil {
		return err
	}
	var failed error
	for _, r := range append(all, peppers) {
		if err := r.Entry.Reseal(ctx); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", r.Label, err))
		}
	}
	return failed
}

// MigrateRecord moves a record beside logins to another storage.
func MigrateRecord(ctx context.Context, a *app.App, r Record, storage string, dryRun bool) error {
	switch {
	case r.storage == storage:
		a.Note("%s: is in %q already.", r.Label, storage)
		if dryRun {
			return nil
		}
		return r.pin(storage)
	case dryRun:
		a.Note("%s: would move from %q to %q.", r.Label, r.storage, storage)
		return nil
	}
	to, err := a.Store(storage)
	if err != nil {
		return err
	}
	left, err := r.Entry.MoveTo(ctx, to, func() error { return r.pin(storage) })
	if errors.Is(err, credstore.ErrNotFound) {
		a.Note("%s: has no value yet; from now on in %q.", r.Label, storage)
		return r.pin(storage)
	}
	if err != nil {
		return cli.WithHint(err, "it stays in %q and is as good as before; 'fob doctor' says what is amiss", r.storage)
	}
	if left != nil {
		a.Warn(fmt.Sprintf("%s has moved, and its old record could not be deleted ('fob storage check' tries again): %s", r.Label, left))
	}
	a.Note("%s: moved to %q.", r.Label, storage)
	return nil
}

// CheckRecord opens a whole record, and with mend takes away what a crash has left.
func CheckRecord(ctx context.Context, a *app.App, r Record, mend bool) error {
	orphans, err := r.Entry.Check(ctx, mend)
	if errors.Is(err, credstore.ErrNotFound) {
		a.Note("%s: has no value.", r.Label)
		return nil
	}
	if err != nil {
		return err
	}
	here, err := r.Entry.Get(ctx)
	if err == nil {
		err = r.Check(here)
	}
	if err != nil {
		return err
	}
	if orphans > 0 {
		a.Note("%s: %s that nothing names is deleted.", r.Label, cli.Plural(orphans, "piece", "pieces"))
	}
	left, err := deleteOldCopy(ctx, a, r, here, mend)
	if err == nil && orphans == 0 && !left {
		a.Note("%s: ok.", r.Label)
	}
	return err
}

// deleteOldCopy deletes a record's copy in the storage that the configuration does
// not name, where a move was cut short. The record itself has just been read.
func deleteOldCopy(ctx context.Context, a *app.App, r Record, here credstore.Record, mend bool) (found bool, err error) {
	elsewhere := map[string]string{config.StorageKeyring: config.StorageFile, config.StorageFile: config.StorageKeyring}[r.storage]
	store, err := a.Store(elsewhere)
	if err != nil {
		return false, nil //nolint:nilerr // a storage that is not in use here
	}
	copied := r.Entry
	copied.Store, copied.Current = store, nil
	there, err := copied.Get(ctx)
	if err != nil {
		return false, nil //nolint:nilerr // not there, or a storage that is not in use here
	}
	same := string(there.Head) == string(here.Head) && string(there.Body) == string(here.Body)
	switch {
	case !same && r.later(there, here):
		return true, cli.WithHint(fmt.Errorf("there is another record in %q, and it may be the later one", elsewhere),
			"nothing was deleted: to look at that one, let config.toml name %q as its storage", elsewhere)
	case !mend:
		a.Note("%s: an old copy in %q would be deleted.", r.Label, elsewhere)
		return true, nil
	}
	a.Note("%s: an old copy in %q is deleted.", r.Label, elsewhere)
	return true, copied.Locked(ctx, func() error { return store.Delete(ctx, copied.Context) })
}

// CountOfRecords says how many logins and other records are meant.
func CountOfRecords(logins int, records []Record) string {
	var parts []string
	secrets, peppers := 0, false
	for _, r := range records {
		if r.Label == PeppersLabel {
			peppers = true
		} else {
			secrets++
		}
	}
	if logins > 0 || len(records) == 0 {
		parts = append(parts, cli.Plural(logins, "login", "logins"))
	}
	if secrets > 0 {
		parts = append(parts, cli.Plural(secrets, "secret", "secrets"))
	}
	if peppers {
		parts = append(parts, "the peppers of API keys")
	}
	if len(parts) == 3 {
		parts = []string{parts[0] + ", " + parts[1], parts[2]}
	}
	return strings.Join(parts, " and ")
}

// Status is what 'fob storage status' shows of a record beside logins.
func (r Record) Status(ctx context.Context) (StatusJSON, error) {
	out := StatusJSON{Record: r.Label, Health: "ok"}
	size, err := r.Entry.Measure(ctx)
	out.Items, out.Bytes = size.Items, size.Bytes
	if err == nil {
		var record credstore.Record
		if record, err = r.Entry.Get(ctx); err == nil {
			err = r.Check(record)
		}
	}
	switch {
	case errors.Is(err, credstore.ErrNotFound):
		out.Health = "no value"
		return out, nil
	case err != nil:
		out.Health, out.Problem = "unreadable", err.Error()
	}
	return out, r.Failed(err)
}

// Failed puts the record's name before a failure, and what to do about it behind.
func (r Record) Failed(err error) error {
	if err == nil {
		return nil
	}
	return r.hint(fmt.Errorf("%s: %w", r.Label, err))
}
