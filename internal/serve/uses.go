package serve

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/fobcli/fob/internal/apikey"
)

// uses counts in memory how often keys were used, and writes the sums down in
// batches: no check waits for that.
type uses struct {
	mu   sync.Mutex
	sums map[string]apikey.Use
}

const (
	usesEvery = 10 * time.Second
	// usesBatch is how many keys' sums are written in one transaction.
	usesBatch = 500
	// maxUses bounds the keys that are counted between two batches: use is approximate.
	maxUses = 100_000
)

func newUses() *uses { return &uses{sums: make(map[string]apikey.Use)} }

func (u *uses) add(id string, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	sum, counted := u.sums[id]
	if !counted && len(u.sums) >= maxUses {
		return
	}
	u.sums[id] = apikey.Use{ID: id, Count: sum.Count + 1, Last: now}
}

// run writes the sums down until ctx ends, and then once more.
func (u *uses) run(ctx context.Context, keys Keys, log *slog.Logger) {
	tick := time.NewTicker(usesEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			u.write(ctx, keys, log)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			u.write(last, keys, log)
			return
		}
	}
}

func (u *uses) write(ctx context.Context, keys Keys, log *slog.Logger) {
	u.mu.Lock()
	sums := u.sums
	u.sums = make(map[string]apikey.Use, len(sums))
	u.mu.Unlock()
	batch := make([]apikey.Use, 0, min(len(sums), usesBatch))
	flush := func() {
		if len(batch) > 0 {
			if err := keys.Use(ctx, batch); err != nil && ctx.Err() == nil {
				log.Warn("when keys were last used was not written down", "error", err.Error())
			}
			batch = batch[:0]
		}
	}
	for _, sum := range sums {
		if batch = append(batch, sum); len(batch) == usesBatch {
			flush()
		}
	}
	flush()
}
