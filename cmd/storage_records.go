package cmd

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/vault"
)

// storedRecord is what a storage keeps beside logins: a secret that somebody else has
// issued, or the peppers of API keys. Nobody gives them a second time.
type storedRecord struct {
	label   string // as messages and arguments have it
	storage string
	entry   credstore.Entry
	pin     func(storage string) error // makes the configuration name another storage
	hint    func(error) error
	check   func(credstore.Record) error // refuses what fob would not read
	later   func(r, other credstore.Record) bool
}

// peppersLabel is no name that a profile or a secret could have.
const peppersLabel = "key peppers"

// secretRecord is the record of a secret, in the storage that its settings name.
func (a *app) secretRecord(cfg *config.Config, s config.Secret) (storedRecord, error) {
	storage, err := a.storageName(cfg, config.Profile{Storage: s.Storage})
	if err != nil {
		return storedRecord{}, err
	}
	v, err := a.sealedSecret(cfg, s)
	if err != nil {
		return storedRecord{}, err
	}
	return storedRecord{
		label: secretReference + s.Name, storage: storage, entry: v.Entry(),
		pin: func(storage string) error {
			s.Storage = storage
			return config.SaveSecret(cfg.Paths.Config, s)
		},
		hint:  func(err error) error { return hintOfSecret(err, s.Name) },
		check: vault.CheckRecord,
		later: vault.Later,
	}, nil
}

// peppersStorage is where peppers are added: as pinned by a move, else the default.
func (a *app) peppersStorage(cfg *config.Config) (string, error) {
	return a.storageName(cfg, config.Profile{Storage: cfg.Keys.PepperStorage})
}

// peppersRecord is the record of this machine's peppers in a storage.
func (a *app) peppersRecord(cfg *config.Config, storage string) (storedRecord, error) {
	if storage == storageEnv {
		return storedRecord{}, withHint(usagef("peppers need a storage, and FOB_STORAGE or the configuration says 'env'"), "choose 'keyring' or 'file', where the peppers are")
	}
	store, err := a.store(cfg, config.Profile{Storage: storage})
	if err != nil {
		return storedRecord{}, err
	}
	return storedRecord{
		label: peppersLabel, storage: storage,
		entry: credstore.Entry{Store: store, Context: peppersContext, Lock: filepath.Join(cfg.Paths.Data, "locks", "peppers")},
		pin:   func(storage string) error { return config.SetPepperStorage(cfg.Paths.Config, storage) },
		hint:  peppersUnread,
		check: func(r credstore.Record) error {
			_, err := parsePeppers(r)
			return err
		},
		later: func(credstore.Record, credstore.Record) bool { return true }, // nobody knows: keep both
	}, nil
}

// recordsIn are the records of a storage beside logins. Peppers are among them where
// there are any.
func (a *app) recordsIn(ctx context.Context, cfg *config.Config, storage string) ([]storedRecord, error) {
	all, err := a.secretRecordsIn(cfg, storage)
	if err != nil {
		return nil, err
	}
	if in, err := a.peppersStorage(cfg); err != nil || in != storage {
		return all, nil //nolint:nilerr // a storage that is misspelt has none
	}
	peppers, err := a.peppersRecord(cfg, storage)
	if err != nil {
		return nil, err
	}
	if _, err := peppers.entry.Measure(ctx); errors.Is(err, credstore.ErrNotFound) || errors.Is(err, credstore.ErrAbsent) && cfg.Keys.PepperStorage == "" {
		return all, nil
	}
	return append(all, peppers), nil
}

