package httpclient

import (
	"context"
	"fmt"
	"time"
)

// ticks is how finely WithRunningTimeout measures.
const ticks = 20

// WithRunningTimeout is context.WithTimeout by the time for which this process
// runs. A clock goes on while the process is stopped (Ctrl-Z, a frozen container),
// and would throw away the answer that has come meanwhile: the only one, where it
// brings a rotated refresh token. A timeout of 0 is none; context.Cause tells one.
func WithRunningTimeout(parent context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	if timeout > 0 {
		go func() {
			if waitRunning(ctx, timeout) {
				cancel(fmt.Errorf("no whole answer came within %s: %w", timeout, context.DeadlineExceeded))
			}
		}()
	}
	return ctx, func() { cancel(context.Canceled) }
}

// waitRunning waits until this process has been running for a while, and reports false if
// ctx ends before.
func waitRunning(ctx context.Context, while time.Duration) bool {
	period := max(while/ticks, time.Nanosecond)
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	last := time.Now()
	for left := ticks; left > 0; {
		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
		}
		now := time.Now()
		if now.Sub(last) < 2*period { // else it was stopped, and what came meanwhile is still to be read
			left--
		}
		last = now
	}
	return true
}
