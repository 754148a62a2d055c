package keys

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fobcli/fob/internal/apikey"
)

const (
	// lease is how long a rotation may be silent before another fob takes it over.
	lease = time.Minute
	// compromisedEnd is when a compromised key ends at the latest, from the start of its
	// rotation: also if fob is killed.
	compromisedEnd = 30 * time.Second
)

// Why a key was not rotated.
var (
	ErrNotRotatable = errors.New("only a key in use can be rotated")
	ErrRotated      = errors.New("the key was rotated before")
	ErrRotating     = errors.New("another fob rotates this key")
	ErrTakenOver    = errors.New("another fob took the rotation over")
	ErrNotDelivered = errors.New("the new key was not delivered")
	ErrStillUsed    = errors.New("the old key is still used")
)

// RotateOptions say how a key is replaced.
type RotateOptions struct {
	Overlap     time.Duration // how long the old key stays valid
	Compromised bool          // the old key dies at once, wherever the new one arrived
	// KeepUntilDelivered lets a compromised key, too, live until the new one is everywhere.
	KeepUntilDelivered bool
	Force              bool          // the old key may end while it is still used
	To                 []Destination // all at once
	Last               Destination   // once all of To have it, or the key is compromised; may be nil
}

// endsSoon reports that the old key ends whatever happens.
func (o *RotateOptions) endsSoon() bool { return o.Compromised && !o.KeepUntilDelivered }

func (o *RotateOptions) destinations() []Destination {
	if o.Last == nil {
		return o.To
	}
	return append(slices.Clone(o.To), o.Last)
}

// Rotated is a key and its successor.
type Rotated struct {
	Old, New apikey.Record
	Rotation apikey.Rotation
	Failed   []*DeliveryError // in the order of the destinations
}

// Rotate mints a successor with the same rights, delivers it to every destination
// and then ends the old key: after the overlap, or at once. Whatever happens on the
// way, one of the two is valid. A delivery that fails leaves the old key as it is
// (ErrNotDelivered), unless it is compromised: then the error comes after its end. A
// rotation that stopped is taken up by another successor, or by the old key's end
// where that alone was left.
func (g *Registrar) Rotate(ctx context.Context, id string, opts RotateOptions) (Rotated, error) {
	done, minted, err := g.startRotation(ctx, id, &opts)
	if err != nil {
		return done, err
	}
	var failed error
	if done.Rotation.Phase != apikey.PhaseChecked {
		failed = g.deliverAll(ctx, &done, minted, opts)
	}
	stopped := ctx.Err() != nil
	// From here on Ctrl-C must not leave the rotation open.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lease/2)
	defer cancel()
	switch {
	case failed == nil, opts.endsSoon() && !stopped:
		err := g.endOld(ctx, &done, opts)
		if errors.Is(err, apikey.ErrUnavailable) {
			err = fmt.Errorf("replacement %s was delivered, and the end of %s could not be saved: %w", done.New.ID, id, err)
		}
		return done, errors.Join(failed, err)
	case done.Rotation.Arrived():
		return done, errors.Join(failed, g.release(ctx, done.Rotation))
	}
	return done, errors.Join(failed, g.abandon(ctx, done.Rotation))
}

// resumeWindow is how long a replacement counts as the work of an interrupted bulk rotation
// that is run again.
const resumeWindow = 12 * time.Hour

// StillToRotate leaves out of the keys that a bulk rotation means what a rotation
// has just made, and a successor that ends when the key before it is rotated. Of
// compromised keys, only a rotation that knew it counts.
func (g *Registrar) StillToRotate(ctx context.Context, keys []apikey.Record, compromised bool) ([]apikey.Record, error) {
	meant := make(map[string]bool, len(keys))
	for i := range keys {
		meant[keys[i].ID] = true
	}
	var still []apikey.Record
	for _, r := range keys {
		made, err := g.isJustMade(ctx, r, compromised)
		if err != nil {
			return nil, err
		}
		if !made && !meant[r.Predecessor] {
			still = append(still, r)
		}
	}
	return still, nil
}

