package parallel

import (
	"sync/atomic"
	"testing"
)

func TestDo(t *testing.T) {
	const count, atOnce = 40, 4
	var under, most, done atomic.Int64
	full := make(chan struct{})
	Do(count, atOnce, func(int) {
		now := under.Add(1)
		if now > most.Load() {
			most.Store(now)
		}
		if done.Add(1) == atOnce { // the first ones wait for one another
			close(full)
		}
		<-full
		under.Add(-1)
	})
	if done.Load() != count || most.Load() > atOnce {
		t.Errorf("%d were done, %d at once", done.Load(), most.Load())
	}
}
