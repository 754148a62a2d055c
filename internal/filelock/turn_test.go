package filelock

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"sync"
	"testing"
	"time"
)

// eventually waits for what other goroutines bring about.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); !condition(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("never %s", what)
		}
	}
}

// isTaken reports whether a goroutine has the turn at a path.
func isTaken(path string) bool {
	turn, ok := turns.Load(path)
	return ok && len(turn.(chan struct{})) == 1
}

func threads() int { return pprof.Lookup("threadcreate").Count() }

// A process that lives long gives up many waits. Each would leave a blocked thread.
func TestAThousandWaitsThatWereGivenUp(t *testing.T) {
	const waits, few = 1000, 20
	path := filepath.Join(t.TempDir(), "work.lock")
	held := acquire(t, path)
	goroutines, before := runtime.NumGoroutine(), threads()
	var wg sync.WaitGroup
	for range waits {
		wg.Go(func() {
			if lock, err := Acquire(t.Context(), path, 20*time.Millisecond); !errors.Is(err, ErrTimeout) || lock != nil {
				t.Errorf("a held lock: %v", err)
			}
		})
	}
	wg.Wait()
	eventually(t, "few goroutines", func() bool { return runtime.NumGoroutine() <= goroutines+few })
	if now := threads(); now > before+waits/10 {
		t.Errorf("%d threads became %d", before, now)
	}
	if !isTaken(path) {
		t.Error("nothing waits in the system")
	}

	got, waiting := make(chan error, few), runtime.NumGoroutine()
	for range few { // behind the wait that was given up and still has the turn
		go func() {
			lock, err := Acquire(t.Context(), path, time.Minute)
			if err == nil {
				lock.Release()
			}
			got <- err
		}()
	}
	eventually(t, "all in line", func() bool { return runtime.NumGoroutine() >= waiting+few })
	held.Release()
	for range few {
		if err := <-got; err != nil {
			t.Errorf("after the release: %v", err)
		}
	}
	acquire(t, path).Release()
	eventually(t, "nobody left", func() bool { return !isTaken(path) })
}

// Who waits at one path is not in the way of another.
func TestEachPathHasItsTurn(t *testing.T) {
	dir := t.TempDir()
	held := acquire(t, filepath.Join(dir, "held.lock"))
	if _, err := Acquire(t.Context(), filepath.Join(dir, "held.lock"), 5*time.Millisecond); !errors.Is(err, ErrTimeout) {
		t.Fatalf("a held lock: %v", err)
	}
	acquire(t, filepath.Join(dir, "free.lock")).Release()
	held.Release()
	eventually(t, "nobody left", func() bool { return !isTaken(filepath.Join(dir, "held.lock")) })
}

// A lock that cannot be waited for at all does not keep the turn.
func TestAFailedWaitGivesItsTurnBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "work.lock")
	file, err := open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o700)); err != nil { // after it was found to be safe
		t.Fatal(err)
	}
	for range 2 {
		if err := waitForLock(t.Context(), file); err == nil {
			t.Fatal("a folder was locked")
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	acquire(t, path).Release()
	eventually(t, "nobody left", func() bool { return !isTaken(path) })
}
