// Package filelock is a lock shared by processes: a file next to the data that it guards.
// Lock files are only deleted by a purge, because a process waiting for a deleted one would
// lock a file that no other process sees.
package filelock

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/trace"
)

// ErrTimeout means that another process held the lock for the whole wait.
var ErrTimeout = errors.New("timed out waiting for a lock")

// ErrUnwritable means that the lock file cannot be written, as in a read-only home folder.
var ErrUnwritable = errors.New("fob's files cannot be written")

// Lock is a lock that this process has.
type Lock struct {
	Mark Mark // of this owner

	file *flock.Flock
}

// Mark identifies an owner of a lock: each writes its own mark to the lock file before
// anything else. Data that was read while the lock had some mark is unchanged while it
// still has that mark.
type Mark int64

// LastMark returns the mark of the last owner. A missing lock file is fs.ErrNotExist.
func LastMark(path string) (Mark, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return 0, err
	}
	return Mark(info.ModTime().UnixNano()), nil
}

// Acquire takes the lock at path, creating its private folder if needed. It waits at most
// for wait (ErrTimeout) or until ctx ends (ctx's error).
func Acquire(ctx context.Context, path string, wait time.Duration) (*Lock, error) {
	file, err := open(path)
	if err != nil {
		return nil, classify(err)
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
	return nil, fmt.Errorf("locking %s: %w", path, classify(err))
}

func classify(err error) error {
	for _, unwritable := range []error{fs.ErrPermission, fs.ErrNotExist, syscall.EROFS, syscall.ENOTDIR} {
		if errors.Is(err, unwritable) {
			return fmt.Errorf("%w: %w", ErrUnwritable, err)
		}
	}
	return err
}

// TryAcquire is Acquire without a wait.
func TryAcquire(path string) (*Lock, error) {
	file, err := open(path)
	if err != nil {
		return nil, classify(err)
	}
	switch free, err := file.TryLock(); {
	case err != nil:
		return nil, fmt.Errorf("locking %s: %w", path, classify(err))
	case !free:
		return nil, fmt.Errorf("%w: another process has %s", ErrTimeout, path)
	}
	return markLock(file)
}

func open(path string) (*flock.Flock, error) {
	if err := atomicfile.MkdirPrivate(filepath.Dir(path)); err != nil {
		return nil, err
	}
	// With access to the lock file, another user could hold the lock forever.
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
		err = errors.New("the file system does not store timestamps")
	}
	if err != nil {
		lock.Release()
		return nil, fmt.Errorf("locking %s: %w", file.Path(), classify(err))
	}
	return lock, nil
}

// maxTimeStep is the coarsest resolution of a file system's timestamps (FAT).
const maxTimeStep = 2 * time.Second

// leaveMark writes a mark and returns it as rounded by the file system.
func leaveMark(path string, m Mark) (Mark, error) {
	if err := os.Chtimes(path, time.Time{}, time.Unix(0, int64(m))); err != nil {
		return 0, err
	}
	return LastMark(path)
}

// waitForLock blocks in the system, which wakes one process at a time: hundreds of polling
// processes would slow down the owner.
func waitForLock(ctx context.Context, file *flock.Flock) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	// The file may be one that a purge has deleted.
	if free, _ := file.TryLock(); free {
		return nil
	}
	giveBack, err := takeTurn(ctx, file.Path())
	if err != nil {
		return err
	}
	locked := make(chan error, 1)
	go func() {
		defer giveBack() // when the system call returns, even if this call gave up before
		locked <- lockUninterrupted(file)
	}()
	select {
	case err := <-locked:
		return err
	case <-ctx.Done():
		go func() { // the lock may still be granted: release it
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

// Release releases the lock.
func (l *Lock) Release() { _ = l.file.Close() }

// turns has a channel for each path, full while a goroutine has the turn. A system call that
// waits for a lock cannot be cancelled, and uses a thread and an open file. So only one
// goroutine per path, the one whose turn it is, waits in the system; the others wait for
// their turn in Go.
var turns sync.Map

// takeTurn waits for the turn at path until ctx ends. Call giveBack afterwards.
func takeTurn(ctx context.Context, path string) (giveBack func(), err error) {
	entry, _ := turns.LoadOrStore(path, make(chan struct{}, 1))
	turn := entry.(chan struct{})
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
