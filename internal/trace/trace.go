// Package trace prints what fob does for --debug and FOB_DEBUG: requests, storage, locks
// and caches. It is enabled by the context; otherwise nothing is formatted.
package trace

import (
	"context"
	"fmt"
	"time"
)

type key struct{}

// With returns a context with tracing, which calls show for each line.
func With(ctx context.Context, show func(line string)) context.Context {
	return context.WithValue(ctx, key{}, show)
}

// On reports whether tracing is enabled.
func On(ctx context.Context) bool { return ctx.Value(key{}) != nil }

// Printf prints a line. Arguments must not contain a secret as a string.
func Printf(ctx context.Context, format string, args ...any) {
	if show, ok := ctx.Value(key{}).(func(string)); ok {
		show(fmt.Sprintf(format, args...))
	}
}

// Outcome returns an error's text, or "ok", and the time since start.
func Outcome(err error, start time.Time) string {
	text := "ok"
	if err != nil {
		text = err.Error()
	}
	return fmt.Sprintf("%s (%s)", text, time.Since(start).Round(time.Millisecond/10))
}