func (g *Registrar) isJustMade(ctx context.Context, r apikey.Record, compromised bool) (bool, error) {
	if r.Predecessor == "" || !g.now().Before(r.CreatedAt.Add(resumeWindow)) {
		return false, nil
	}
	rotations, err := g.Registry.Rotations(ctx, r.Predecessor)
	ours := func(rotation apikey.Rotation) bool {
		return rotation.New == r.ID && (rotation.Compromised || !compromised)
	}
	return slices.ContainsFunc(rotations, ours), err
}

// startRotation records the rotation with its successor. One that lacks nothing but
// the old key's end is returned as it is.
func (g *Registrar) startRotation(ctx context.Context, id string, opts *RotateOptions) (Rotated, apikey.Minted, error) {
	var done Rotated
	var minted apikey.Minted
	pepper, err := g.presentPepper(ctx)
	if err != nil {
		return done, minted, err
	}
	err = g.change(ctx, func(tx apikey.Tx) error {
		old, err := tx.Key(id)
		if err != nil {
			return notFound(id, err)
		}
		stopped, err := g.mayRotate(tx, old)
		if err != nil {
			return err
		}
		// The log vouches for records alone: a compromised key's has its end.
		opts.Compromised = opts.Compromised || stopped.Compromised && !old.RetiresAt.IsZero()
		if stopped.Phase == apikey.PhaseChecked {
			stopped.LeasedUntil = g.now().Add(lease)
			next, err := tx.Key(stopped.New)
			done = Rotated{Old: old, New: next, Rotation: stopped}
			return errors.Join(notFound(stopped.New, err), tx.PutRotation(stopped))
		}
		if opts.endsSoon() {
			if err := g.scheduleEnd(tx, &old); err != nil {
				return err
			}
		}
		var successor apikey.Record
		if minted, successor, err = g.mint(g.successor(old, opts.To), pepper); err != nil {
			return err
		}
		if err := insertNew(tx, g.event(apikey.ActionRotate, "it replaces "+id), []apikey.Record{successor}); err != nil {
			return err
		}
		done = Rotated{Old: old, New: successor, Rotation: g.newRotation(id, successor.ID, opts)}
		return tx.PutRotation(done.Rotation)
	})
	return done, minted, err
}

func (g *Registrar) newRotation(old, successor string, opts *RotateOptions) apikey.Rotation {
	rotation := apikey.Rotation{
		Old: old, New: successor, Phase: apikey.PhaseMinted, Compromised: opts.Compromised,
		StartedAt: g.now(), LeasedUntil: g.now().Add(lease),
	}
	for _, to := range opts.destinations() {
		rotation.Deliveries = append(rotation.Deliveries, apikey.Delivery{Destination: to.Name(), Status: apikey.DeliveryPending})
	}
	return rotation
}

// scheduleEnd sets the end of a compromised key before anything else is tried, so that no
// failure, and no kill, leaves it valid.
func (g *Registrar) scheduleEnd(tx apikey.Tx, old *apikey.Record) error {
	if old.State(g.now()) == apikey.Revoked {
		return nil // by a rotation that stopped
	}
	old.RetiresAt = earlierOf(old.RetiresAt, g.now().Add(compromisedEnd))
	return tx.Put(g.event(apikey.ActionRetire, "compromised; it ends at "+old.RetiresAt.Format(time.RFC3339)+" at the latest"), *old)
}

// mayRotate refuses a key that has a successor, is on the way to one, or is not in
// use. It closes a rotation that stopped, and returns it.
func (g *Registrar) mayRotate(tx apikey.Tx, old apikey.Record) (stopped apikey.Rotation, err error) {
	rotations, err := tx.Rotations(old.ID)
	if err != nil {
		return stopped, err
	}
	for _, open := range rotations {
		switch {
		case open.Phase == apikey.PhaseOverlap, open.Phase == apikey.PhaseRetired:
			return stopped, &KeyError{old.ID, fmt.Errorf("%w; its replacement is %s", ErrRotated, open.New)}
		case !open.Open():
			continue
		case g.isLeased(open):
			return stopped, &KeyError{old.ID, fmt.Errorf("%w, until %s at the latest", ErrRotating, open.LeasedUntil.Format(time.TimeOnly+" UTC"))}
		case open.Phase == apikey.PhaseChecked && g.isSuccessor(tx, open.New, old.ID):
			return open, nil
		}
		open.Phase = apikey.PhaseAbandoned
		if err := tx.PutRotation(open); err != nil {
			return stopped, err
		}
		stopped = open
	}
	state := old.State(g.now())
	if state == apikey.Active || state == apikey.Disabled || stopped.Compromised && !old.RetiresAt.IsZero() && old.RevokedAt.IsZero() {
		return stopped, nil
	}
	return stopped, fmt.Errorf("key %s is %s: %w", old.ID, state, ErrNotRotatable)
}

