package registrytest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keys"
)

// fakeDestination stores what is delivered, or fails.
type fakeDestination struct {
	name string
	got  []string
	err  error
}

func (p *fakeDestination) Name() string { return p.name }

func (p *fakeDestination) Deliver(_ context.Context, key apikey.Minted, _ apikey.Record) error {
	if p.err == nil {
		p.got = append(p.got, key.Key.Reveal())
	}
	return p.err
}

func testRotate(t *testing.T, f *fixture) {
	like := draft
	like.ExpiresAt, like.Metadata = f.now().Add(240*time.Hour), map[string]string{"team": "blue"}
	old, id := f.key(t, like)
	f.pass(100 * time.Hour)
	to := &fakeDestination{name: "place:there"}
	rotated := f.rotate(t, id, keys.RotateOptions{Overlap: 24 * time.Hour, To: []keys.Destination{to}}, nil)
	f.refused(t, old, "", apikey.Need{})
	f.refused(t, to.got[0], "", apikey.Need{Environment: "live", Scopes: like.Scopes})
	next := f.record(t, rotated.New.ID)
	if next.Predecessor != id || next.Metadata["team"] != "blue" || !next.ExpiresAt.Equal(f.now().Add(240*time.Hour)) {
		t.Errorf("%+v", next)
	}
	if r := f.record(t, id); r.State(f.now()) != apikey.Retiring {
		t.Error(r.State(f.now()))
	}
	f.rotate(t, id, keys.RotateOptions{}, keys.ErrRotated)
	f.pass(24 * time.Hour)
	f.refused(t, old, apikey.IsRevoked, apikey.Need{})
	third := f.rotate(t, next.ID, keys.RotateOptions{To: []keys.Destination{to}}, nil)
	if third.New.Predecessor != next.ID || f.record(t, next.ID).RevokedAt.IsZero() {
		t.Error("without an overlap the old key ends at once")
	}
	if f.record(t, id).RevokedAt.IsZero() {
		t.Error("the end of the overlap was not written down")
	}
	f.audited(t)
}

func testRotateCompromised(t *testing.T, f *fixture) {
	old, id := f.key(t, draft)
	good, bad := &fakeDestination{name: "place:good"}, &fakeDestination{name: "place:bad", err: errors.New("no route")}
	f.rotate(t, id, keys.RotateOptions{Overlap: time.Hour, Compromised: true, To: []keys.Destination{bad, good}}, keys.ErrNotDelivered)
	f.refused(t, old, apikey.IsRevoked, apikey.Need{})
	f.refused(t, good.got[0], "", apikey.Need{})
	bad.err = nil
	f.rotate(t, id, keys.RotateOptions{To: []keys.Destination{bad, good}}, nil)
	f.refused(t, good.got[0], apikey.IsRevoked, apikey.Need{})
	f.refused(t, bad.got[0], "", apikey.Need{})
	f.rotate(t, id, keys.RotateOptions{Compromised: true}, keys.ErrRotated)
	f.audited(t)
}

func testDeliveryFails(t *testing.T, f *fixture) {
	old, id := f.key(t, draft)
	good, bad := &fakeDestination{name: "place:good"}, &fakeDestination{name: "place:bad", err: errors.New("no route")}
	opts := keys.RotateOptions{Overlap: time.Hour, To: []keys.Destination{bad}}

	// It arrived nowhere: nothing is left of it.
	f.rotate(t, id, opts, keys.ErrNotDelivered)
	f.refused(t, old, "", apikey.Need{})
	if live := f.ids(t, apikey.Filter{States: []apikey.State{apikey.Active}}); !slices.Equal(live, []string{id}) {
		t.Error(live)
	}

	// It arrived somewhere: there it must go on working, until the next one has arrived.
	opts.To = []keys.Destination{good, bad}
	f.rotate(t, id, opts, keys.ErrNotDelivered)
	f.refused(t, old, "", apikey.Need{})
	f.refused(t, good.got[0], "", apikey.Need{})
	bad.err = nil
	f.rotate(t, id, opts, nil)
	f.refused(t, good.got[0], apikey.IsRevoked, apikey.Need{})
	f.refused(t, good.got[1], "", apikey.Need{})
	if good.got[1] != bad.got[0] {
		t.Error("two successors")
	}
	f.audited(t)
}

