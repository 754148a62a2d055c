// Package filelock is a lock that processes share: a file beside the data that it
// guards. Lock files are never deleted but by a purge, since a process that waits for a
// deleted one would hold a lock that nobody else sees.
package filelock

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/trace"
)

// ErrTimeout means that another process holds the lock, and did until the wait was over.
var ErrTimeout = errors.New("timed out waiting for a lock")

// Lock is a held lock.
type Lock struct {
	Mark Mark // that this holder has left

	file *flock.Flock
}

// Mark tells one holder of a lock from all others: each leaves its own on the lock file,
// before it does anything else. Who remembers what a lock guards, and the mark of when
// it was read, finds by the mark of today whether another may have changed it since.
type Mark int64

// LastMark is the mark of who took the lock last. A lock file that is not there is
// fs.ErrNotExist.
func LastMark(path string) (Mark, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return 0, err
	}
	return Mark(info.ModTime().UnixNano()), nil
}

// Acquire takes the lock at path, and makes its private folder where needed. It
// waits at most for wait (ErrTimeout) or until ctx ends (ctx's error).
func Acquire(ctx context.Context, path string, wait time.Duration) (*Lock, error) {
	file, err := open(path)
	if err != nil {
		return nil, err
	}
	waiting, stop := context.WithTimeout(ctx, wait)
	defer stop()
	start := time.Now()
	err = waitForLock(waiting, file)
	if trace.On(ctx) {
		trace.Printf(ctx, "lock %s: %s", path, trace.Outcome(err, start))
	}
	switch {
	case err == nil:
		return markLock(file)
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case waiting.Err() != nil:
		return nil, fmt.Errorf("%w: another process has had %s for %s", ErrTimeout, path, wait)
	}
	return nil, fmt.Errorf("locking %s: %w", path, err)
}

// TryAcquire is Acquire without a wait.
func TryAcquire(path string) (*Lock, error) {
	file, err := open(path)
	if err != nil {
		return nil, err
	}
	switch free, err := file.TryLock(); {
	case err != nil:
		return nil, fmt.Errorf("locking %s: %w", path, err)
	case !free:
		return nil, fmt.Errorf("%w: another process has %s", ErrTimeout, path)
	}
	return markLock(file)
}

func open(path string) (*flock.Flock, error) {
	if err := atomicfile.MkdirPrivate(filepath.Dir(path)); err != nil {
		return nil, err
	}
	// Who could open a loose or foreign lock file could hold it for ever.
	err := atomicfile.Check(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = atomicfile.Touch(path)
	}
	if err != nil {
		return nil, err
	}
	return flock.New(path, flock.SetFlag(openFlags), flock.SetPermissions(0o600)), nil
}

// markLock writes the owner's mark: the time, or a later one if the clock was set back or
// the file system has coarse timestamps.
func markLock(file *flock.Flock) (*Lock, error) {
	lock := &Lock{file: file}
	last, err := LastMark(file.Path())
	if err == nil {
		lock.Mark, err = leaveMark(file.Path(), max(Mark(time.Now().UnixNano()), last+Mark(time.Millisecond)))
	}
	if err == nil && lock.Mark == last {
		lock.Mark, err = leaveMark(file.Path(), last+Mark(maxTimeStep))
	}
	if err == nil && lock.Mark == last {
		err = errors.New("the file system keeps no times")
	}
	if err != nil {
		lock.Release()
		return nil, fmt.Errorf("locking %s: %w", file.Path(), err)
	}
	return lock, nil
}

// maxTimeStep is the coarsest resolution of a file system's timestamps (FAT).
const maxTimeStep = 2 * time.Second

// leaveMark returns the mark as the file system keeps it.
func leaveMark(path string, m Mark) (Mark, error) {
	if err := os.Chtimes(path, time.Time{}, time.Unix(0, int64(m))); err != nil {
		return 0, err
	}
	return LastMark(path)
}

// waitForLock blocks in the system, which wakes one process at a time: hundreds of processes
// that poll would leave the owner no time to work.
func waitForLock(ctx context.Context, file *flock.Flock) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	// Who has the turn may wait for a file that a purge took away.
	if free, _ := file.TryLock(); free {
		return nil
	}
	giveBack, err := takeTurn(ctx, file.Path())
	if err != nil {
		return err
	}
	locked := make(chan error, 1)
	go func() {
		defer giveBack() // not before the system is done, even if nobody waits any more
		locked <- lockUninterrupted(file)
	}()
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
