package serve

import (
	"math"
	"net/netip"
	"sync"
	"time"
)

type bucket struct {
	mu       sync.Mutex
	rate     float64 // per second
	capacity float64
	tokens   float64
	filledAt time.Time
}

func (b *bucket) take(now time.Time) (wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill(now)
	if b.tokens >= 1 {
		b.tokens--
		return 0
	}
	return time.Duration(math.Ceil((1 - b.tokens) / b.rate * float64(time.Second)))
}

func (b *bucket) empty(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill(now)
	return b.tokens < 1
}

// fill adds the tokens since the last call. A clock that was set back adds none.
func (b *bucket) fill(now time.Time) {
	if b.filledAt.IsZero() {
		b.tokens = b.capacity
	} else if since := now.Sub(b.filledAt); since > 0 {
		b.tokens = min(b.capacity, b.tokens+b.rate*since.Seconds())
	}
	b.filledAt = now
}

// limiter has a bucket per client address, and evicts some when there are too many.
type limiter struct {
	rate float64
	now  func() time.Time

	mu      sync.Mutex
	buckets map[netip.Addr]*bucket
}

// maxAddresses bounds the limiter's memory to about 10 MiB.
const maxAddresses = 1 << 16

func newLimiter(perSecond int, now func() time.Time) *limiter {
	return &limiter{rate: float64(perSecond), now: now, buckets: make(map[netip.Addr]*bucket)}
}

// bucketOf returns the bucket of an address; the IPv6 addresses of a /64 share one.
func (l *limiter) bucketOf(address netip.Addr) *bucket {
	if address = address.Unmap(); address.Is6() {
		if prefix, err := address.Prefix(64); err == nil {
			address = prefix.Addr()
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if b := l.buckets[address]; b != nil {
		return b
	}
	makeRoom(l.buckets, maxAddresses)
	b := &bucket{rate: l.rate, capacity: 2 * l.rate}
	l.buckets[address] = b
	return b
}

// makeRoom deletes arbitrary entries until one more fits.
func makeRoom[K comparable, V any](m map[K]V, most int) {
	for key := range m {
		if len(m) < most {
			return
		}
		delete(m, key)
	}
}

// blocked reports whether an address has sent too many unknown keys.
func (l *limiter) blocked(address netip.Addr) bool {
	return l.rate > 0 && l.bucketOf(address).empty(l.now())
}

func (l *limiter) failed(address netip.Addr) {
	if l.rate > 0 {
		l.bucketOf(address).take(l.now())
	}
}
