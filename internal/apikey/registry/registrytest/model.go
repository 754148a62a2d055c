package registrytest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keys"
)

// testModel tries random operations, with destinations that fail and processes that are
// killed at any of their effects. After each few, one resumption must leave exactly one
// active key per destination, nothing half-delivered, and no leaked key valid.
func testModel(t *testing.T, f *fixture) {
	steps, seed := f.driver.ModelSteps, uint64(time.Now().UnixNano())
	if text := os.Getenv("FOB_MODEL_STEPS"); text != "" {
		steps, _ = strconv.Atoi(text)
	}
	if text := os.Getenv("FOB_MODEL_SEED"); text != "" {
		seed, _ = strconv.ParseUint(text, 10, 64)
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	for steps > 0 && !t.Failed() {
		w := newWorld(t, f, rng)
		for w.steps < min(150, steps) && !t.Failed() { // then a registry without a past is faster
			w.round(t)
		}
		f.audited(t)
		if t.Failed() {
			t.Logf("FOB_MODEL_SEED=%d, the last of %d steps:", seed, w.steps)
			for _, line := range w.trace {
				t.Log(line)
			}
		}
		steps -= w.steps
		f = newFixture(t, f.driver)
	}
}

func newWorld(t *testing.T, f *fixture, rng *rand.Rand) *world {
	w := &world{f: f, rng: rng, locks: t.TempDir(), leaked: map[string]bool{}, ended: map[string]bool{}, want: map[string][]string{}}
	for i := range 6 {
		w.places = append(w.places, &place{w: w, name: fmt.Sprintf("place:%d", i)})
	}
	return w
}

// world is the registry and a model of what is around it.
type world struct {
	f      *fixture
	rng    *rand.Rand
	locks  string
	mu     sync.Mutex // guards what follows
	places []*place
	leaked map[string]bool
	ended  map[string]bool     // by a user
	want   map[string][]string // the destinations of a chain
	seen   *snapshot
	steps  int
	trace  []string // since the registry was made
}

// place is a destination of the model.
type place struct {
	w       *world
	name    string
	content string // a key's id
	breaks  string // how deliveries fail: "", "refused", "lost before", "lost after"
}

// process is a fob that may be killed: nothing that it does afterwards has an effect.
type process struct {
	*keys.Registrar
	apikey.Registry
	w      *world
	left   int // effects until it is killed; negative: never
	killed bool
	freeze func() // once, before the registry is asked who owns a rotation
}

var errKilled = errors.New("killed")

// newProcess returns a process here, or on another machine, whose death cannot be proved.
func (w *world) newProcess(here bool, left int) *process {
	p := &process{Registry: w.f.Registry, w: w, left: left}
	g := *w.f.Registrar
	g.Registry, g.LockDir = p, ""
	g.Wait = func(context.Context) error { w.f.pass(time.Second); return p.err() }
	if here {
		g.LockDir = w.locks
	}
	p.Registrar = &g
	return p
}

func (p *process) Close() error { return nil }

func (p *process) err() error {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	if p.killed {
		return errKilled
	}
	return nil
}

// effect counts a moment at which the process may be killed.
func (p *process) effect() error {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	if p.left == 0 {
		p.killed, p.LockDir = true, "" // the system unlocks the file, and deletes nothing
	}
	p.left--
	if p.killed {
		return errKilled
	}
	return nil
}

// Change implements apikey.Registry.
func (p *process) Change(ctx context.Context, do func(apikey.Tx) error) error {
	if err := p.effect(); err != nil {
		return err
	}
	if err := p.Registry.Change(ctx, do); err != nil {
		return err
	}
	return p.effect()
}

// Rotations implements apikey.Registry.
func (p *process) Rotations(ctx context.Context, old string) ([]apikey.Rotation, error) {
	if freeze := p.freeze; freeze != nil {
		p.freeze = nil
		freeze()
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	return p.Registry.Rotations(ctx, old)
}

// Keys implements apikey.Registry.
func (p *process) Keys(ctx context.Context, filter apikey.Filter) iter.Seq2[apikey.Record, error] {
	if err := p.err(); err != nil {
		return func(yield func(apikey.Record, error) bool) { yield(apikey.Record{}, err) }
	}
	return p.Registry.Keys(ctx, filter)
}

// delivery is a place as a process reaches it.
type delivery struct {
	*place
	p *process
}

func (d delivery) Name() string { return d.name }

func (d delivery) Deliver(_ context.Context, _ apikey.Minted, r apikey.Record) error {
	if err := d.p.effect(); err != nil {
		return err
	}
	d.w.mu.Lock()
	breaks := d.breaks
	if breaks == "" || breaks == "lost after" {
		d.content = r.ID
	}
	d.w.mu.Unlock()
	switch breaks {
	case "refused":
		return errors.New("refused")
	case "lost before", "lost after":
		return keys.ErrMayHaveArrived
	}
	return d.p.effect()
}

func (w *world) place(name string) *place {
	return w.places[slices.IndexFunc(w.places, func(at *place) bool { return at.name == name })]
}

func (w *world) deliveries(p *process, names []string) (to []keys.Destination) {
	for _, at := range w.places {
		if slices.Contains(names, at.name) {
			to = append(to, delivery{at, p})
		}
	}
	return to
}

// note remembers an operation, which may have changed the registry.
func (w *world) note(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf(format, args...))
	w.seen = nil
}

// snapshot is what the registry has between two operations.
type snapshot struct {
	records []apikey.Record
	open    []keys.Unfinished
}

// look reads the registry, once after each operation.
func (w *world) look(t *testing.T) *snapshot {
	t.Helper()
	if w.seen == nil {
		records, err := w.f.Select(t.Context(), apikey.Filter{})
		open, openErr := w.f.Unfinished(t.Context())
		if err := errors.Join(err, openErr); err != nil {
			t.Fatal(err)
		}
		w.seen = &snapshot{records, open}
	}
	return w.seen
}

// first returns the first key of a chain.
func (w *world) first(t *testing.T, r apikey.Record) string {
	t.Helper()
	for r.Predecessor != "" {
		at := slices.IndexFunc(w.look(t).records, func(before apikey.Record) bool { return before.ID == r.Predecessor })
		r = w.look(t).records[at]
	}
	return r.ID
}

// chains returns the keys by the first of their chain.
func (w *world) chains(t *testing.T) map[string][]apikey.Record {
	t.Helper()
	all := make(map[string][]apikey.Record)
	for _, r := range w.look(t).records {
		first := w.first(t, r)
		all[first] = append(all[first], r)
	}
	return all
}

// destinations are those that fob delivers a key to: of its unfinished replacement if it has
// one.
func (w *world) destinations(t *testing.T, id string) []string {
	t.Helper()
	for _, u := range w.look(t).open {
		if u.Is(id) {
			return u.New.Destinations
		}
	}
	return w.f.record(t, id).Destinations
}

func isLive(r *apikey.Record, now time.Time) bool {
	state := r.State(now)
	return state == apikey.Active || state == apikey.Disabled && r.RetiresAt.IsZero()
}

// alive returns the chains that have a live key, or an unfinished rotation.
func (w *world) alive(t *testing.T) map[string]bool {
	t.Helper()
	alive := make(map[string]bool)
	open := w.look(t).open
	for first, chain := range w.chains(t) {
		for _, r := range chain {
			isOpen := func(u keys.Unfinished) bool { return u.Is(r.ID) }
			alive[first] = alive[first] || isLive(&r, w.f.now()) || slices.ContainsFunc(open, isOpen)
		}
	}
	return alive
}

// round tries some operations, resumes, and checks what is left.
func (w *world) round(t *testing.T) {
	w.note("--")
	here := w.rng.IntN(3) > 0 // all processes of the round: only then can their death be proved
	for range 1 + w.rng.IntN(6) {
		for _, at := range w.places {
			at.breaks = ""
			if w.rng.IntN(3) == 0 {
				at.breaks = []string{"refused", "lost before", "lost after"}[w.rng.IntN(3)]
			}
		}
		if w.rng.IntN(5) == 0 {
			for _, at := range w.places {
				at.breaks = "refused"
			}
		}
		left := -1
		if w.rng.IntN(2) == 0 {
			left = w.rng.IntN(10)
		}
		before := w.alive(t)
		revokes := w.operate(t, w.newProcess(here, left))
		w.steps++
		for chain, alive := range w.alive(t) {
			if before[chain] && !alive && !revokes {
				t.Errorf("the chain of %s is lost", chain)
			}
		}
		w.checkInUse(t)
	}
	for _, at := range w.places {
		at.breaks = ""
	}
	alive := w.alive(t)
	if !here {
		w.f.pass(61 * time.Second)
		w.seen = nil
	}
	w.resume(t, w.newProcess(here, -1))
	w.check(t, alive)
}

// operate does one thing, and reports whether that may leave a chain without a key.
func (w *world) operate(t *testing.T, p *process) (revokes bool) {
	records := w.look(t).records
	var recent []apikey.Record
	for _, r := range records { // the others are revoked for good
		if isLive(&r, w.f.now()) || r.State(w.f.now()) == apikey.Retiring || w.isUnfinished(t, r.ID) || w.rng.IntN(10) == 0 {
			recent = append(recent, r)
		}
	}
	if len(recent) == 0 || w.rng.IntN(12) == 0 && len(recent) < 12 {
		w.create(t, p)
		return false
	}
	r := recent[w.rng.IntN(len(recent))]
	switch op := w.rng.IntN(20); {
	case op < 7:
		_ = w.rotate(t, p, r.ID, keys.RotateOptions{Overlap: time.Duration(w.rng.IntN(2)) * time.Hour, Force: w.rng.IntN(4) == 0})
	case op < 13:
		w.incident(t, p, r.ID)
		return r.State(w.f.now()) != apikey.Active
	case op < 15:
		_, err := p.Revoke(t.Context(), []string{r.ID}, "")
		w.ended[r.ID] = true
		w.note("revoke %s: %v", r.ID, err)
		return true
	case op < 18:
		w.update(t, p, r)
	case op < 19:
		pass := time.Duration(w.rng.IntN(7200)) * time.Second
		w.f.pass(pass)
		w.note("%s pass", pass)
	default:
		err := w.f.Registry.Use(t.Context(), []apikey.Use{{ID: r.ID, Count: 1, Last: w.f.now().Add(time.Second)}})
		w.note("%s is used: %v", r.ID, err)
	}
	return false
}

func (w *world) isUnfinished(t *testing.T, id string) bool {
	return slices.ContainsFunc(w.look(t).open, func(u keys.Unfinished) bool { return u.Is(id) })
}

// free returns some places that no key claims.
func (w *world) free(t *testing.T) (names []string) {
	claimed := make(map[string]bool)
	for _, r := range w.look(t).records {
		if r.State(w.f.now()) != apikey.Revoked || w.isUnfinished(t, r.ID) {
			for _, name := range r.Destinations {
				claimed[name] = true
			}
		}
	}
	for _, at := range w.places {
		if !claimed[at.name] && w.rng.IntN(2) == 0 {
			names = append(names, at.name)
		}
	}
	return names
}

func (w *world) create(t *testing.T, p *process) {
	like := draft
	like.Destinations = w.free(t)
	if len(like.Destinations) == 0 {
		_, _, err := p.Create(t.Context(), like, 1)
		w.note("create: %v", err)
		return
	}
	done, err := p.CreateAndDeliver(t.Context(), like, keys.RotateOptions{To: w.deliveries(p, like.Destinations)})
	w.want[done.New.ID] = like.Destinations
	w.note("create %s for %s: %v", done.New.ID, like.Destinations, err)
}

func (w *world) rotate(t *testing.T, p *process, id string, opts keys.RotateOptions) error {
	opts.To = w.deliveries(p, w.destinations(t, id))
	if len(opts.To) == 1 && w.rng.IntN(4) == 0 { // it sleeps, and another fob takes over
		other := w.newProcess(false, -1)
		p.freeze = func() {
			w.seen = nil
			done, err := other.Rotate(context.Background(), id, keys.RotateOptions{Overlap: time.Hour, Force: true, To: w.deliveries(other, w.destinations(t, id))})
			w.note("  meanwhile rotate %s to %s: %v", id, done.New.ID, err)
		}
	}
	done, err := p.Rotate(context.Background(), id, opts)
	w.note("rotate %s to %s, compromised %t, overlap %s, force %t, here %t, killed %t: %v", id, done.New.ID, opts.Compromised, opts.Overlap, opts.Force, p.LockDir != "", p.killed, err)
	return err
}

// incident does what 'fob incident' does. What it reports as done is done.
func (w *world) incident(t *testing.T, p *process, id string) {
	switch err := w.rotate(t, p, id, keys.RotateOptions{Compromised: true}); {
	case p.killed, err != nil && !errors.Is(err, keys.ErrNotRotatable):
	case w.isUnfinished(t, id):
		t.Errorf("the rotation of %s is unfinished after an incident that ended with %v", id, err)
	}
	if r := w.f.record(t, id); r.State(w.f.now()) != apikey.Revoked && !p.killed {
		_, err := p.Revoke(t.Context(), []string{id}, "")
		w.note("incident revokes %s: %v", id, err)
	}
	r := w.f.record(t, id)
	w.leaked[id] = w.leaked[id] || !p.killed || !r.RevokedAt.IsZero() || !r.RetiresAt.IsZero() && r.RetiresAt.Before(w.f.now().Add(31*time.Second))
}

// update changes the note, or adds or removes a destination.
func (w *world) update(t *testing.T, p *process, r apikey.Record) {
	added := w.free(t)
	canAdd := w.isUnfinished(t, r.ID) // otherwise 'fob key push' delivers
	names := w.destinations(t, r.ID)
	chain, disabled := w.first(t, r), w.rng.IntN(8) == 0
	var last []string
	changed := 0
	_, err := p.Update(t.Context(), r.ID, func(r *apikey.Record) {
		switch {
		case canAdd && len(added) > 0:
			w.place(added[0]).content = "" // a key that it had before it was removed
			r.Destinations = append(slices.Clone(names), added[0])
		case len(names) > 1:
			r.Destinations = slices.Clone(names[1:])
		}
		last, changed = slices.Clone(r.Destinations), changed+1
		r.Disabled, r.Note = disabled, fmt.Sprint(w.steps)
	})
	if changed > 1 || changed == 1 && (canAdd || isLive(&r, w.f.now())) {
		w.want[chain] = last
	}
	w.note("update %s (has %s, may get %s): %v", r.ID, names, added, err)
}

func (w *world) resume(t *testing.T, p *process) {
	for _, u := range w.look(t).open {
		done, err := p.Rotate(t.Context(), u.Old.ID, keys.RotateOptions{Overlap: time.Hour, To: w.deliveries(p, u.New.Destinations)})
		w.note("resume %s (%s, %s) to %s: %v", u.Old.ID, u.Rotation.Phase, u.New.ID, done.New.ID, err)
		if err != nil {
			t.Errorf("resume %s: %v", u.Old.ID, err)
		}
	}
}

// checkInUse: unless a key was revoked on request, each place has a valid one.
func (w *world) checkInUse(t *testing.T) {
	t.Helper()
	byID := make(map[string]apikey.Record)
	records := w.look(t).records
	for _, r := range records {
		byID[r.ID] = r
	}
	for first, chain := range w.chains(t) {
		if slices.ContainsFunc(chain, func(r apikey.Record) bool { return w.leaked[r.ID] || w.ended[r.ID] }) {
			continue
		}
		for _, at := range w.places {
			r, known := byID[at.content]
			isClaimed := func(r apikey.Record) bool { return isLive(&r, w.f.now()) && slices.Contains(r.Destinations, at.name) }
			if known && slices.ContainsFunc(chain, func(c apikey.Record) bool { return c.ID == r.ID }) && slices.ContainsFunc(chain, isClaimed) && r.State(w.f.now()) == apikey.Revoked {
				t.Errorf("chain of %s: %s has the revoked key %s", first, at.name, r.ID)
				w.describe(t, chain)
			}
		}
	}
}

// check checks what a resumption leaves.
func (w *world) check(t *testing.T, alive map[string]bool) {
	t.Helper()
	if open := w.look(t).open; len(open) > 0 {
		t.Errorf("%d rotations are unfinished", len(open))
	}
	owner := make(map[string]string)
	for first, chain := range w.chains(t) {
		live := 0
		claims := make(map[string]string)
		for _, r := range chain {
			switch state := r.State(w.f.now()); {
			case w.leaked[r.ID] && state != apikey.Revoked:
				t.Errorf("the leaked key %s is %s", r.ID, state)
			case !isLive(&r, w.f.now()):
				continue
			}
			live++
			for _, name := range r.Destinations {
				if other := owner[name]; other != "" {
					t.Errorf("%s and %s claim %s", r.ID, other, name)
				}
				owner[name] = r.ID
				claims[name] = name
				if content := w.place(name).content; content != r.ID {
					t.Errorf("%s has %s, not %s", name, content, r.ID)
				}
			}
		}
		if want := slices.Sorted(slices.Values(w.want[first])); live == 1 && !slices.Equal(want, slices.Sorted(maps.Values(claims))) {
			t.Errorf("the chain of %s goes to %s, not %s", first, claims, want)
			w.describe(t, chain)
		}
		if want := map[bool]int{true: 1}[alive[first]]; live != want {
			t.Errorf("the chain of %s has %d live keys, not %d", first, live, want)
			w.describe(t, chain)
		}
	}
}

func (w *world) describe(t *testing.T, chain []apikey.Record) {
	for _, r := range chain {
		rotations, err := w.f.Registry.Rotations(t.Context(), r.ID)
		t.Log(r.ID, "from", r.Predecessor, r.State(w.f.now()), r.Destinations, err)
		for _, rotation := range rotations {
			t.Logf("  to %s: %s, compromised %t, %v", rotation.New, rotation.Phase, rotation.Compromised, rotation.Deliveries)
		}
	}
}
