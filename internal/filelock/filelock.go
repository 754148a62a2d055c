// Package filelock is a lock that processes share: a file beside the data that it
// guards. Lock files are never deleted, since a process that waits for a deleted
// one would hold a lock that nobody else sees.
package filelock

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"github.com/fobcli/fob/internal/atomicfile"
)

// ErrTimeout means that another process held the lock for the whole wait.
var ErrTimeout = errors.New("timed out waiting for a lock")

// Lock is a held lock.
type Lock struct{ file *flock.Flock }

// Acquire takes the lock at path, and makes its private folder where needed. It
// waits at most for wait (ErrTimeout) or until ctx ends (ctx's error).
func Acquire(ctx context.Context, path string, wait time.Duration) (*Lock, error) {
	if err := atomicfile.MkdirPrivate(filepath.Dir(path)); err != nil {
		return nil, err
	}
	// Who could open a loose or foreign lock file could hold it for ever.
	if err := atomicfile.Check(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	file := flock.New(path, flock.SetFlag(openFlags), flock.SetPermissions(0o600))
	waiting, stop := context.WithTimeout(ctx, wait)
	defer stop()
	err := await(waiting, file)
	switch {
	case err == nil:
		return &Lock{file}, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case waiting.Err() != nil:
		return nil, fmt.Errorf("%w: %s has been held by another process for %s", ErrTimeout, path, wait)
	}
	return nil, fmt.Errorf("locking %s: %w", path, err)
}

// await leaves the waiting to the system, which wakes one process at a time:
// hundreds that look again and again leave no time to the one that has the lock.
func await(ctx context.Context, file *flock.Flock) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	locked := make(chan error, 1)
	go func() { locked <- lockUninterrupted(file) }()
	select {
	case err := <-locked:
		return err
	case <-ctx.Done():
		go func() { // the lock may still come, to nobody
			if <-locked == nil {
				_ = file.Close()
			}
		}()
		return ctx.Err()
	}
}

func lockUninterrupted(file *flock.Flock) error {
	for {
		if err := file.Lock(); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// Release gives the lock back.
func (l *Lock) Release() { _ = l.file.Close() }