func (a *app) secretRecordsIn(cfg *config.Config, storage string) ([]storedRecord, error) {
	var all []storedRecord
	for _, name := range cfg.SecretNames() {
		s := cfg.Secrets[name]
		if in, err := a.storageName(cfg, config.Profile{Storage: s.Storage}); err != nil || in != storage {
			continue
		}
		r, err := a.secretRecord(cfg, s)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// recordsFor are the profiles whose logins a command means, and the other records: all
// where nothing is named.
func (a *app) recordsFor(ctx context.Context, cfg *config.Config, args []string) (profiles []config.Profile, all []storedRecord, err error) {
	var names []string
	for _, arg := range args {
		name, isSecret := strings.CutPrefix(arg, secretReference)
		if !isSecret {
			names = append(names, name)
			continue
		}
		s, err := knownSecret(cfg, name)
		if err != nil {
			return nil, nil, err
		}
		r, err := a.secretRecord(cfg, s)
		if err != nil {
			return nil, nil, err
		}
		all = append(all, r)
	}
	if len(args) == 0 || len(names) > 0 {
		slices.Sort(names)
		if profiles, err = profilesNamed(cfg, names); err != nil {
			return nil, nil, err
		}
	}
	if len(args) > 0 {
		return profiles, all, nil
	}
	for _, storage := range []string{storageKeyring, storageFile} {
		in, err := a.recordsIn(ctx, cfg, storage)
		if err != nil {
			return nil, nil, err
		}
		all = append(all, in...)
	}
	return profiles, all, nil
}

// resealRecords seals the records of a storage beside logins under its present key. The
// peppers are looked for whatever the default is by now: FOB_STORAGE may have been
// another one when they were added.
func (a *app) resealRecords(ctx context.Context, cfg *config.Config, storage string) error {
	all, err := a.secretRecordsIn(cfg, storage)
	if err != nil {
		return err
	}
	peppers, err := a.peppersRecord(cfg, storage)
	if err != nil {
		return err
	}
	var failed error
	for _, r := range append(all, peppers) {
		if err := r.entry.Reseal(ctx); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", r.label, err))
		}
	}
	return failed
}

// migrateRecord moves a record beside logins to another storage.
func (a *app) migrateRecord(ctx context.Context, cfg *config.Config, r storedRecord, storage string, dryRun bool) error {
	switch {
	case r.storage == storage:
		a.note("%s: is in %q already.", r.label, storage)
		if dryRun {
			return nil
		}
		return r.pin(storage)
	case dryRun:
		a.note("%s: would move from %q to %q.", r.label, r.storage, storage)
		return nil
	}
	to, err := a.store(cfg, config.Profile{Storage: storage})
	if err != nil {
		return err
	}
	left, err := r.entry.MoveTo(ctx, to, func() error { return r.pin(storage) })
	if errors.Is(err, credstore.ErrNotFound) {
		a.note("%s: has no value yet; from now on in %q.", r.label, storage)
		return r.pin(storage)
	}
	if err != nil {
		return withHint(err, "it stays in %q and is as good as before; 'fob doctor' says what is amiss", r.storage)
	}
	if left != nil {
		a.warn(fmt.Sprintf("%s has moved, and its old record could not be deleted ('fob storage check' tries again): %s", r.label, left))
	}
	a.note("%s: moved to %q.", r.label, storage)
	return nil
}

// checkRecord opens a whole record, and with mend takes away what a crash has left.
func (a *app) checkRecord(ctx context.Context, cfg *config.Config, r storedRecord, mend bool) error {
	orphans, err := r.entry.Check(ctx, mend)
	if errors.Is(err, credstore.ErrNotFound) {
		a.note("%s: has no value.", r.label)
		return nil
	}
	if err != nil {
		return err
	}
	here, err := r.entry.Get(ctx)
	if err == nil {
		err = r.check(here)
	}
	if err != nil {
		return err
	}
	if orphans > 0 {
		a.note("%s: %s that nothing names is deleted.", r.label, plural(orphans, "piece", "pieces"))
	}
	left, err := a.checkRecordElsewhere(ctx, cfg, r, here, mend)
	if err == nil && orphans == 0 && !left {
		a.note("%s: ok.", r.label)
	}
	return err
}

// checkRecordElsewhere deletes a record's copy in the storage that the configuration does
// not name, where a move was cut short. The record itself has just been read.
func (a *app) checkRecordElsewhere(ctx context.Context, cfg *config.Config, r storedRecord, here credstore.Record, mend bool) (found bool, err error) {
	elsewhere := map[string]string{storageKeyring: storageFile, storageFile: storageKeyring}[r.storage]
	store, err := a.store(cfg, config.Profile{Storage: elsewhere})
	if err != nil {
		return false, nil //nolint:nilerr // a storage that is not in use here
	}
	copied := r.entry
	copied.Store, copied.Current = store, nil
	there, err := copied.Get(ctx)
	if err != nil {
		return false, nil //nolint:nilerr // not there, or a storage that is not in use here
	}
	same := string(there.Head) == string(here.Head) && string(there.Body) == string(here.Body)
	switch {
	case !same && r.later(there, here):
		return true, withHint(fmt.Errorf("there is another record in %q, and it may be the later one", elsewhere),
			"nothing was deleted: to look at that one, let config.toml name %q as its storage", elsewhere)
	case !mend:
		a.note("%s: an old copy in %q would be deleted.", r.label, elsewhere)
		return true, nil
	}
	a.note("%s: an old copy in %q is deleted.", r.label, elsewhere)
	return true, copied.Locked(ctx, func() error { return store.Delete(ctx, copied.Context) })
}

// countOfRecords says how many logins and other records are meant.
func countOfRecords(logins int, records []storedRecord) string {
	var parts []string
	secrets, peppers := 0, false
	for _, r := range records {
		if r.label == peppersLabel {
			peppers = true
		} else {
			secrets++
		}
	}
	if logins > 0 || len(records) == 0 {
		parts = append(parts, plural(logins, "login", "logins"))
	}
	if secrets > 0 {
		parts = append(parts, plural(secrets, "secret", "secrets"))
	}
	if peppers {
		parts = append(parts, "the peppers of API keys")
	}
	if len(parts) == 3 {
		parts = []string{parts[0] + ", " + parts[1], parts[2]}
	}
	return strings.Join(parts, " and ")
}

// status is what 'fob storage status' shows of a record beside logins.
func (r storedRecord) status(ctx context.Context) (storedJSON, error) {
	out := storedJSON{Record: r.label, Health: "ok"}
	size, err := r.entry.Measure(ctx)
	out.Items, out.Bytes = size.Items, size.Bytes
	if err == nil {
		var record credstore.Record
		if record, err = r.entry.Get(ctx); err == nil {
			err = r.check(record)
		}
	}
	switch {
	case errors.Is(err, credstore.ErrNotFound):
		out.Health = "no value"
		return out, nil
	case err != nil:
		out.Health, out.Problem = "unreadable", err.Error()
	}
	return out, r.failed(err)
}

// failed puts the record's name before a failure, and what to do about it behind.
func (r storedRecord) failed(err error) error {
	if err == nil {
		return nil
	}
	return r.hint(fmt.Errorf("%s: %w", r.label, err))
}
