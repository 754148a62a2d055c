package serve

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/fobcli/fob/internal/apikey"
)

// uses counts how often keys were used and writes the counts in batches, so that no check
// waits for the registry.
type uses struct {
	mu   sync.Mutex
	sums map[string]apikey.Use
}

const (
	usesInterval = 10 * time.Second
	// usesBatch is the number of keys per transaction: few, so that checks on the same core
	// are delayed by less than a millisecond.
	usesBatch = 50
	usesPause = 25 * time.Millisecond // between two batches
	// maxUses bounds the memory: usage counts are approximate.
	maxUses = 100_000
)

func (u *uses) add(use apikey.Use) {
	if use.Count == 0 {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	sum, counted := u.sums[use.ID]
	if !counted && len(u.sums) >= maxUses {
		return
	}
	use.Count += sum.Count
	u.sums[use.ID] = use
}

// run collects and writes the counts until ctx ends, and then once more.
func (u *uses) run(ctx context.Context, collect func(), keys Keys, log *slog.Logger) {
	tick := time.NewTicker(usesInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			collect()
			u.write(ctx, usesPause, keys, log)
		case <-ctx.Done():
			collect()
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			u.write(last, 0, keys, log)
			return
		}
	}
}

func (u *uses) take() []apikey.Use {
	u.mu.Lock()
	defer u.mu.Unlock()
	sums := slices.AppendSeq(make([]apikey.Use, 0, len(u.sums)), maps.Values(u.sums))
	u.sums = make(map[string]apikey.Use)
	return sums
}

// write writes the counts in batches. What is left when ctx ends is written by the last
// call.
func (u *uses) write(ctx context.Context, pause time.Duration, keys Keys, log *slog.Logger) {
	left := u.take()
	for len(left) > 0 && ctx.Err() == nil {
		size := min(len(left), usesBatch)
		if err := keys.Use(ctx, left[:size]); err != nil && ctx.Err() != nil {
			break
		} else if err != nil {
			log.Warn("when keys were last used was not written down", "error", err.Error())
		}
		left = left[size:]
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
	for _, sum := range left {
		u.add(sum)
	}
}
