package app

import (
	"context"
	"slices"
	"sync"

	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
)

// maxAtOnce bounds how many records are used at a time.
const maxAtOnce = 8

// ForEach calls do for each item, several at a time, and returns the errors. Each call gets
// its own App; their notes are printed in the order of the items. After ctx ends, it starts
// no more calls.
func ForEach[T any](ctx context.Context, a *App, items []T, do func(a *App, item T) error) (errs []error) {
	for _, name := range config.Storages() {
		_, _ = a.Store(name) // now, so that its notes and prompts are not delayed
	}
	for some := range slices.Chunk(items, maxAtOnce) {
		failed, notes := make([]error, len(some)), make([][]string, len(some))
		var running sync.WaitGroup
		for i, item := range some {
			running.Go(func() {
				one, terminal := *a, *a.IO
				terminal.Notes = func(line string) { notes[i] = append(notes[i], line) }
				one.IO = &terminal
				if failed[i] = ctx.Err(); failed[i] == nil {
					failed[i] = do(&one, item)
				}
			})
		}
		running.Wait()
		for _, line := range slices.Concat(notes...) {
			a.Note("%s", cli.Painted(line))
		}
		errs = append(errs, failed...)
	}
	return errs
}
