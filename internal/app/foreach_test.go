package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// Calls run at the same time, at most maxAtOnce of them, and their notes are in order.
func TestForEach(t *testing.T) {
	f := newFixture(t, "")
	items := make([]int, 3*maxAtOnce)
	for i := range items {
		items[i] = i
	}
	var running atomic.Int32
	full := make(chan struct{})
	errs := ForEach(t.Context(), f.App, items, func(a *App, i int) error {
		switch n := running.Add(1); {
		case n > maxAtOnce:
			t.Errorf("%d at once", n)
		case n == maxAtOnce && i < maxAtOnce:
			close(full)
		}
		<-full // the first calls wait for one another
		a.Note("note %d\nanother", i)
		running.Add(-1)
		if i%2 == 1 {
			return fmt.Errorf("error %d", i)
		}
		return nil
	})
	var want strings.Builder
	for i, err := range errs {
		fmt.Fprintf(&want, "note %d\nanother\n", i)
		if (err != nil) != (i%2 == 1) || err != nil && err.Error() != fmt.Sprintf("error %d", i) {
			t.Errorf("%d: %v", i, err)
		}
	}
	if len(errs) != len(items) || f.err.String() != want.String() {
		t.Errorf("%d errors, %q", len(errs), f.err)
	}
}

func TestForEach_Interrupted(t *testing.T) {
	f := newFixture(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	var calls atomic.Int32
	errs := ForEach(ctx, f.App, make([]int, 100), func(*App, int) error {
		calls.Add(1)
		cancel()
		<-ctx.Done()
		return ctx.Err()
	})
	if calls.Load() > maxAtOnce || slices.ContainsFunc(errs, func(err error) bool { return !errors.Is(err, context.Canceled) }) {
		t.Errorf("%d calls, %v", calls.Load(), errs)
	}
}
