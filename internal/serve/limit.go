package serve

import (
	"math"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fobcli/fob/internal/apikey"
)

// limit is the rates of a key, or of an address that guesses. Each has a bucket of tokens, and
// each use takes one from all of them.
type limit struct {
	mu       sync.Mutex
	buckets  []bucket
	filledAt time.Time
	rates    string   // as the key's record has them
	policy   []string // RateLimit-Policy
}

type bucket struct {
	name     string
	rate     float64 // per second
	capacity float64
	tokens   float64
}

// newLimit returns the limit of a key.
func newLimit(text string, rates []apikey.Rate) *limit {
	l := &limit{rates: text}
	var policy []string
	for i, name := range strings.Fields(text) {
		rate := rates[i]
		l.buckets = append(l.buckets, bucket{name: name, rate: float64(rate.Count) / rate.Per.Seconds(), capacity: float64(rate.Count)})
		policy = append(policy, `"`+name+`";q=`+strconv.Itoa(rate.Count)+";w="+strconv.Itoa(int(rate.Per.Seconds())))
	}
	l.policy = []string{strings.Join(policy, ", ")}
	return l
}

// take takes a token from each bucket if all have one, or returns how long to wait. It also
// returns the value of RateLimit.
func (l *limit) take(now time.Time) (wait time.Duration, report string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fill(now)
	for i := range l.buckets {
		if b := &l.buckets[i]; b.tokens < 1 {
			wait = max(wait, b.next())
		}
	}
	var buffer [128]byte
	text := buffer[:0]
	for i := range l.buckets {
		b := &l.buckets[i]
		if wait == 0 {
			b.tokens--
		}
		if i > 0 {
			text = append(text, ", "...)
		}
		text = append(append(append(text, '"'), b.name...), `";r=`...)
		text = append(strconv.AppendInt(text, int64(b.tokens), 10), ";t="...)
		text = strconv.AppendInt(text, seconds(b.next()), 10)
	}
	return wait, string(text)
}

// next returns the time until there is another whole token.
func (b *bucket) next() time.Duration {
	return time.Duration(math.Ceil((math.Floor(b.tokens) + 1 - b.tokens) / b.rate * float64(time.Second)))
}

func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

func (l *limit) empty(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fill(now)
	return l.buckets[0].tokens < 1
}

// fill adds the tokens since the last call. A clock that was set back adds none.
func (l *limit) fill(now time.Time) {
	since := now.Sub(l.filledAt).Seconds()
	for i := range l.buckets {
		if b := &l.buckets[i]; l.filledAt.IsZero() {
			b.tokens = b.capacity
		} else if since > 0 {
			b.tokens = min(b.capacity, b.tokens+b.rate*since)
		}
	}
	l.filledAt = now
}

// limiter has a limit per client address, and evicts some when there are too many.
type limiter struct {
	rate float64
	now  func() time.Time

	mu     sync.Mutex
	limits map[netip.Addr]*limit
}

// maxAddresses bounds the limiter's memory to about 10 MiB.
const maxAddresses = 1 << 16

func newLimiter(perSecond int, now func() time.Time) *limiter {
	return &limiter{rate: float64(perSecond), now: now, limits: make(map[netip.Addr]*limit)}
}

// limitOf returns the limit of an address; the IPv6 addresses of a /64 share one.
func (l *limiter) limitOf(address netip.Addr) *limit {
	if address = address.Unmap(); address.Is6() {
		if prefix, err := address.Prefix(64); err == nil {
			address = prefix.Addr()
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if existing := l.limits[address]; existing != nil {
		return existing
	}
	makeRoom(l.limits, maxAddresses)
	created := &limit{buckets: []bucket{{rate: l.rate, capacity: 2 * l.rate}}}
	l.limits[address] = created
	return created
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
	return l.rate > 0 && l.limitOf(address).empty(l.now())
}

func (l *limiter) failed(address netip.Addr) {
	if l.rate > 0 {
		l.limitOf(address).take(l.now())
	}
}
