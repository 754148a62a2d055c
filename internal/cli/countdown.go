package cli

import (
	"context"
	"time"
)

// CountDown prints format on the terminal every second, with the time that is left until end.
// stop wipes the line away.
func (s *IO) CountDown(ctx context.Context, format string, end time.Time) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			_ = s.Err.Printf("\r\x1b[K"+format, max(end.Sub(s.Now()), 0).Round(time.Second))
			select {
			case <-ctx.Done():
				_ = s.Err.Print("\r\x1b[K")
				return
			case <-tick.C:
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}
