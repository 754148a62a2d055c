package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fobcli/fob/internal/apikey"
)

// cache holds the records of recently checked keys, and drops each record when the
// registry's change log names it.
type cache struct {
	Options
	metrics *metrics
	uses    *uses

	slots chan struct{} // bounds concurrent lookups

	started       time.Time
	lastPoll      atomic.Int64           // start of the last successful poll, relative to started; -1 before the first
	position      int64                  // position in the registry's change log
	pepper        atomic.Pointer[string] // id of the pepper for new digests
	unknown       atomic.Pointer[entry]  // returned for unknown ids; hashed with the current pepper
	pepperStale   atomic.Bool            // whether the current pepper may have changed
	pepperLoading atomic.Bool            // whether the current pepper is being queried
	damaged       atomic.Pointer[string] // id whose lookup found damage; nil after one that did not

	mu      sync.RWMutex
	epoch   int64 // incremented whenever entries are dropped
	entries map[keyID]*entry
	limits  map[keyID]*limit    // survive dropped entries, so that a key's budget is not refilled
	texts   map[string][]string // header values, shared by keys
}

// keyID is an id stored inline in the map: following a pointer costs each check a cache
// miss, about 0.1 µs.
type keyID [apikey.IDLength]byte

func idOf(text string) (id keyID) {
	copy(id[:], text)
	return id
}

// entry is a cached key with the response headers of a check. The fields that every check
// reads come first, to share cache lines.
type entry struct {
	id     [1]string
	pepper *apikey.Pepper
	limit  *limit // nil: unlimited
	owner  []string
	env    []string
	scopes []string
	meta   []string

	count atomic.Int64 // uses not yet reported to the registry
	last  atomic.Int64 // last use, milliseconds since 1970

	record   apikey.Record // without what checks do not need
	metadata string        // JSON, which meta shares if it is ASCII; "" is none
}

// use counts a use, to be reported later or when the entry is dropped.
func (e *entry) use(now time.Time) {
	e.count.Add(1)
	e.last.Store(apikey.Milliseconds(now))
}

func (e *entry) takeUse() apikey.Use {
	return apikey.Use{ID: e.record.ID, Count: e.count.Swap(0), Last: apikey.FromMilliseconds(e.last.Load())}
}

func newCache(o Options, m *metrics, u *uses) *cache {
	c := &cache{
		Options: o, metrics: m, uses: u, slots: make(chan struct{}, maxLookups), started: time.Now(),
		position: math.MaxInt64, // nothing is cached yet, so only the end of the log matters
		entries:  make(map[keyID]*entry), limits: make(map[keyID]*limit), texts: make(map[string][]string),
	}
	c.lastPoll.Store(-1)
	c.unknown.Store(&entry{})
	return c
}

// fresh reports whether a poll succeeded within MaxStale. It uses the monotonic clock:
// setting the system clock must not make the cache older or younger.
func (c *cache) fresh() bool {
	last := c.lastPoll.Load()
	return last >= 0 && time.Since(c.started)-time.Duration(last) <= c.MaxStale
}

// readiness looks up again the key whose lookup found damage, because a server that is not
// ready may get no other requests.
func (c *cache) readiness(ctx context.Context) (status int, text string) {
	if id := c.damaged.Load(); id != nil {
		if lookup, done, err := c.acquireLookup(ctx); err == nil {
			_, _ = c.read(lookup, *id)
			done()
		}
	}
	switch {
	case !c.fresh():
		return http.StatusServiceUnavailable, "the registry has not responded for too long"
	case c.damaged.Load() != nil:
		return http.StatusServiceUnavailable, "the registry is damaged: the log has the details"
	}
	return http.StatusOK, "ok"
}

func (c *cache) read(ctx context.Context, id string) (apikey.Record, error) {
	r, err := c.Keys.Key(ctx, id)
	if errors.Is(err, apikey.ErrDamaged) {
		c.damaged.Store(&id)
	} else if err == nil || errors.Is(err, apikey.ErrNotFound) {
		c.damaged.Store(nil)
	}
	return r, err
}

func (c *cache) cached(id string) *entry {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if e := c.entries[idOf(id)]; e != nil {
		return e
	}
	return c.unknown.Load()
}

// maxLookups bounds concurrent key lookups, so that requests with unknown keys cannot use
// up the registry connections that polling needs.
const maxLookups = 4

// acquireLookup waits for a lookup slot and returns a context for one lookup. A client that
// disconnects does not cancel the lookup, since that would close the registry connection.
func (c *cache) acquireLookup(ctx context.Context) (lookup context.Context, done func(), err error) {
	waiting, cancel := context.WithTimeout(ctx, c.callTimeout()/2) // half, so that wait and lookup fit into writeTimeout
	defer cancel()
	select {
	case c.slots <- struct{}{}:
	case <-waiting.Done():
		return nil, nil, errTooMany
	}
	lookup, cancelLookup := context.WithTimeout(context.WithoutCancel(ctx), c.callTimeout())
	return lookup, func() { cancelLookup(); <-c.slots }, nil
}

