package credstore

import (
	"context"
	"errors"
	"time"

	"github.com/fobcli/fob/internal/filelock"
	"github.com/fobcli/fob/internal/seal"
)

// lockWait bounds the wait for another process that changes the same record.
const lockWait = 30 * time.Second

// Entry is one record with the lock that all who change it take.
type Entry struct {
	Store   *Store
	Context seal.Context
	Lock    string // the lock file, which guards the record in whatever storage it lies

	// Current reports, once the lock is held, whether the record still lies in Store:
	// nil or the error to return. A nil func is not asked.
	Current func() error
}

// Acquire takes the record's lock. The caller releases it.
func (e Entry) Acquire(ctx context.Context) (*filelock.Lock, error) {
	lock, err := filelock.Acquire(ctx, e.Lock, lockWait)
	if err != nil || e.Current == nil {
		return lock, err
	}
	if err := e.Current(); err != nil {
		lock.Release()
		return nil, err
	}
	return lock, nil
}

// Locked runs a change of the record, one process at a time.
func (e Entry) Locked(ctx context.Context, change func() error) error {
	lock, err := e.Acquire(ctx)
	if err != nil {
		return err
	}
	defer lock.Release()
	return change()
}

// Get reads the record. It takes no lock: a write replaces it whole.
func (e Entry) Get(ctx context.Context) (Record, error) { return e.Store.Get(ctx, e.Context) }

// Measure is what the record takes in its storage. Every piece of it is read.
func (e Entry) Measure(ctx context.Context) (Size, error) { return e.Store.Measure(ctx, e.Context) }

// Reseal seals the record again under the storage's present key. A missing one needs it
// not.
func (e Entry) Reseal(ctx context.Context) error {
	return e.Locked(ctx, func() error { return UnlessMissing(e.Store.Reseal(ctx, e.Context)) })
}

// Replace puts another record in the place of this one, whatever is there.
func (e Entry) Replace(ctx context.Context, r Record) error {
	return e.Locked(ctx, func() error { return e.Store.Set(ctx, e.Context, r) })
}

// Remove deletes the record, if it is there.
func (e Entry) Remove(ctx context.Context) error {
	return e.Locked(ctx, func() error { return UnlessMissing(e.Store.Delete(ctx, e.Context)) })
}

// UnlessMissing is err, or nil where there is no such record.
func UnlessMissing(err error) error {
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// MoveTo puts the record into another storage: it is copied there and read back, then
// settle makes the configuration point there, and only then it is deleted here.
// Wherever that stops, the storage that the configuration names has it. left says why
// the old copy could not be deleted.
func (e Entry) MoveTo(ctx context.Context, to *Store, settle func() error) (left, err error) {
	err = e.Locked(ctx, func() error {
		r, err := e.Get(ctx)
		if err != nil {
			return err
		}
		if err := to.Set(ctx, e.Context, r); err != nil {
			return err
		}
		if err := settle(); err != nil {
			return err
		}
		left = e.Store.Delete(ctx, e.Context)
		return nil
	})
	return left, err
}

// Check reads the whole record. With mend it deletes the pieces that a crash has left
// and that no head names, and returns how many there were.
func (e Entry) Check(ctx context.Context, mend bool) (orphans int, err error) {
	err = e.Locked(ctx, func() error {
		_, err := e.Get(ctx)
		if mend && (err == nil || errors.Is(err, ErrNotFound)) {
			var swept error
			orphans, swept = e.Store.Sweep(ctx, e.Context)
			err = errors.Join(err, swept)
		}
		return err
	})
	return orphans, err
}
