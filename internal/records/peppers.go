package records

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/seal"
	"github.com/fobcli/fob/internal/session"
)

// PeppersContext is the seal context of the record with all peppers.
var PeppersContext = seal.Context{Kind: "pepper", Profile: "peppers"}

// PeppersLock returns the lock file of the peppers, which exists once there were any.
func PeppersLock(cfg *config.Config) string {
	return filepath.Join(cfg.Paths.Data, "locks", "peppers")
}

// PeppersStorage returns the storage for new peppers: pinned by a move, or the default.
func PeppersStorage(cfg *config.Config) (string, error) {
	return cfg.StorageFor(cfg.Keys.PepperStorage)
}

// newPeppers returns the record of this machine's peppers in a storage, which may differ
// from the configured one.
func newPeppers(a *app.App, cfg *config.Config, storage string) Record {
	return Record{
		Kind: Peppers, Label: "key peppers", Storage: storage, config: cfg.Paths.Config, // not a valid name of a profile or secret
		open: func(storage string, _ bool) (content, error) {
			store, err := a.Store(storage)
			entry := credstore.Entry{Store: store, Context: PeppersContext, Lock: PeppersLock(cfg)}
			return sealed{entry, checkPeppers}, err
		},
		set:   func(c *config.Config, storage string) { c.Keys.PepperStorage = storage },
		named: func(err error) error { return &PeppersError{err} },
		newer: func(there, here revision) bool { return !there.equals(here) }, // unknown: keep both
	}
}

// withPeppers adds the peppers to records, if there are any in one of the storages.
func withPeppers(ctx context.Context, a *app.App, cfg *config.Config, records []Record, storages ...string) []Record {
	storage, err := PeppersStorage(cfg)
	if err != nil || !slices.Contains(storages, storage) {
		return records
	}
	peppers := newPeppers(a, cfg, storage)
	_, err = peppers.read(ctx, storage)
	if IsMissing(err) || errors.Is(err, credstore.ErrAbsent) && cfg.Keys.PepperStorage == "" {
		return records
	}
	return append(records, peppers)
}

// PeppersError is why the peppers could not be read. Unlike a login they must not be
// recreated: all keys that need them would become invalid.
type PeppersError struct{ Err error }

func (e *PeppersError) Error() string { return "the peppers of this machine: " + e.Err.Error() }

func (e *PeppersError) Unwrap() error { return e.Err }

func parsePeppers(r credstore.Record) (map[string][]byte, error) {
	peppers := map[string][]byte{}
	if err := json.Unmarshal(r.Head, &peppers); err != nil {
		return nil, fmt.Errorf("the stored peppers: %w", credstore.ErrCorrupt)
	}
	return peppers, nil
}

func checkPeppers(r credstore.Record) error {
	_, err := parsePeppers(r)
	return err
}

// ReadPeppers reads all peppers of this machine, by name.
func ReadPeppers(ctx context.Context, a *app.App) (map[string][]byte, error) {
	_, peppers, err := readPeppers(ctx, a)
	return peppers, err
}

func readPeppers(ctx context.Context, a *app.App) (sealed, map[string][]byte, error) {
	cfg, err := a.Config()
	if err != nil {
		return sealed{}, nil, err
	}
	storage, err := PeppersStorage(cfg)
	if err == nil && storage == config.StorageNone {
		err = cli.WithHint(cli.Usagef("peppers need a storage, and FOB_STORAGE or the configuration says 'none'"), "choose 'keyring' or 'file', where the peppers are")
	}
	if err != nil {
		return sealed{}, nil, err
	}
	c, err := newPeppers(a, cfg, storage).open(storage, true)
	if err != nil {
		return sealed{}, nil, err
	}
	entry := c.(sealed)
	record, err := entry.Get(ctx)
	if IsMissing(err) {
		return entry, map[string][]byte{}, nil
	}
	if err != nil {
		return entry, nil, &PeppersError{err}
	}
	peppers, err := parsePeppers(record)
	return entry, peppers, err
}

// ChangePeppers changes the peppers of this machine, one process at a time.
func ChangePeppers(ctx context.Context, a *app.App, change func(map[string][]byte) error) error {
	entry, _, err := readPeppers(ctx, a)
	if err != nil {
		return err
	}
	return entry.Locked(ctx, func() error {
		now, peppers, err := readPeppers(ctx, a)
		if err == nil && now.Store != entry.Store {
			err = session.ErrMoved
		}
		if err == nil {
			err = change(peppers)
		}
		if err != nil {
			return err
		}
		if len(peppers) == 0 {
			return entry.Store.Delete(ctx, entry.Context)
		}
		head, err := json.Marshal(peppers)
		if err != nil {
			return err
		}
		return entry.Store.Set(ctx, entry.Context, credstore.Record{Head: head})
	})
}
