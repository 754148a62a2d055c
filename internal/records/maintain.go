package records

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/filelock"
	"github.com/fobcli/fob/internal/seal"
	"github.com/fobcli/fob/internal/session"
)

func (r Record) read(ctx context.Context, storage string) (revision, error) {
	c, err := r.open(storage, false)
	if err != nil {
		return revision{}, err
	}
	return c.Read(ctx)
}

// Remove deletes the record from a storage, if it is there.
func (r Record) Remove(ctx context.Context, storage string) error {
	c, err := r.open(storage, false)
	if err != nil {
		return err
	}
	return c.Remove(ctx)
}

// Status is the status of a stored record, as printed.
type Status struct {
	Profile string `json:"profile,omitempty"` // of a login
	Record  string `json:"record,omitempty"`  // name of another record
	Items   int    `json:"items"`             // keyring items, or files
	Bytes   int    `json:"bytes"`             // sealed
	Health  string `json:"health"`
	Problem string `json:"problem,omitempty"`
}

// Status reads the record without changing anything. The error is why that failed.
func (r Record) Status(ctx context.Context) (Status, error) {
	here, err := r.read(ctx, r.Storage)
	out := Status{Record: r.Label, Items: here.Items, Bytes: here.Bytes, Health: "ok"}
	if r.Kind == Login {
		out.Profile, out.Record = r.Label, ""
	}
	switch {
	case IsMissing(err):
		out.Health = r.Missing()
		return out, nil
	case err != nil:
		out.Health, out.Problem = "unreadable", err.Error()
	}
	return out, r.wrap(err)
}

// Trouble describes what is wrong with a record. Damage differs from a storage or key that is
// not available here.
func Trouble(err error) string {
	for _, kind := range []error{credstore.ErrKeyMissing, credstore.ErrKeyDamaged, seal.ErrWrongKey, seal.ErrWrongContext, errCopy} {
		if errors.Is(err, kind) {
			return kind.Error()
		}
	}
	if isUnreadable(err) {
		return "damaged"
	}
	return "cannot be read here"
}

// isUnreadable reports that a record is damaged, its key lost, or its client another one.
func isUnreadable(err error) bool {
	return slices.ContainsFunc([]error{credstore.ErrKeyMissing, seal.ErrWrongKey, credstore.ErrCorrupt, seal.ErrTampered, seal.ErrFormat, seal.ErrWrongContext}, func(target error) bool { return errors.Is(err, target) })
}

var errCopy = errors.New("there is another copy")

// Findings are what a check of a record has repaired, or would repair.
type Findings struct {
	session.Repairs
	Missing  bool   // nothing is stored
	Copy     string // the storage in which an interrupted move left a copy, or ""
	ReadOnly bool   // the record was only read, because nothing can be written
}

// Check reads the whole record. With repair it recovers what a crash left unsaved, and
// deletes unreferenced pieces; the error is damage that remains.
func (r Record) Check(ctx context.Context, repair bool) (found Findings, err error) {
	defer func() { err = r.wrap(err) }()
	c, err := r.open(r.Storage, true)
	if err != nil {
		return found, err
	}
	repairs, err := c.Check(ctx, repair)
	if found.ReadOnly = errors.Is(err, filelock.ErrUnwritable); found.ReadOnly {
		err, repair = nil, false
	}
	var here revision
	if err == nil {
		here, err = c.Read(ctx)
	}
	if err != nil && !IsMissing(err) {
		return found, err
	}
	found.Repairs = repairs
	if found.Missing = err != nil; !found.Missing {
		found.Copy, err = r.checkCopy(ctx, here, repair)
		return found, err
	}
	return found, nil
}

// checkCopy looks for a copy of the record in the other storage. With repair it deletes one
// that is not newer.
func (r Record) checkCopy(ctx context.Context, here revision, repair bool) (storage string, err error) {
	storage = map[string]string{config.StorageKeyring: config.StorageFile, config.StorageFile: config.StorageKeyring}[r.Storage]
	other, err := r.read(ctx, storage)
	switch {
	case err != nil:
		return "", nil //nolint:nilerr // not there, or a storage that is not in use
	case r.newer(other, here):
		return "", cli.WithHint(fmt.Errorf("%w in %q, which may be newer", errCopy, storage),
			"nothing was deleted; to use that copy, set the record's storage = %q in config.toml", storage)
	case !repair:
		return storage, nil
	}
	return storage, r.Remove(ctx, storage)
}

// Moved is the result of moving a record.
type Moved struct {
	Already bool  // it was there already
	Missing bool  // nothing is stored: only the configuration has changed
	Left    error // why the original could not be deleted
}

// Move moves the record to another storage. If interrupted, the storage in the
// configuration has the record.
func (r Record) Move(ctx context.Context, storage string) (moved Moved, err error) {
	defer func() { err = r.wrap(err) }()
	if r.Storage == storage {
		return Moved{Already: true}, r.pin(storage)
	}
	c, err := r.open(r.Storage, true)
	if err != nil {
		return moved, err
	}
	target, err := r.open(storage, false)
	if err != nil {
		return moved, err
	}
	moved.Left, err = c.MoveTo(ctx, target, func() error { return r.pin(storage) })
	if IsMissing(err) { // nothing was written there: the storage may not exist
		if err = target.Probe(ctx); err == nil {
			return Moved{Missing: true}, r.pin(storage)
		}
	}
	return moved, cli.WithHint(err, "it stays in %q, unchanged; %s", r.Storage, cmp.Or(cli.CarriedHint(err), "run 'fob doctor' to find the cause"))
}

// Rekey replaces a storage's key; commit switches the key's source to it. Until FinishRekey
// has sealed the records with it, they are opened with the old one. If a record cannot be read,
// nothing is changed: the old key would be needed for good.
func Rekey(ctx context.Context, a *app.App, storage string, key seal.Key, commit func() error) error {
	cfg, err := a.Config()
	if err != nil {
		return err
	}
	store, err := a.Store(storage)
	if err != nil {
		return err
	}
	unreadable := checkOrphans(ctx, a, storage)
	for _, r := range configuredIn(a, cfg, storage) {
		if _, err := r.read(ctx, storage); !IsMissing(err) {
			unreadable = errors.Join(unreadable, r.wrap(err))
		}
	}
	if unreadable != nil {
		return fmt.Errorf("the key was not replaced: %w", unreadable)
	}
	if err := store.BeginRekey(ctx, key); err != nil {
		return err
	}
	if err := commit(); err != nil {
		return err
	}
	a.Rekeyed(storage, cfg.Paths.Data, key)
	return nil
}

// FinishRekey seals every record of a storage with its current key, and deletes the old
// key. It looks for peppers independent of the configuration: FOB_STORAGE may have been
// different when they were added.
func FinishRekey(ctx context.Context, a *app.App, storage string) error {
	cfg, err := a.Config()
	if err != nil {
		return err
	}
	store, err := a.Store(storage)
	if err != nil {
		return err
	}
	failed := checkOrphans(ctx, a, storage)
	hasPeppers := app.PathExists(PeppersLock(cfg))
	for _, r := range append(configuredIn(a, cfg, storage), newPeppers(a, cfg, storage)) {
		c, err := r.open(storage, true)
		if err == nil {
			err = c.Reseal(ctx)
		}
		if !hasPeppers && r.Kind == Peppers && errors.Is(err, credstore.ErrAbsent) {
			continue
		}
		failed = errors.Join(failed, r.wrap(err))
	}
	if failed != nil {
		return failed
	}
	return store.EndRekey()
}
