package keys

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/filelock"
)

// isLeased reports whether another process may be rotating a key. A lease longer than two
// was set by a clock that was ahead, and does not count.
func (g *Registrar) isLeased(open apikey.Rotation) bool {
	left := open.LeasedUntil.Sub(g.now())
	isHere, isAlive := g.deliverer(open.New)
	return left > 0 && left <= 2*lease && (isAlive || !isHere)
}

// deliverer reports whether the process that delivers a key ran on this machine, and whether
// it still does: each locks its own file, and the system releases that lock.
func (g *Registrar) deliverer(id string) (isHere, isAlive bool) {
	if _, err := os.Lstat(g.leaseFile(id)); err != nil {
		return false, false // it may run on another machine
	}
	lock := g.lockLease(id)
	if lock != nil {
		lock.Release()
	}
	return true, lock == nil
}

// outlast waits until a process on this machine whose rotation was taken over has ended: a
// delivery that it had begun before could overwrite a later one.
func (g *Registrar) outlast(ctx context.Context, id string) {
	for end := g.now().Add(deliveryWait); g.now().Before(end); {
		if _, isAlive := g.deliverer(id); !isAlive || g.wait(ctx) != nil {
			return
		}
	}
}

func (g *Registrar) leaseFile(id string) string { return filepath.Join(g.LockDir, "rotation-"+id) }

// lockLease shows other processes on this machine that this one is alive. Without the file,
// they wait for the end of the lease.
func (g *Registrar) lockLease(id string) *filelock.Lock {
	if g.LockDir == "" {
		return nil
	}
	lock, _ := filelock.TryAcquire(g.leaseFile(id))
	return lock
}

// unlockLease deletes a lock file. No process waits for it, and no other key has its name.
func (g *Registrar) unlockLease(id string, lock *filelock.Lock) {
	if lock != nil {
		lock.Release()
	}
	if g.LockDir != "" && id != "" {
		_ = os.Remove(g.leaseFile(id))
	}
}

func (g *Registrar) wait(ctx context.Context) error {
	if g.Wait != nil {
		return g.Wait(ctx)
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(200 * time.Millisecond):
		return nil
	}
}
