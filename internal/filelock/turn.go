package filelock

import (
	"context"
	"sync"
)

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