// isLeased reports whether another fob may be at it. No lease is longer than two: its
// clock was ahead.
func (g *Registrar) isLeased(open apikey.Rotation) bool {
	left := open.LeasedUntil.Sub(g.now())
	return left > 0 && left <= 2*lease
}

// isSuccessor reports whether a key's own record says that it replaces another.
func (g *Registrar) isSuccessor(tx apikey.Tx, id, old string) bool {
	next, err := tx.Key(id)
	return err == nil && next.Predecessor == old && next.RevokedAt.IsZero()
}

// successor is the draft of a key that replaces another: it may do the same, for as
// long again, and goes where the other went and to what is new.
func (g *Registrar) successor(old apikey.Record, to []Destination) apikey.Record {
	next := apikey.Record{
		Owner: old.Owner, Environment: old.Environment, Scopes: old.Scopes, Rate: old.Rate,
		Note: old.Note, Metadata: old.Metadata, Disabled: old.Disabled, Predecessor: old.ID,
		Destinations: slices.Clone(old.Destinations),
	}
	for _, d := range to {
		if !slices.Contains(next.Destinations, d.Name()) {
			next.Destinations = append(next.Destinations, d.Name())
		}
	}
	if next.ExpiresAt = old.ExpiresAt; old.ExpiresAt.After(old.CreatedAt) { // a list may say otherwise
		next.ExpiresAt = g.now().Add(old.ExpiresAt.Sub(old.CreatedAt))
	}
	return next
}

// continueRotation changes the registry if the rotation still belongs to this process.
func (g *Registrar) continueRotation(ctx context.Context, rotation apikey.Rotation, do func(tx apikey.Tx, old, next apikey.Record) error) error {
	return g.change(ctx, func(tx apikey.Tx) error {
		rotations, err := tx.Rotations(rotation.Old)
		if err != nil {
			return err
		}
		ours := func(r apikey.Rotation) bool { return r.Open() && r.New == rotation.New }
		if !slices.ContainsFunc(rotations, ours) {
			return &KeyError{rotation.Old, fmt.Errorf("%w, and revokes %s", ErrTakenOver, rotation.New)}
		}
		old, err := tx.Key(rotation.Old)
		if err != nil {
			return notFound(rotation.Old, err)
		}
		next, err := tx.Key(rotation.New)
		if err != nil {
			return notFound(rotation.New, err)
		}
		return do(tx, old, next)
	})
}

// endOld gives the old key its end, now that its successor has arrived, and those
// successors that did not come so far.
func (g *Registrar) endOld(ctx context.Context, done *Rotated, opts RotateOptions) error {
	if done.Rotation.ArrivedAt.IsZero() {
		done.Rotation.ArrivedAt = g.now()
	}
	if opts.Overlap <= 0 && !opts.Compromised && !opts.Force {
		if used, err := g.usedSince(ctx, done.Old.ID, done.Rotation.ArrivedAt); used || err != nil {
			done.Rotation.Phase = apikey.PhaseChecked
			return errors.Join(g.release(ctx, done.Rotation), err, errIfUsed(used, done.Old.ID))
		}
	}
	err := g.continueRotation(ctx, done.Rotation, func(tx apikey.Tx, old, next apikey.Record) error {
		if !next.RevokedAt.IsZero() {
			return fmt.Errorf("replacement %s: %w; %s is unchanged", next.ID, ErrRevoked, old.ID)
		}
		if place := newDestination(old, next); place != "" && !opts.endsSoon() {
			return fmt.Errorf("%w to %s, which was noted meanwhile", ErrNotDelivered, place)
		}
		rotation := done.Rotation
		at, event := g.now(), g.event(apikey.ActionRevoke, next.ID+" replaces it")
		switch {
		case opts.Compromised || opts.Overlap <= 0:
			if opts.Compromised {
				event.Detail = "compromised; " + event.Detail
			}
			rotation.Phase, rotation.DueAt = apikey.PhaseRetired, at
			old.RevokedAt = earlierOf(old.RevokedAt, at)
		default:
			rotation.Phase, rotation.DueAt = apikey.PhaseOverlap, at.Add(opts.Overlap)
			old.RetiresAt = rotation.DueAt
			event = g.event(apikey.ActionRetire, fmt.Sprintf("%s replaces it; it ends at %s", next.ID, old.RetiresAt.Format(time.RFC3339)))
		}
		done.Old, done.New, done.Rotation = old, next, rotation
		return errors.Join(g.revokeAbandoned(tx, old.ID), tx.Put(event, old), tx.PutRotation(rotation))
	})
	if errors.Is(err, ErrNotDelivered) {
		done.Rotation.Phase = apikey.PhaseDelivering
		return errors.Join(err, g.release(ctx, done.Rotation))
	}
	return err
}