var errTooMany = errors.New("too many keys are being looked up")

// load looks up a key in the registry and caches it. Unknown ids are not cached: an
// attacker could send any number of them.
func (c *cache) load(ctx context.Context, id string) (*entry, error) {
	ctx, done, err := c.acquireLookup(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	c.mu.RLock()
	epoch := c.epoch
	c.mu.RUnlock()
	c.metrics.lookups.Add(1)
	r, err := c.read(ctx, id)
	if errors.Is(err, apikey.ErrNotFound) || err == nil && r.Pepper == "" && c.RequirePepper {
		return c.unknown.Load(), nil
	}
	if err != nil {
		return nil, err
	}
	e, err := c.newEntry(ctx, r)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.epoch != epoch { // the key may have changed since it was read
		return e, nil
	}
	if existing := c.entries[idOf(id)]; existing != nil {
		return existing, nil
	}
	for other := range c.entries {
		if len(c.entries) < c.CacheSize {
			break
		}
		if state := r.State(c.Now()); state == apikey.Revoked || state == apikey.Expired {
			return e, nil // no valid key is dropped for it
		}
		c.drop(other)
	}
	c.entries[idOf(id)] = e
	return e, nil
}

func (c *cache) newEntry(ctx context.Context, r apikey.Record) (*entry, error) {
	e := &entry{record: r, id: [1]string{r.ID}, owner: c.sharedText(headerText(r.Owner)), env: c.sharedText(r.Environment), scopes: c.sharedText(strings.Join(r.Scopes, " "))}
	// Drop what checks do not need, and share equal strings between keys.
	e.record.Note, e.record.Predecessor, e.record.Destinations, e.record.Metadata = "", "", nil, nil
	e.record.Owner, e.record.Environment = c.sharedText(r.Owner)[0], e.env[0]
	e.record.Scopes = c.sharedFields(e.scopes[0])
	e.meta = noMetadata
	if len(r.Metadata) > 0 {
		meta, err := json.Marshal(r.Metadata)
		if err != nil {
			return nil, err
		}
		e.metadata = string(meta)
		if e.meta = []string{headerText(e.metadata)}; len(e.meta[0]) > maxMetadataHeader {
			c.Log.Warn("a key's metadata is too long for X-Fob-Metadata: use /introspect", "key_id", r.ID)
			e.meta = []string{""}
		}
	}
	if r.Rate != "" {
		rates, err := apikey.ParseRates(r.Rate)
		if err != nil {
			return nil, err
		}
		e.limit = c.limitOf(idOf(r.ID), r.Rate, rates)
	}
	if r.Pepper != "" {
		p, err := c.Peppers(ctx, r.Pepper)
		if err != nil {
			return nil, err
		}
		e.pepper = &p
	}
	return e, nil
}

// limitOf returns a key's limit. It is only replaced when a rate changes: editing or
// evicting the key must not refill it.
func (c *cache) limitOf(id keyID, text string, rates []apikey.Rate) *limit {
	c.mu.Lock()
	defer c.mu.Unlock()
	if existing := c.limits[id]; existing != nil && existing.rates == text {
		return existing
	}
	makeRoom(c.limits, c.CacheSize)
	c.limits[id] = newLimit(text, rates)
	return c.limits[id]
}

// maxMetadataHeader is the length, in bytes, of a header that all proxies accept besides the
// others: nginx reads at most 4 KiB by default.
const maxMetadataHeader = 2 << 10

// noMetadata is sent too, to replace what the client may have sent.
var noMetadata = []string{"{}"}

// maxTexts bounds the shared texts.
const maxTexts = 100_000

// sharedText returns a list with one text, the same list for equal texts.
func (c *cache) sharedText(text string) []string {
	return c.sharedList(text, func() []string { return []string{strings.Clone(text)} })
}

func (c *cache) sharedFields(text string) []string {
	return c.sharedList("\x00"+text, func() []string { return strings.Fields(text) })
}

func (c *cache) sharedList(name string, list func() []string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if existing, ok := c.texts[name]; ok {
		return existing
	}
	if len(c.texts) >= maxTexts {
		clear(c.texts)
	}
	created := list()
	c.texts[name] = created
	return created
}

// headerText percent-encodes a text unless it is visible ASCII without %.
func headerText(text string) string {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '%' {
			return url.PathEscape(text)
		}
	}
	return text
}

// Bounds of the interval between two polls.
const (
	maxPoll = 200 * time.Millisecond
	minPoll = 10 * time.Millisecond
	// maxChanges is the number of changes read per poll.
	maxChanges = 1000
)

// callTimeout is the timeout of one registry call.
func (c *cache) callTimeout() time.Duration { return min(max(c.MaxStale, time.Second), 5*time.Second) }

