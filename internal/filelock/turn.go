package filelock

import (
	"context"
	"sync"
)

// turns are by path. A system call that waits for a lock cannot be cancelled, and uses a
// thread and an open file. So only one goroutine per path, the one whose turn it is, waits
// in the system; the others wait for their turn in Go.
var turns = struct {
	sync.Mutex
	at map[string]*turn
}{at: make(map[string]*turn)}

type turn struct {
	taken chan struct{} // full while a goroutine has the turn
	users int           // goroutines that have the turn or wait for it; the last one deletes the entry
}

// takeTurn waits for the turn at path until ctx ends. Call giveBack afterwards.
func takeTurn(ctx context.Context, path string) (giveBack func(), err error) {
	t := joinTurn(path)
	select {
	case t.taken <- struct{}{}:
		return func() { <-t.taken; leaveTurn(path, t) }, nil
	case <-ctx.Done():
		leaveTurn(path, t)
		return nil, ctx.Err()
	}
}

func joinTurn(path string) *turn {
	turns.Lock()
	defer turns.Unlock()
	t := turns.at[path]
	if t == nil {
		t = &turn{taken: make(chan struct{}, 1)}
		turns.at[path] = t
	}
	t.users++
	return t
}

func leaveTurn(path string, t *turn) {
	turns.Lock()
	defer turns.Unlock()
	if t.users--; t.users == 0 {
		delete(turns.at, path)
	}
}
