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

// Memory caches secret bytes by name, and forgets those that are not used for a while. They
// are sealed (XSalsa20-Poly1305) under a key in a page that is never swapped to disk and not
// copied to Go's heap, so that overwriting the key forgets everything.
type Memory struct {
	forgetAfter time.Duration
	elapsed     func() time.Duration // since a fixed moment, including sleep

	opening singleflight.Group

	mu     sync.Mutex
	page   *page // of the key
	items  map[string]item
	locked bool
}

type item struct {
	sealed []byte
	used   time.Duration
}

// NewMemory returns an empty Memory. elapsed must never go back.
func NewMemory(forgetAfter time.Duration, elapsed func() time.Duration) (*Memory, error) {
	p, err := newPage()
	if err != nil {
		return nil, err
	}
	m := &Memory{forgetAfter: forgetAfter, elapsed: elapsed, page: p}
	m.renew()
	return m, nil
}

// renew forgets everything, with a new key. It must be called with m.mu locked.
func (m *Memory) renew() {
	_, _ = rand.Read(m.key()[:])
	m.items = make(map[string]item)
}

func (m *Memory) key() *[keySize]byte { return (*[keySize]byte)(m.page.bytes) }

const (
	keySize   = 32
	nonceSize = 24
)

// Get returns the cached bytes, or nil.
func (m *Memory) Get(name string) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sweep()
	cached, ok := m.items[name]
	if !ok {
		return nil
	}
	opened, ok := secretbox.Open(nil, cached.sealed[nonceSize:], (*[nonceSize]byte)(cached.sealed), m.key())
	plain, found := bytes.CutPrefix(opened, namePrefix(name))
	if !ok || !found {
		return nil
	}
	cached.used = m.elapsed()
	m.items[name] = cached
	return plain
}

// Put caches bytes, unless the memory is locked.
func (m *Memory) Put(name string, plain []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.locked {
		return
	}
	var nonce [nonceSize]byte
	_, _ = rand.Read(nonce[:])
	m.items[name] = item{secretbox.Seal(nonce[:], append(namePrefix(name), plain...), &nonce, m.key()), m.elapsed()}
}

// namePrefix is the prefix that binds sealed bytes to their name.
func namePrefix(name string) []byte { return append([]byte(name), 0) }

// Open returns what open returns. Concurrent calls for one name share one call of open,
// which may ask the user and runs to its end, even if all callers give up.
func (m *Memory) Open(ctx context.Context, name string, open func(context.Context) ([]byte, error)) ([]byte, error) {
	opened := m.opening.DoChan(name, func() (plain any, err error) {
		defer func() {
			if recover() != nil { // its text may contain a secret
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

// Drop forgets one name.
func (m *Memory) Drop(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.items, name)
}

// Lock forgets everything, and caches nothing until Unlock.
func (m *Memory) Lock() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.renew()
	m.locked = true
}

// Unlock ends Lock.
func (m *Memory) Unlock() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.locked = false
}

// Locked reports whether the memory is locked.
func (m *Memory) Locked() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.locked
}

// Names returns the names of the cached bytes, sorted.
func (m *Memory) Names() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sweep()
	return slices.Sorted(maps.Keys(m.items))
}

// ForgetUntil forgets what is not used for a while, until done is closed.
func (m *Memory) ForgetUntil(done <-chan struct{}) {
	tick := time.NewTicker(max(m.forgetAfter/sweepsPerPeriod, time.Second))
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

// sweepsPerPeriod is how often ForgetUntil checks within forgetAfter.
const sweepsPerPeriod = 10

// Close forgets everything and frees the page.
func (m *Memory) Close() error {
	m.Lock()
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.page.free()
}

// sweep forgets what was not used for a while. It must be called with m.mu locked.
func (m *Memory) sweep() {
	now, before := m.elapsed(), len(m.items)
	for name, cached := range m.items {
		if now-cached.used > m.forgetAfter {
			delete(m.items, name)
		}
	}
	if before > 0 && len(m.items) == 0 {
		m.renew()
	}
}
