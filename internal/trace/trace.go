// Package trace shows what fob does while it does it: requests, storage, locks and caches,
// for --debug and FOB_DEBUG. A context carries it; without one nothing is formatted.
package trace

import (
	"context"
	"fmt"
	"time"
)

type key struct{}

// With returns a context whose trace goes to show, line by line.
func With(ctx context.Context, show func(line string)) context.Context {
	return context.WithValue(ctx, key{}, show)
}

// On reports whether anyone reads the trace.
func On(ctx context.Context) bool { return ctx.Value(key{}) != nil }

// Printf adds a line. No argument may hold a secret as a string.
func Printf(ctx context.Context, format string, args ...any) {
	if show, ok := ctx.Value(key{}).(func(string)); ok {
		show(fmt.Sprintf(format, args...))
	}
}

// Outcome is an error, or "ok", and how long it took since start.
func Outcome(err error, start time.Time) string {
	text := "ok"
	if err != nil {
		text = err.Error()
	}
	return fmt.Sprintf("%s (%s)", text, time.Since(start).Round(time.Millisecond/10))
}
