package serve

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fobcli/fob/internal/apikey"
)

// cache holds the records of keys that were asked for, and forgets each when the
// registry's log says that it was changed.
type cache struct {
	Options
	metrics *metrics
	uses    *uses

	slots chan struct{} // of lookups

	started time.Time
	heard   atomic.Int64           // when the registry was asked last with success, since started
	seen    int64                  // the last change that was taken in
	pepper  atomic.Pointer[string] // the id of that which new digests are made with
	unknown atomic.Pointer[entry]  // stands for an unknown id, and has that pepper
	unsure  atomic.Bool            // whether it is still that pepper
	asking  atomic.Bool            // for it

	mu      sync.RWMutex
	epoch   int64 // how many rounds of changes were taken in
	entries map[keyID]*entry
	limits  map[keyID]*bucket   // of keys that have one: what was used counts, whatever is forgotten
	texts   map[string][]string // header values, one for all keys that share it
}

// keyID is an id that lies in the table itself: what a check looks at is seldom in the
// processor's caches, and each place in memory costs it a tenth of a microsecond.
type keyID [apikey.IDLength]byte

func idOf(text string) (id keyID) {
	copy(id[:], text)
	return id
}

// entry is a key in memory, with the headers that its answer has: what every check needs
// stands together.
type entry struct {
	id     [1]string
	pepper *apikey.Pepper
	limit  *bucket // nil: none
	owner  []string
	env    []string
	scopes []string

	count atomic.Int64 // of uses that were not written down yet
	last  atomic.Int64 // milliseconds since 1970

	record apikey.Record
}

// use counts a use: it is written down later, or when the entry is dropped.
func (e *entry) use(now time.Time) {
	e.count.Add(1)
	e.last.Store(apikey.Milliseconds(now))
}

func (e *entry) used() apikey.Use {
	return apikey.Use{ID: e.record.ID, Count: e.count.Swap(0), Last: apikey.FromMilliseconds(e.last.Load())}
}

func newCache(o Options, m *metrics, u *uses) *cache {
	c := &cache{
		Options: o, metrics: m, uses: u, slots: make(chan struct{}, maxLookups), started: time.Now(),
		seen:    math.MaxInt64, // no key is in memory yet: of the log only the end matters, however long it is
		entries: make(map[keyID]*entry), limits: make(map[keyID]*bucket), texts: make(map[string][]string),
	}
	c.heard.Store(-1)
	c.unknown.Store(&entry{})
	return c
}

// fresh reports whether the registry was heard of lately. It goes by the monotonic
// clock: a clock that is set makes nothing older or younger.
func (c *cache) fresh() bool {
	heard := c.heard.Load()
	return heard >= 0 && time.Since(c.started)-time.Duration(heard) <= c.MaxStale
}

func (c *cache) cached(id string) *entry {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if e := c.entries[idOf(id)]; e != nil {
		return e
	}
	return c.unknown.Load()
}

// maxLookups is how many keys are looked up at once: whatever strangers ask for, there
// are connections to the registry left to hear of changes by.
const maxLookups = 4

// turn waits for a slot, and gives the time for one lookup. Who goes away does not cut it
// off then: that would cost the registry's connection.
func (c *cache) turn(ctx context.Context) (lookup context.Context, done func(), err error) {
	waiting, cancel := context.WithTimeout(ctx, c.patience()/2) // and all ends before writeTimeout
	defer cancel()
	select {
	case c.slots <- struct{}{}:
	case <-waiting.Done():
		return nil, nil, errTooMany
	}
	lookup, cancelLookup := context.WithTimeout(context.WithoutCancel(ctx), c.patience())
	return lookup, func() { cancelLookup(); <-c.slots }, nil
}

var errTooMany = errors.New("too many keys are being looked up")

