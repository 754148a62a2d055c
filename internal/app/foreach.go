package app

import (
	"context"

	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
)

// maxAtOnce bounds how many records are used at a time.
const maxAtOnce = 8

// ForEach calls do for each item, several at a time, and returns the errors. Each call has an
// App of its own, whose notes are printed in the order of the items. Once ctx ends, no call
// is started.
func ForEach[T any](ctx context.Context, a *App, items []T, do func(a *App, item T) error) []error {
	for _, name := range config.Storages() {
		_, _ = a.Store(name) // opened first, their own notes and prompts are not delayed
	}
	errs, notes, done := make([]error, len(items)), make([][]string, len(items)), make([]chan struct{}, len(items))
	for i := range done {
		done[i] = make(chan struct{})
	}
	slots := make(chan struct{}, maxAtOnce)
	call := func(i int) {
		one, terminal := *a, *a.IO
		terminal.Notes = func(line string) { notes[i] = append(notes[i], line) }
		one.IO = &terminal
		if errs[i] = ctx.Err(); errs[i] == nil {
			errs[i] = do(&one, items[i])
		}
		close(done[i])
		<-slots
	}
	go func() {
		for i := range items {
			slots <- struct{}{}
			go call(i)
		}
	}()
	for i := range items {
		<-done[i]
		for _, line := range notes[i] {
			a.Note("%s", cli.Painted(line))
		}
	}
	return errs
}
