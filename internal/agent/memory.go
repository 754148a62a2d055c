package agent

import (
	"bytes"
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/nacl/secretbox"
	"golang.org/x/sync/singleflight"
)

// Memory holds secret bytes under names, and forgets what was not asked for in a while.
// They are sealed (XSalsa20-Poly1305) under a key in one page that is never written to
// a disk, and of which Go's heap gets no copy: to overwrite it is to forget everything.
type Memory struct {
	forgetAfter time.Duration
	elapsed     func() time.Duration // since some moment, with what the machine has slept

	opening singleflight.Group

	mu     sync.Mutex
	page   *page // holds the key
	items  map[string]item
	locked bool
}

type item struct {
	sealed []byte
	used   time.Duration
}

// NewMemory takes the page. elapsed never goes back.
func NewMemory(forgetAfter time.Duration, elapsed func() time.Duration) (*Memory, error) {
	p, err := newPage()
	if err != nil {
		return nil, err
	}
	m := &Memory{forgetAfter: forgetAfter, elapsed: elapsed, page: p}
	m.renew()
	return m, nil
}

// renew forgets everything: there is another key. m.mu is held.
func (m *Memory) renew() {
	_, _ = rand.Read(m.key()[:])
	m.items = make(map[string]item)
}

func (m *Memory) key() *[keySize]byte { return (*[keySize]byte)(m.page.bytes) }

const (
	keySize   = 32
	nonceSize = 24
)

// Get returns what is held, or nil.
func (m *Memory) Get(name string) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sweep()
	held, ok := m.items[name]
	if !ok {
		return nil
	}
	opened, ok := secretbox.Open(nil, held.sealed[nonceSize:], (*[nonceSize]byte)(held.sealed), m.key())
	plain, own := bytes.CutPrefix(opened, named(name))
	if !ok || !own {
		return nil
	}
	held.used = m.elapsed()
	m.items[name] = held
	return plain
}

// Put holds bytes, unless the memory is locked.
func (m *Memory) Put(name string, plain []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.locked {
		return
	}
	var nonce [nonceSize]byte
	_, _ = rand.Read(nonce[:])
	m.items[name] = item{secretbox.Seal(nonce[:], append(named(name), plain...), &nonce, m.key()), m.elapsed()}
}

// named stands before what is sealed, which opens under its own name alone.
func named(name string) []byte { return append([]byte(name), 0) }

// Open returns what open returns. Concurrent calls for one name share one call of open,
// which may ask a person and goes on until it is done, also if nobody waits any more.
func (m *Memory) Open(ctx context.Context, name string, open func(context.Context) ([]byte, error)) ([]byte, error) {
	opened := m.opening.DoChan(name, func() (plain any, err error) {
		defer func() {
			if recover() != nil { // what it says may hold a secret
				plain, err = nil, errFault
			}
		}()
		return open(context.WithoutCancel(ctx))
	})
	select {
	case r := <-opened:
		plain, _ := r.Val.([]byte)
		return bytes.Clone(plain), r.Err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Drop forgets what is held under a name.
func (m *Memory) Drop(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.items, name)
}

// Lock forgets everything, and holds nothing before Unlock.
func (m *Memory) Lock() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.renew()
	m.locked = true
}

// Unlock lets the memory hold things again.
func (m *Memory) Unlock() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.locked = false
}

// Locked reports whether Lock was the last of the two.
func (m *Memory) Locked() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.locked
}

// Names are those of what is held, in order.
func (m *Memory) Names() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sweep()
	return slices.Sorted(maps.Keys(m.items))
}

// ForgetUntil forgets what was not asked for in a while, until done.
func (m *Memory) ForgetUntil(done <-chan struct{}) {
	tick := time.NewTicker(max(m.forgetAfter/looks, time.Second))
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			m.mu.Lock()
			m.sweep()
			m.mu.Unlock()
		}
	}
}

// looks is how often ForgetUntil looks in the time after which it forgets.
const looks = 10

// Close forgets everything for good.
func (m *Memory) Close() error {
	m.Lock()
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.page.free()
}

// sweep forgets what was not asked for in a while. m.mu is held.
func (m *Memory) sweep() {
	now, before := m.elapsed(), len(m.items)
	for name, held := range m.items {
		if now-held.used > m.forgetAfter {
			delete(m.items, name)
		}
	}
	if before > 0 && len(m.items) == 0 {
		m.renew()
	}
}
