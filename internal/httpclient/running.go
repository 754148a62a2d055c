package httpclient

import (
	"context"
	"fmt"
	"time"
)

// ticks is the resolution of WithRunningTimeout.
const ticks = 20

// WithRunningTimeout is like context.WithTimeout, but only counts time while the process is
// running. After Ctrl-Z or in a frozen container, a wall-clock timeout would discard a
// response that has arrived in the meantime, perhaps with a rotated refresh token. 0 means
// no timeout; context.Cause returns its error.
func WithRunningTimeout(parent context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	if timeout > 0 {
		go func() {
			if waitRunning(ctx, timeout) {
				cancel(fmt.Errorf("no complete response within %s: %w", timeout, context.DeadlineExceeded))
			}
		}()
	}
	return ctx, func() { cancel(context.Canceled) }
}

// waitRunning waits until this process has been running for a while. It returns false if
// ctx ends first.
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
		if now.Sub(last) < 2*period { // else the process was stopped, and data that arrived meanwhile is still to be read
			left--
		}
		last = now
	}
	return true
}