// follow polls the registry for changes until ctx ends.
func (c *cache) follow(ctx context.Context, log *slog.Logger) {
	tick := time.NewTicker(min(max(c.MaxStale/5, minPoll), maxPoll))
	defer tick.Stop()
	responds := true
	for ctx.Err() == nil {
		err := c.poll(ctx)
		if c.Polled != nil {
			c.Polled(err == nil)
		}
		if (err == nil) != responds && ctx.Err() == nil {
			if responds = err == nil; responds {
				log.Info("the registry responds again")
			} else {
				log.Error("the registry does not respond", "error", err.Error())
			}
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// poll reads the change log to its end. The cache is as fresh as the start of the poll,
// not its end.
func (c *cache) poll(ctx context.Context) error {
	for {
		start := time.Since(c.started)
		ids, last, err := c.changed(ctx)
		if err != nil {
			return err
		}
		changes := last - c.position
		if changes < 0 || slices.Contains(ids, apikey.AllKeys) { // changes < 0: at the start, or when the registry was replaced
			c.forget(nil)
		} else if len(ids) > 0 {
			c.forget(ids)
		}
		if changes != 0 {
			c.pepperStale.Store(true)
		}
		c.position = last
		if changes < maxChanges { // fewer than one batch: the log's end is reached
			c.lastPoll.Store(int64(start))
			c.refreshPepper(ctx)
			return nil
		}
	}
}

func (c *cache) changed(ctx context.Context) (ids []string, last int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.callTimeout())
	defer cancel()
	return c.Keys.Changed(ctx, c.position, maxChanges)
}

// refreshPepper refreshes the current pepper after a change, in the background: the pepper's
// storage may be slow, and polling must go on.
func (c *cache) refreshPepper(ctx context.Context) {
	if !c.pepperStale.Load() || !c.pepperLoading.CompareAndSwap(false, true) {
		return
	}
	go func() {
		defer c.pepperLoading.Store(false)
		c.pepperStale.Store(false)
		asked, cancel := context.WithTimeout(ctx, c.callTimeout())
		defer cancel()
		id, err := c.Keys.Pepper(asked)
		if err != nil {
			c.pepperStale.Store(true)
			return
		}
		c.pepper.Store(&id)
		c.updateUnknown(ctx, id)
	}()
}

// updateUnknown makes checks of unknown ids take as long as those of known ones, by hashing
// with the same pepper. If the pepper is unreadable, the next change retries.
func (c *cache) updateUnknown(ctx context.Context, id string) {
	had := ""
	if p := c.unknown.Load().pepper; p != nil {
		had = p.ID
	}
	if id == had {
		return
	}
	next := &entry{}
	if id != "" {
		p, err := c.Peppers(ctx, id)
		if err != nil {
			return
		}
		next.pepper = &p
	}
	c.unknown.Store(next)
}

// forget drops the given keys; nil drops all.
func (c *cache) forget(ids []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	if ids == nil {
		for id := range c.entries {
			c.drop(id)
		}
		clear(c.texts)
	}
	for _, id := range ids {
		c.drop(idOf(id))
	}
}

// drop removes a key, but still reports its uses.
func (c *cache) drop(id keyID) {
	if e := c.entries[id]; e != nil {
		c.uses.add(e.takeUse())
		delete(c.entries, id)
	}
}

func (c *cache) collectUses() {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, e := range c.entries {
		if e.count.Load() > 0 {
			c.uses.add(e.takeUse())
		}
	}
}

func (c *cache) len() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.entries)
}

// Peppers remembers peppers, whose storage may be slow.
type Peppers struct {
	Find func(ctx context.Context, id string) (apikey.Pepper, error)

	mu    sync.Mutex
	known map[string]apikey.Pepper
}

// Get returns a pepper.
func (p *Peppers) Get(ctx context.Context, id string) (apikey.Pepper, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if pepper, ok := p.known[id]; ok {
		return pepper, nil
	}
	pepper, err := p.Find(ctx, id)
	if err == nil {
		if p.known == nil {
			p.known = make(map[string]apikey.Pepper)
		}
		p.known[id] = pepper
	}
	return pepper, err
}

// Reload reads the remembered peppers again, and reports whether one was changed or removed.
// After an error, all are as before.
func (p *Peppers) Reload(ctx context.Context) (changed bool, err error) {
	p.mu.Lock()
	before := maps.Clone(p.known)
	p.mu.Unlock()
	after := make(map[string]apikey.Pepper)
	for id, pepper := range before {
		found, err := p.Find(ctx, id)
		if err != nil && !errors.Is(err, apikey.ErrUnknownPepper) {
			return false, err
		}
		changed = changed || !bytes.Equal(found.Secret, pepper.Secret)
		if err == nil {
			after[id] = found
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known = after
	return changed, nil
}
