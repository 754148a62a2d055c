package filelock

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func acquire(t *testing.T, path string) *Lock {
	t.Helper()
	lock, err := Acquire(t.Context(), path, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return lock
}

func TestOneHolderAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "locks", "work.lock")
	var holders, total atomic.Int32
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			lock, err := Acquire(t.Context(), path, time.Minute)
			if err != nil {
				t.Error(err)
				return
			}
			if n := holders.Add(1); n != 1 {
				t.Errorf("%d holders at once", n)
			}
			total.Add(1)
			holders.Add(-1)
			lock.Release()
		})
	}
	wg.Wait()
	if total.Load() != 50 {
		t.Errorf("%d of 50 got the lock", total.Load())
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the lock file is gone: %v", err)
	}
}

func TestTimeoutAndCancel(t *testing.T) {
	path := filepath.Join(t.TempDir(), "work.lock")
	defer acquire(t, path).Release()
	if _, err := Acquire(t.Context(), path, 30*time.Millisecond); !errors.Is(err, ErrTimeout) {
		t.Errorf("a held lock: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Acquire(ctx, path, time.Minute); !errors.Is(err, context.Canceled) || errors.Is(err, ErrTimeout) {
		t.Errorf("a cancelled wait: %v", err)
	}
}

// A wait that was given up goes on in the background: what it gets, it gives back.
func TestAWaitThatWasGivenUpKeepsNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "work.lock")
	held := acquire(t, path)
	for range 10 {
		if _, err := Acquire(t.Context(), path, 5*time.Millisecond); !errors.Is(err, ErrTimeout) {
			t.Fatalf("a held lock: %v", err)
		}
	}
	held.Release()
	for range 10 {
		acquire(t, path).Release()
	}
}

// Whatever the clock says, no two holders leave the same mark, and nobody else any.
func TestEachHolderLeavesAMark(t *testing.T) {
	path := filepath.Join(t.TempDir(), "work.lock")
	if _, err := LastMark(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("never taken: %v", err)
	}
	seen := make(map[Mark]bool)
	for i := range 10 {
		if i == 5 {
			future := time.Now().Add(time.Hour)
			if err := os.Chtimes(path, future, future); err != nil {
				t.Fatal(err)
			}
		}
		lock := acquire(t, path)
		if _, err := TryAcquire(path); !errors.Is(err, ErrTimeout) {
			t.Errorf("a held lock: %v", err)
		}
		if last, err := LastMark(path); err != nil || last != lock.Mark || seen[last] {
			t.Errorf("%d, %v; the holder's is %d", last, err, lock.Mark)
		}
		seen[lock.Mark] = true
		lock.Release()
	}
	lock, err := TryAcquire(path)
	if err != nil || seen[lock.Mark] {
		t.Fatalf("a free lock: %+v, %v", lock, err)
	}
	lock.Release()
}