// newDestination returns a destination that the old key got after its replacement was made,
// or "": the replacement was not delivered there.
func newDestination(old, next apikey.Record) string {
	for _, place := range old.Destinations {
		if !slices.Contains(next.Destinations, place) {
			return place
		}
	}
	return ""
}

// usedSince reports whether the registry knows of a use of a key behind a moment.
func (g *Registrar) usedSince(ctx context.Context, id string, since time.Time) (bool, error) {
	for r, err := range g.Registry.Keys(ctx, apikey.Filter{IDs: []string{id}}) {
		return r.LastUsedAt.After(since), err
	}
	return false, nil
}

func errIfUsed(used bool, id string) error {
	if !used {
		return nil
	}
	return &KeyError{id, fmt.Errorf("%w since its replacement was delivered", ErrStillUsed)}
}

// revokeAbandoned ends the successors of rotations that were given up.
func (g *Registrar) revokeAbandoned(tx apikey.Tx, old string) error {
	rotations, err := tx.Rotations(old)
	if err != nil {
		return err
	}
	for _, r := range rotations {
		if r.Phase != apikey.PhaseAbandoned {
			continue
		}
		next, err := tx.Key(r.New)
		if err != nil {
			return notFound(r.New, err)
		}
		if next.Predecessor != old {
			continue // the log vouches for records alone: this rotation is not fob's
		}
		if err := g.revokeSuccessor(tx, next); err != nil {
			return err
		}
	}
	return nil
}

func (g *Registrar) revokeSuccessor(tx apikey.Tx, next apikey.Record) error {
	if !next.RevokedAt.IsZero() {
		return nil
	}
	next.RevokedAt = g.now()
	return tx.Put(g.event(apikey.ActionAbandon, "the rotation of "+next.Predecessor+" did not come to its end"), next)
}

// abandon gives a rotation up whose successor has arrived nowhere.
func (g *Registrar) abandon(ctx context.Context, rotation apikey.Rotation) error {
	return g.continueRotation(ctx, rotation, func(tx apikey.Tx, _, next apikey.Record) error {
		rotation.Phase = apikey.PhaseAbandoned
		return errors.Join(g.revokeSuccessor(tx, next), tx.PutRotation(rotation))
	})
}

// release leaves a rotation as far as it is to whoever tries it next.
func (g *Registrar) release(ctx context.Context, rotation apikey.Rotation) error {
	return g.continueRotation(ctx, rotation, func(tx apikey.Tx, _, _ apikey.Record) error {
		rotation.LeasedUntil = time.Time{}
		return tx.PutRotation(rotation)
	})
}

// retire writes down that an overlap is over, if the key's record says so too: the log
// vouches for records alone.
func (g *Registrar) retire(tx apikey.Tx, rotation apikey.Rotation) error {
	old, err := tx.Key(rotation.Old)
	if err != nil {
		return notFound(rotation.Old, err)
	}
	if old.RevokedAt.IsZero() && old.State(g.now()) == apikey.Revoked {
		old.RevokedAt = old.RetiresAt
		if err := tx.Put(g.event(apikey.ActionRevoke, "the overlap with "+rotation.New+" has ended"), old); err != nil {
			return err
		}
	}
	rotation.Phase = apikey.PhaseRetired
	return tx.PutRotation(rotation)
}

func earlierOf(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}
