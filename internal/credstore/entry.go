package credstore

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/fobcli/fob/internal/filelock"
	"github.com/fobcli/fob/internal/seal"
)

// lockWait bounds the wait for another process that is changing the same record.
const lockWait = 30 * time.Second

// Entry is a record with the lock that is required to change it.
type Entry struct {
	Store   *Store
	Context seal.Context
	Lock    string // the path of the lock file, the same in all storages

	// Current is called under the lock, and returns an error if the record is no longer in
	// Store. It may be nil.
	Current func() error
}

// lockedRecord returns the record that a lock file belongs to, or "". The file remains when the
// record is deleted.
func lockedRecord(file string) string {
	name, isLock := strings.CutSuffix(file, ".lock")
	secret, isSecret := strings.CutPrefix(name, "secret.")
	switch {
	case file == "peppers":
		return "pepper/peppers"
	case isLock && isSecret:
		return "secret/" + secret
	case isLock && !strings.Contains(name, "."):
		return "login/" + name
	}
	return ""
}

// Acquire takes the record's lock.
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

// Locked runs change under the record's lock.
func (e Entry) Locked(ctx context.Context, change func() error) error {
	lock, err := e.Acquire(ctx)
	if err != nil {
		return err
	}
	defer lock.Release()
	return change()
}

// MarkReplaced marks the record as about to be replaced: see Store.MarkReplaced.
func (e Entry) MarkReplaced() { e.Store.MarkReplaced(e.Context) }

// Get reads the record. It takes no lock, because writes are atomic.
func (e Entry) Get(ctx context.Context) (Record, error) { return e.Store.Get(ctx, e.Context) }

// Measure reads the record completely and returns its size.
func (e Entry) Measure(ctx context.Context) (Size, error) { return e.Store.Measure(ctx, e.Context) }

// Probe tests the storage with another record.
func (e Entry) Probe(ctx context.Context) error { return e.Store.Probe(ctx, 1) }

// Reseal seals the record with the storage's current key, if there is a record.
func (e Entry) Reseal(ctx context.Context) error {
	return e.Locked(ctx, func() error { return UnlessMissing(e.Store.Reseal(ctx, e.Context)) })
}

// Replace stores a record, replacing any other.
func (e Entry) Replace(ctx context.Context, r Record) error {
	return e.Locked(ctx, func() error { return e.Store.Set(ctx, e.Context, r) })
}

// Remove deletes the record, if there is one.
func (e Entry) Remove(ctx context.Context) error {
	return e.Locked(ctx, func() error { return UnlessMissing(e.Store.Delete(ctx, e.Context)) })
}

// UnlessMissing returns err, or nil if it is ErrNotFound.
func UnlessMissing(err error) error {
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// MoveTo moves the record to another storage: it copies it, reads it back, calls settle to
// change the configuration, and deletes the original. If interrupted, the storage in the
// configuration has the record. left is why the original could not be deleted.
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

// Check reads the whole record. With repair, it deletes the pieces that a crash has left
// and no head references, and returns their number.
func (e Entry) Check(ctx context.Context, repair bool) (orphans int, err error) {
	err = e.Locked(ctx, func() error {
		_, err := e.Get(ctx)
		if repair && (err == nil || errors.Is(err, ErrNotFound)) {
			var swept error
			orphans, swept = e.Store.Sweep(ctx, e.Context)
			err = errors.Join(err, swept)
		}
		return err
	})
	return orphans, err
}
