package filelock

import (
	"context"
	"sync"
)

// turns are those of the paths that somebody in this process waits for. A wait in the
// system cannot be given up, and blocks a thread and an open file until the lock comes:
// one such wait at each path has the turn, and all others wait for it in Go.
var turns = struct {
	sync.Mutex
	at map[string]*turn
}{at: make(map[string]*turn)}

type turn struct {
	taken chan struct{} // is full while somebody has the turn
	users int           // who have it or wait for it; the last one takes the entry away
}

// takeTurn waits for the turn at path until ctx ends. Who got it must call giveBack.
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