// rotate rotates a key, and fails unless that ends with an error; nil is for success.
func (f *fixture) rotate(t *testing.T, id string, opts keys.RotateOptions, want error) keys.Rotated {
	t.Helper()
	rotated, err := f.Rotate(t.Context(), id, opts)
	if !errors.Is(err, want) {
		t.Fatalf("rotating gives %v, not %v", err, want)
	}
	return rotated
}

// killed is a destination in which fob dies: nothing after it happens.
type killed struct{}

func (killed) Name() string { return "killed" }

func (killed) Deliver(context.Context, apikey.Minted, apikey.Record) error { panic("killed") }

// crash starts a rotation that is killed once all of its other destinations have the key,
// and returns the replacement.
func (f *fixture) crash(t *testing.T, id string, opts keys.RotateOptions) (replacement string) {
	t.Helper()
	opts.Last = killed{}
	func() {
		defer func() { _ = recover() }()
		_, _ = f.Rotate(t.Context(), id, opts)
	}()
	rotations, err := f.Registry.Rotations(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return rotations[len(rotations)-1].New
}

func testRotationStopped(t *testing.T, f *fixture) {
	old, id := f.key(t, draft)
	first := &fakeDestination{name: "place:first"}
	f.crash(t, id, keys.RotateOptions{Overlap: time.Hour, To: []keys.Destination{first}})
	f.refused(t, old, "", apikey.Need{})
	f.refused(t, first.got[0], "", apikey.Need{})
	f.rotate(t, id, keys.RotateOptions{}, keys.ErrRotating)
	f.pass(time.Minute)
	f.rotate(t, id, keys.RotateOptions{Overlap: time.Hour, To: []keys.Destination{first}}, nil)
	f.refused(t, old, "", apikey.Need{})
	f.refused(t, first.got[0], apikey.IsRevoked, apikey.Need{})
	f.refused(t, first.got[1], "", apikey.Need{})
	f.audited(t)
}

// A compromised key ends soon, also if fob is killed, and its rotation is taken up.
func testCompromisedAndKilled(t *testing.T, f *fixture) {
	old, id := f.key(t, draft)
	first := &fakeDestination{name: "place:first"}
	f.crash(t, id, keys.RotateOptions{Compromised: true, To: []keys.Destination{first}})
	f.refused(t, old, "", apikey.Need{})
	f.pass(31 * time.Second)
	f.refused(t, old, apikey.IsRevoked, apikey.Need{})
	f.refused(t, first.got[0], "", apikey.Need{})
	if open, err := f.Registry.OpenRotations(t.Context()); err != nil || len(open) != 1 || open[0].Old != id || !open[0].Compromised {
		t.Error(open, err)
	}
	f.pass(time.Minute)
	rotated := f.rotate(t, id, keys.RotateOptions{Overlap: time.Hour, To: []keys.Destination{first}}, nil)
	if rotated.Rotation.Phase != apikey.PhaseRetired || !rotated.Rotation.Compromised {
		t.Errorf("%+v", rotated.Rotation)
	}
	f.refused(t, old, apikey.IsRevoked, apikey.Need{})
	f.refused(t, first.got[0], apikey.IsRevoked, apikey.Need{})
	f.refused(t, first.got[1], "", apikey.Need{})
	if open, err := f.Registry.OpenRotations(t.Context()); err != nil || len(open) != 0 {
		t.Error(open, err)
	}
	f.audited(t)
}

// A fob whose clock was a year ahead has left a lease behind: nobody waits that long.
func testLeaseOfAClockAhead(t *testing.T, f *fixture) {
	_, id := f.key(t, draft)
	f.pass(365 * 24 * time.Hour)
	f.crash(t, id, keys.RotateOptions{Overlap: time.Hour})
	f.pass(-365 * 24 * time.Hour)
	f.rotate(t, id, keys.RotateOptions{Overlap: time.Hour}, nil)
	f.audited(t)
}

// The death of a process on this machine is proved by its lock file: the lease ends with it.
func testLeaseOfADeadProcess(t *testing.T, f *fixture) {
	f.LockDir = t.TempDir()
	place := &fakeDestination{name: "place:there"}
	opts := keys.RotateOptions{Overlap: time.Hour, To: []keys.Destination{place}}
	_, id := f.key(t, draft)
	var meanwhile error
	f.rotate(t, id, keys.RotateOptions{Overlap: time.Hour, To: []keys.Destination{slowDestination{func() {
		_, meanwhile = f.open(t).Rotate(t.Context(), id, opts)
	}}}}, nil)
	if !errors.Is(meanwhile, keys.ErrRotating) {
		t.Errorf("while the other lives: %v", meanwhile)
	}
	if left, _ := os.ReadDir(f.LockDir); len(left) > 0 {
		t.Errorf("%d lock files are left", len(left))
	}
	_, id = f.key(t, draft)
	dead := *f.Registrar
	killed := &fixture{Registrar: &dead, driver: f.driver, dsn: f.dsn}
	killed.crash(t, id, opts) // its deferred functions delete the file
	open, err := f.Unfinished(t.Context(), id)
	if err != nil || len(open) != 1 {
		t.Fatal(open, err)
	}
	f.rotate(t, id, opts, keys.ErrRotating)
	if err := os.WriteFile(filepath.Join(f.LockDir, "rotation-"+open[0].New.ID), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f.rotate(t, id, opts, nil)
	f.audited(t)
}

// A process that only revokes the old key proves its death like one that delivers.
func testKilledWhileRevoking(t *testing.T, f *fixture) {
	w := newWorld(t, f, rand.New(rand.NewPCG(1, 1)))
	_, id := f.key(t, draft)
	if err := f.Registry.Use(t.Context(), []apikey.Use{{ID: id, Count: 1, Last: f.now().Add(time.Second)}}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.newProcess(true, -1).Rotate(t.Context(), id, keys.RotateOptions{}); !errors.Is(err, keys.ErrStillUsed) {
		t.Fatal(err)
	}
	if _, err := w.newProcess(true, 1).Rotate(t.Context(), id, keys.RotateOptions{Overlap: time.Hour}); !errors.Is(err, errKilled) {
		t.Fatal(err)
	}
	if _, err := w.newProcess(true, -1).Rotate(t.Context(), id, keys.RotateOptions{Overlap: time.Hour}); err != nil {
		t.Error(err)
	}
}

// While another fob works at it, a leaked key is waited for as long as it is valid; --force
// does not wait. The other delivers and changes nothing more.
func testLostLease(t *testing.T, f *fixture) {
	place, last := &fakeDestination{name: "place:slow"}, &fakeDestination{name: "place:last"}
	for _, force := range []bool{false, true} {
		old, id := f.key(t, draft)
		var waited time.Duration
		other := f.open(t)
		other.Wait = func(context.Context) error { waited += time.Second; f.pass(time.Second); return nil }
		var taken keys.Rotated
		var takenErr error
		lost := f.rotate(t, id, keys.RotateOptions{Compromised: true, Last: last, To: []keys.Destination{slowDestination{func() {
			taken, takenErr = other.Rotate(t.Context(), id, keys.RotateOptions{Compromised: true, Force: force, To: []keys.Destination{place}})
		}}}}, keys.ErrTakenOver)
		if takenErr != nil || len(last.got) > 0 || waited > 30*time.Second || force != (waited == 0) {
			t.Errorf("force %t: %v, waited %s, delivered %d", force, takenErr, waited, len(last.got))
		}
		f.refused(t, old, apikey.IsRevoked, apikey.Need{})
		if live := f.record(t, taken.New.ID); live.State(f.now()) != apikey.Active || f.record(t, lost.New.ID).RevokedAt.IsZero() {
			t.Error("the wrong replacement is active")
		}
	}
	f.audited(t)
}

// A delivery that a fob on this machine has begun before its rotation was taken over would
// overwrite that of the other, which waits for its end.
func testTakeOverDuringDelivery(t *testing.T, f *fixture) {
	_, id := f.key(t, draft)
	begun, release, done := make(chan struct{}), make(chan struct{}), make(chan error)
	var delivered []string // guarded by the channels
	first, second := f.open(t), f.open(t)
	first.LockDir = t.TempDir()
	second.LockDir = first.LockDir
	deliver := func(name string) keys.RotateOptions {
		to := slowDestination{func() {
			if name == "first" {
				close(begun)
				<-release
			}
			delivered = append(delivered, name)
		}}
		return keys.RotateOptions{Compromised: true, Force: true, To: []keys.Destination{to}}
	}
	go func() {
		_, err := first.Rotate(context.Background(), id, deliver("first"))
		done <- err
	}()
	<-begun
	var lost error
	second.Wait = func(context.Context) error { close(release); lost = <-done; return nil }
	if _, err := second.Rotate(t.Context(), id, deliver("second")); err != nil {
		t.Error(err)
	}
	if !errors.Is(lost, keys.ErrTakenOver) || !slices.Equal(delivered, []string{"first", "second"}) {
		t.Errorf("%v, delivered by %s", lost, delivered)
	}
	f.audited(t)
}

// Rotations of an older fob: one of the unfinished replacement of another.
func testNestedRotations(t *testing.T, f *fixture) {
	_, id := f.key(t, draft)
	place := &fakeDestination{name: "place:there"}
	first := f.crash(t, id, keys.RotateOptions{Overlap: time.Hour, To: []keys.Destination{place}})
	_, other := f.key(t, draft)
	f.pass(time.Minute)
	second := f.crash(t, other, keys.RotateOptions{Compromised: true})
	err := f.Registry.Change(t.Context(), func(tx apikey.Tx) error {
		r, err := tx.Key(second)
		r.Predecessor = first
		return errors.Join(err, tx.Put(apikey.Event{Action: apikey.ActionUpdate}, r))
	})
	if err != nil {
		t.Fatal(err)
	}
	f.forge(t, fmt.Sprintf("UPDATE rotation SET old_id = '%s' WHERE new_id = '%s'", first, second))
	f.pass(time.Minute)
	open, err := f.Unfinished(t.Context())
	if err != nil || len(open) != 1 || open[0].Old.ID != id {
		t.Fatal(len(open), err)
	}
	done := f.rotate(t, second, keys.RotateOptions{Overlap: time.Hour, To: []keys.Destination{place}}, nil)
	if done.Old.ID != id || done.New.Predecessor != id {
		t.Errorf("%s replaces %s", done.New.ID, done.Old.ID)
	}
	for _, gone := range []string{first, second} {
		if f.record(t, gone).RevokedAt.IsZero() {
			t.Errorf("%s is active", gone)
		}
	}
	f.audited(t)
}

// No time of a revoked key is in the future.
func testTimesOfARevokedKey(t *testing.T, f *fixture) {
	like := draft
	like.ExpiresAt = f.now().Add(time.Hour)
	_, id := f.key(t, like)
	f.rotate(t, id, keys.RotateOptions{Overlap: time.Hour}, nil)
	if _, err := f.Revoke(t.Context(), []string{id}, ""); err != nil {
		t.Fatal(err)
	}
	if r := f.record(t, id); r.RevokedAt.After(f.now()) || r.RetiresAt.After(f.now()) || r.Ends().After(f.now()) {
		t.Errorf("revoked %s, retires %s, ends %s", r.RevokedAt, r.RetiresAt, r.Ends())
	}
}

func testKeepUntilDelivered(t *testing.T, f *fixture) {
	old, id := f.key(t, draft)
	good, bad := &fakeDestination{name: "place:good"}, &fakeDestination{name: "place:bad", err: errors.New("no route")}
	opts := keys.RotateOptions{Compromised: true, KeepUntilDelivered: true, To: []keys.Destination{good, bad}}
	f.rotate(t, id, opts, keys.ErrNotDelivered)
	f.pass(time.Minute)
	f.refused(t, old, "", apikey.Need{})
	bad.err = nil
	f.rotate(t, id, opts, nil)
	f.refused(t, old, apikey.IsRevoked, apikey.Need{})
	f.refused(t, bad.got[0], "", apikey.Need{})
	f.audited(t)
}

// A delivery whose answer was lost may have arrived: what stands there must go on
// working until another successor is there.
func testAnswerLost(t *testing.T, f *fixture) {
	old, id := f.key(t, draft)
	lost := &losingDestination{fakeDestination{name: "place:lost"}}
	f.rotate(t, id, keys.RotateOptions{Overlap: time.Hour, To: []keys.Destination{lost}}, keys.ErrNotDelivered)
	f.refused(t, old, "", apikey.Need{})
	f.refused(t, lost.got[0], "", apikey.Need{})
	well := &fakeDestination{name: "place:lost"}
	f.rotate(t, id, keys.RotateOptions{Overlap: time.Hour, To: []keys.Destination{well}}, nil)
	f.refused(t, lost.got[0], apikey.IsRevoked, apikey.Need{})
	f.refused(t, well.got[0], "", apikey.Need{})
	f.audited(t)
}

// A process is killed once a destination has the replacement, and that is revoked by hand: the
// destination needs another one, however often its delivery fails.
func testRevokedAfterKill(t *testing.T, f *fixture) {
	_, id := f.key(t, draft)
	place := &fakeDestination{name: "place:there"}
	func() {
		defer func() { _ = recover() }()
		_, _ = f.Rotate(t.Context(), id, keys.RotateOptions{Overlap: time.Hour, Last: killedAfter{place}})
	}()
	rotations, err := f.Registry.Rotations(t.Context(), id)
	if err != nil || len(rotations) != 1 || len(place.got) != 1 {
		t.Fatal(rotations, place.got, err)
	}
	if _, err := f.Revoke(t.Context(), []string{rotations[0].New}, ""); err != nil {
		t.Fatal(err)
	}
	f.pass(time.Minute)
	place.err = errors.New("no route")
	opts := keys.RotateOptions{Overlap: time.Hour, To: []keys.Destination{place}}
	for range 2 {
		f.rotate(t, id, opts, keys.ErrNotDelivered)
		if open, err := f.Unfinished(t.Context()); err != nil || len(open) != 1 {
			t.Errorf("%d rotations are unfinished, %v", len(open), err)
		}
	}
	place.err = nil
	f.rotate(t, id, opts, nil)
	f.refused(t, place.got[1], "", apikey.Need{})
	f.audited(t)
}

// killedAfter is a destination whose process is killed once it has the key.
type killedAfter struct{ *fakeDestination }

func (k killedAfter) Deliver(ctx context.Context, key apikey.Minted, r apikey.Record) error {
	_ = k.fakeDestination.Deliver(ctx, key, r)
	panic("killed")
}

// losingDestination receives the key, and its answer is lost.
type losingDestination struct{ fakeDestination }

func (l *losingDestination) Deliver(ctx context.Context, key apikey.Minted, r apikey.Record) error {
	return errors.Join(l.fakeDestination.Deliver(ctx, key, r), keys.ErrMayHaveArrived)
}

// usingDestination sees the old key used a moment later.
type usingDestination struct {
	f  *fixture
	id string
}

func (usingDestination) Name() string { return "place:used" }

func (u usingDestination) Deliver(ctx context.Context, _ apikey.Minted, _ apikey.Record) error {
	return u.f.Registry.Use(ctx, []apikey.Use{{ID: u.id, Count: 1, Last: u.f.now().Add(time.Second)}})
}

// A key that is still used does not end at once, and its successor stays where it is.
func testStillUsed(t *testing.T, f *fixture) {
	old, id := f.key(t, draft)
	place := &fakeDestination{name: "place:there"}
	opts := keys.RotateOptions{To: []keys.Destination{place, usingDestination{f, id}}}
	rotated, err := f.Rotate(t.Context(), id, opts)
	if !errors.Is(err, keys.ErrStillUsed) || rotated.Rotation.Phase != apikey.PhaseChecked {
		t.Fatal(rotated.Rotation, err)
	}
	f.refused(t, old, "", apikey.Need{})
	f.refused(t, place.got[0], "", apikey.Need{})
	f.pass(time.Minute)
	if _, err := f.Rotate(t.Context(), id, opts); !errors.Is(err, keys.ErrStillUsed) || len(place.got) != 1 {
		t.Error(err, len(place.got))
	}
	opts.Force = true
	if _, err := f.Rotate(t.Context(), id, opts); err != nil || len(place.got) != 1 {
		t.Error(err, len(place.got))
	}
	f.refused(t, old, apikey.IsRevoked, apikey.Need{})
	f.refused(t, place.got[0], "", apikey.Need{})
	f.audited(t)
}

// Twenty destinations are served beside one another, each once, and all are noted.
func testManyDestinations(t *testing.T, f *fixture) {
	_, id := f.key(t, draft)
	var opts keys.RotateOptions
	for i := range 20 {
		opts.To = append(opts.To, &fakeDestination{name: fmt.Sprintf("place:%d", i)})
	}
	rotated := f.rotate(t, id, opts, nil)
	if next := f.record(t, rotated.New.ID); len(next.Destinations) != 20 || next.Destinations[7] != "place:7" {
		t.Error(next.Destinations)
	}
	for i, to := range opts.To {
		d := rotated.Rotation.Deliveries[i]
		if got := to.(*fakeDestination).got; len(got) != 1 || d.Status != apikey.DeliveryDone || d.Destination != to.Name() {
			t.Error(d, len(got))
		}
	}
	f.audited(t)
}

// A place that gets the old key while its successor is on the way keeps that alive until
// the next successor has come there, too.
func testNotedMeanwhile(t *testing.T, f *fixture) {
	noteMeanwhile(t, f, keys.RotateOptions{})
	noteMeanwhile(t, f, keys.RotateOptions{Compromised: true, KeepUntilDelivered: true})
}

func noteMeanwhile(t *testing.T, f *fixture, opts keys.RotateOptions) {
	t.Helper()
	old, id := f.key(t, draft)
	push := func() {
		if _, err := f.Update(t.Context(), id, func(r *apikey.Record) { r.Destinations = append(r.Destinations, "place:late") }); err != nil {
			t.Error(err)
		}
	}
	opts.To = []keys.Destination{slowDestination{push}}
	rotated, err := f.Rotate(t.Context(), id, opts)
	if !errors.Is(err, keys.ErrNotDelivered) {
		t.Fatal(rotated.Rotation, err)
	}
	f.refused(t, old, "", apikey.Need{})
	late := &fakeDestination{name: "place:late"}
	opts.To = []keys.Destination{slowDestination{func() {}}, late}
	if _, err := f.Rotate(t.Context(), id, opts); err != nil || len(late.got) != 1 {
		t.Fatal(err)
	}
	f.refused(t, old, apikey.IsRevoked, apikey.Need{})
	f.refused(t, late.got[0], "", apikey.Need{})
	if r := f.record(t, rotated.New.ID); r.RevokedAt.IsZero() {
		t.Error("the first successor is alive")
	}
	f.audited(t)
}

// slowDestination lets another fob take over the rotation meanwhile.
type slowDestination struct{ meanwhile func() }

func (slowDestination) Name() string { return "place:slow" }

func (s slowDestination) Deliver(context.Context, apikey.Minted, apikey.Record) error {
	s.meanwhile()
	return nil
}

func testRotateCrowd(t *testing.T, f *fixture) {
	const crowd = 16
	_, id := f.key(t, draft)
	results := make([]error, crowd)
	var wg sync.WaitGroup
	for i := range crowd {
		other := f.open(t)
		wg.Go(func() {
			_, results[i] = other.Rotate(t.Context(), id, keys.RotateOptions{Overlap: time.Hour, To: []keys.Destination{&fakeDestination{name: "place:stdout"}}})
		})
	}
	wg.Wait()
	won := 0
	for _, err := range results {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, keys.ErrRotating) && !errors.Is(err, keys.ErrRotated):
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d of %d rotated the key", won, crowd)
	}
	if live := f.ids(t, apikey.Filter{States: []apikey.State{apikey.Active}}); len(live) != 1 {
		t.Errorf("%d successors", len(live))
	}

	// Who was too slow for its lease must not end the old key.
	_, id = f.key(t, draft)
	other := f.open(t)
	var taken error
	_, err := f.Rotate(t.Context(), id, keys.RotateOptions{Overlap: time.Hour, To: []keys.Destination{slowDestination{func() {
		f.pass(time.Hour)
		_, taken = other.Rotate(t.Context(), id, keys.RotateOptions{Overlap: time.Hour, To: []keys.Destination{&fakeDestination{name: "place:slow"}}})
	}}}})
	if taken != nil || !errors.Is(err, keys.ErrTakenOver) {
		t.Error(fmt.Errorf("%w; %w", taken, err))
	}
	f.audited(t)
}

// A bulk rotation that was cut short is run again: its own work is left alone.
func testStillToRotate(t *testing.T, f *fixture) {
	var ids []string
	for range 3 {
		_, id := f.key(t, draft)
		ids = append(ids, id)
	}
	done := f.rotate(t, ids[0], keys.RotateOptions{Overlap: time.Hour}, nil)
	f.crash(t, ids[1], keys.RotateOptions{Overlap: time.Hour}) // its successor is abandoned by the next run
	still := func(compromised bool) []string {
		var all []apikey.Record
		for _, id := range f.ids(t, apikey.Filter{States: []apikey.State{apikey.Active}}) {
			all = append(all, f.record(t, id))
		}
		left, err := f.StillToRotate(t.Context(), all, compromised)
		if err != nil || len(all) != 4 {
			t.Fatal(len(all), err)
		}
		var names []string
		for _, r := range left {
			names = append(names, r.ID)
		}
		return names
	}
	want := slices.Sorted(slices.Values(ids[1:]))
	if got := still(false); !slices.Equal(got, want) {
		t.Errorf("%v, not %v", got, want)
	}
	withSuccessor := slices.Sorted(slices.Values(append(ids[1:], done.New.ID)))
	if got := still(true); !slices.Equal(got, withSuccessor) {
		t.Errorf("the compromise came after the rotation: %v, not %v", got, withSuccessor)
	}
	f.pass(13 * time.Hour)
	if got := still(false); !slices.Equal(got, withSuccessor) {
		t.Errorf("half a day later: %v, not %v", got, withSuccessor)
	}
}