// load asks the registry for a key and keeps it. An unknown one is nobody, and is not
// kept: there are more of those than any memory holds.
func (c *cache) load(ctx context.Context, id string) (*entry, error) {
	ctx, done, err := c.turn(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	c.mu.RLock()
	epoch := c.epoch
	c.mu.RUnlock()
	c.metrics.lookups.Add(1)
	r, err := c.Keys.Key(ctx, id)
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
	if c.epoch != epoch { // a change came in meanwhile: the record may be the one before it
		return e, nil
	}
	if there := c.entries[idOf(id)]; there != nil {
		return there, nil
	}
	for other := range c.entries {
		if len(c.entries) < c.CacheSize {
			break
		}
		c.drop(other)
	}
	c.entries[idOf(id)] = e
	return e, nil
}

func (c *cache) newEntry(ctx context.Context, r apikey.Record) (*entry, error) {
	e := &entry{record: r, id: [1]string{r.ID}, owner: c.shared(headerText(r.Owner)), env: c.shared(r.Environment), scopes: c.shared(strings.Join(r.Scopes, " "))}
	// What is of no use here goes, and what many keys have alike is held once.
	e.record.Note, e.record.Metadata, e.record.Predecessor, e.record.Destinations = "", nil, "", nil
	e.record.Owner, e.record.Environment = c.shared(r.Owner)[0], e.env[0]
	e.record.Scopes = c.sharedFields(e.scopes[0])
	if r.Rate != "" {
		rate, err := apikey.ParseRate(r.Rate)
		if err != nil {
			return nil, err
		}
		e.limit = c.limitOf(idOf(r.ID), rate)
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

// limitOf is the bucket of a key, as long as its rate is the same: a change of anything
// else of the key, or another key in its place in memory, fills none.
func (c *cache) limitOf(id keyID, rate apikey.Rate) *bucket {
	want := &bucket{rate: float64(rate.Count) / rate.Per.Seconds(), most: float64(rate.Count)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if there := c.limits[id]; there != nil && there.rate == want.rate && there.most == want.most {
		return there
	}
	makeRoom(c.limits, c.CacheSize)
	c.limits[id] = want
	return want
}

// maxTexts bounds the texts that are held once.
const maxTexts = 100_000

// shared is a list of one text, the same for all who ask for that text.
func (c *cache) shared(text string) []string {
	return c.sharedBy(text, func() []string { return []string{strings.Clone(text)} })
}

func (c *cache) sharedFields(text string) []string {
	return c.sharedBy("\x00"+text, func() []string { return strings.Fields(text) })
}

func (c *cache) sharedBy(name string, list func() []string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if there, ok := c.texts[name]; ok {
		return there
	}
	if len(c.texts) >= maxTexts {
		clear(c.texts)
	}
	made := list()
	c.texts[name] = made
	return made
}

// headerText is a text as a header can carry it: what is not visible ASCII, and %,
// is percent-encoded.
func headerText(text string) string {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '%' {
			return url.PathEscape(text)
		}
	}
	return text
}

// How often the registry is asked what was changed.
const (
	maxPoll = 200 * time.Millisecond
	minPoll = 10 * time.Millisecond
	// maxChanges is how many changes are taken in at once.
	maxChanges = 1000
)

// patience is how long the registry may take to answer one question.
func (c *cache) patience() time.Duration { return min(max(c.MaxStale, time.Second), 5*time.Second) }

// follow takes in the registry's changes until ctx ends.
func (c *cache) follow(ctx context.Context, log *slog.Logger) {
	tick := time.NewTicker(min(max(c.MaxStale/5, minPoll), maxPoll))
	defer tick.Stop()
	well := true
	for ctx.Err() == nil {
		err := c.catchUp(ctx)
		if (err == nil) != well && ctx.Err() == nil {
			if well = err == nil; well {
				log.Info("the registry answers again")
			} else {
				log.Error("the registry does not answer", "error", err.Error())
			}
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// catchUp asks until there is no change left. The registry is heard of as of the
// moment of the question, not of the answer.
func (c *cache) catchUp(ctx context.Context) error {
	for {
		asked := time.Since(c.started)
		ids, last, err := c.changed(ctx)
		if err != nil {
			return err
		}
		news := last - c.seen
		if news < 0 { // the start, or another registry's log
			c.forget(nil)
		} else if len(ids) > 0 {
			c.forget(ids)
		}
		if news != 0 {
			c.unsure.Store(true)
		}
		c.seen = last
		if news < maxChanges { // that was all, and not as many as are told at once
			c.heard.Store(int64(asked))
			c.askForPepper(ctx)
			return nil
		}
	}
}

func (c *cache) changed(ctx context.Context) (ids []string, last int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.patience())
	defer cancel()
	return c.Keys.Changed(ctx, c.seen, maxChanges)
}

// askForPepper learns which pepper is used after a change, aside: where it lies may be
// slow to open, and what else is changed waits for nobody.
func (c *cache) askForPepper(ctx context.Context) {
	if !c.unsure.Load() || !c.asking.CompareAndSwap(false, true) {
		return
	}
	go func() {
		defer c.asking.Store(false)
		c.unsure.Store(false)
		asked, cancel := context.WithTimeout(ctx, c.patience())
		defer cancel()
		id, err := c.Keys.Pepper(asked)
		if err != nil {
			c.unsure.Store(true)
			return
		}
		c.pepper.Store(&id)
		c.pepperUnknown(ctx, id)
	}()
}

// pepperUnknown makes the hash of an unknown id take the time of one with today's pepper. If
// that pepper cannot be read, the next change tries again: no request fails for it.
func (c *cache) pepperUnknown(ctx context.Context, id string) {
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

// forget drops keys that were changed; nil drops all.
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

// drop forgets a key, and not how often it was used.
func (c *cache) drop(id keyID) {
	if e := c.entries[id]; e != nil {
		c.uses.add(e.used())
		delete(c.entries, id)
	}
}

func (c *cache) used() {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, e := range c.entries {
		if e.count.Load() > 0 {
			c.uses.add(e.used())
		}
	}
}

func (c *cache) len() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.entries)
}

// RememberPeppers returns find with a memory: where peppers lie is slow to open, and they
// never change.
func RememberPeppers(find func(ctx context.Context, id string) (apikey.Pepper, error)) func(context.Context, string) (apikey.Pepper, error) {
	var mu sync.Mutex
	known := make(map[string]apikey.Pepper)
	return func(ctx context.Context, id string) (apikey.Pepper, error) {
		mu.Lock()
		defer mu.Unlock()
		if pepper, is := known[id]; is {
			return pepper, nil
		}
		pepper, err := find(ctx, id)
		if err == nil {
			known[id] = pepper
		}
		return pepper, err
	}
}
