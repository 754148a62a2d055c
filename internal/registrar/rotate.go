package registrar

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fobcli/fob/internal/apikey"
)

// Destination is where a successor is delivered.
type Destination interface {
	Name() string
	Deliver(ctx context.Context, key apikey.Minted, r apikey.Record) error
}

// lease is how long a rotation may be silent before another fob takes it over.
const lease = time.Minute

// Why a key was not rotated.
var (
	ErrNotRotatable = errors.New("only a key in use can be rotated")
	ErrRotated      = errors.New("the key was rotated before")
	ErrRotating     = errors.New("another fob rotates this key")
	ErrTakenOver    = errors.New("another fob took the rotation over")
	ErrNotDelivered = errors.New("the new key was not delivered")
)

// RotateOptions say how a key is replaced.
type RotateOptions struct {
	Overlap     time.Duration // how long the old key stays valid
	Compromised bool          // the old key dies at once, wherever the new one arrived
	To          []Destination
}

// Rotated is a key and its successor.
type Rotated struct {
	Old, New apikey.Record
	Rotation apikey.Rotation
}

// Rotate mints a successor with the same rights, delivers it to every destination
// and then ends the old key: after the overlap, or at once. Whatever happens on the
// way, one of the two is valid. A delivery that fails leaves the old key as it is
// (ErrNotDelivered), unless it is compromised: then the error comes after its end.
func (g *Registrar) Rotate(ctx context.Context, id string, opts RotateOptions) (Rotated, error) {
	done, minted, err := g.startRotation(ctx, id, opts)
	if err != nil {
		return done, err
	}
	failed := g.deliver(ctx, &done, minted, opts)
	stopped := ctx.Err() != nil
	// From here on Ctrl-C must not leave the rotation open.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lease/2)
	defer cancel()
	switch {
	case failed == nil, opts.Compromised && !stopped:
		err := g.endOld(ctx, &done, opts)
		if errors.Is(err, apikey.ErrUnavailable) {
			err = fmt.Errorf("successor %s was delivered, and the end of %s was not noted: %w", done.New.ID, id, err)
		}
		return done, errors.Join(failed, err)
	case done.Rotation.Arrived():
		return done, errors.Join(failed, g.release(ctx, done.Rotation))
	}
	return done, errors.Join(failed, g.abandon(ctx, done.Rotation))
}

// justMade is how long a successor counts as the work of a rotation of many keys
// that was cut short and is run again.
const justMade = 12 * time.Hour

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
	if r.Predecessor == "" || !g.now().Before(r.CreatedAt.Add(justMade)) {
		return false, nil
	}
	rotations, err := g.Registry.Rotations(ctx, r.Predecessor)
	ours := func(rotation apikey.Rotation) bool {
		return rotation.New == r.ID && (rotation.Compromised || !compromised)
	}
	return slices.ContainsFunc(rotations, ours), err
}

// startRotation records the rotation with its successor.
func (g *Registrar) startRotation(ctx context.Context, id string, opts RotateOptions) (Rotated, apikey.Minted, error) {
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
		if err := g.mayRotate(tx, old); err != nil {
			return err
		}
		var successor apikey.Record
		if minted, successor, err = g.mint(g.successor(old), pepper); err != nil {
			return err
		}
		if err := insertNew(tx, g.event(apikey.ActionRotate, "it replaces "+id), []apikey.Record{successor}); err != nil {
			return err
		}
		rotation := apikey.Rotation{
			Old: id, New: successor.ID, Phase: apikey.PhaseMinted, Compromised: opts.Compromised,
			StartedAt: g.now(), LeasedUntil: g.now().Add(lease),
		}
		for _, to := range opts.To {
			rotation.Deliveries = append(rotation.Deliveries, apikey.Delivery{Destination: to.Name(), Status: apikey.DeliveryPending})
		}
		done = Rotated{Old: old, New: successor, Rotation: rotation}
		return tx.PutRotation(rotation)
	})
	return done, minted, err
}

// mayRotate refuses a key that has a successor, is on the way to one, or is not in
// use. It closes a rotation that stopped.
func (g *Registrar) mayRotate(tx apikey.Tx, old apikey.Record) error {
	rotations, err := tx.Rotations(old.ID)
	if err != nil {
		return err
	}
	for _, open := range rotations {
		switch {
		case open.Phase == apikey.PhaseOverlap, open.Phase == apikey.PhaseRetired:
			return fmt.Errorf("key %s: %w; its successor is %s", old.ID, ErrRotated, open.New)
		case !open.Open():
			continue
		case g.now().Before(open.LeasedUntil):
			return fmt.Errorf("key %s: %w, until %s at the latest", old.ID, ErrRotating, open.LeasedUntil.Format(time.TimeOnly+" UTC"))
		}
		open.Phase = apikey.PhaseAbandoned
		if err := tx.PutRotation(open); err != nil {
			return err
		}
	}
	if state := old.State(g.now()); state != apikey.Active && state != apikey.Disabled {
		return fmt.Errorf("key %s is %s: %w", old.ID, state, ErrNotRotatable)
	}
	return nil
}

// successor is the draft of a key that replaces another: it may do the same, for as
// long again.
func (g *Registrar) successor(old apikey.Record) apikey.Record {
	next := apikey.Record{
		Owner: old.Owner, Environment: old.Environment, Scopes: old.Scopes, Rate: old.Rate,
		Note: old.Note, Metadata: old.Metadata, Disabled: old.Disabled, Predecessor: old.ID,
	}
	if next.ExpiresAt = old.ExpiresAt; old.ExpiresAt.After(old.CreatedAt) { // a list may say otherwise
		next.ExpiresAt = g.now().Add(old.ExpiresAt.Sub(old.CreatedAt))
	}
	return next
}

// deliver brings the successor to all destinations, and notes each step but the
// last, which the end of the rotation notes. All are tried, whatever fails.
func (g *Registrar) deliver(ctx context.Context, done *Rotated, key apikey.Minted, opts RotateOptions) error {
	rotation := &done.Rotation
	var failed error
	for i, to := range opts.To {
		at := &rotation.Deliveries[i]
		at.Attempt++
		err := ctx.Err()
		if err == nil {
			err = to.Deliver(ctx, key, done.New)
		}
		if at.Status = apikey.DeliveryDone; err != nil {
			at.Status, at.Error = apikey.DeliveryFailed, err.Error()
			failed = errors.Join(failed, fmt.Errorf("%w to %s: %w", ErrNotDelivered, to.Name(), err))
		}
		if i < len(opts.To)-1 {
			if err := g.noteDelivery(ctx, rotation, *at); err != nil {
				return errors.Join(failed, err)
			}
		}
	}
	return failed
}

// noteDelivery records how far the deliveries have come, and renews the lease.
func (g *Registrar) noteDelivery(ctx context.Context, rotation *apikey.Rotation, last apikey.Delivery) error {
	rotation.Phase, rotation.LeasedUntil = apikey.PhaseDelivering, g.now().Add(lease)
	return g.goOn(ctx, *rotation, func(tx apikey.Tx, _, next apikey.Record) error {
		event := g.event(apikey.ActionDeliver, last.Destination+": "+string(last.Status))
		return errors.Join(tx.Put(event, next), tx.PutRotation(*rotation))
	})
}

// goOn changes the registry for a rotation that is still this fob's own.
func (g *Registrar) goOn(ctx context.Context, rotation apikey.Rotation, do func(tx apikey.Tx, old, next apikey.Record) error) error {
	return g.change(ctx, func(tx apikey.Tx) error {
		rotations, err := tx.Rotations(rotation.Old)
		if err != nil {
			return err
		}
		ours := func(r apikey.Rotation) bool { return r.Open() && r.New == rotation.New }
		if !slices.ContainsFunc(rotations, ours) {
			return fmt.Errorf("key %s: %w, and revokes %s", rotation.Old, ErrTakenOver, rotation.New)
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
	return g.goOn(ctx, done.Rotation, func(tx apikey.Tx, old, next apikey.Record) error {
		if !next.RevokedAt.IsZero() {
			return fmt.Errorf("successor %s: %w; %s is left as it was", next.ID, ErrRevoked, old.ID)
		}
		rotation := done.Rotation
		at, event := g.now(), g.event(apikey.ActionRevoke, next.ID+" replaces it")
		switch {
		case opts.Compromised || opts.Overlap <= 0:
			if opts.Compromised {
				event.Detail = "compromised; " + event.Detail
			}
			rotation.Phase, rotation.DueAt = apikey.PhaseRetired, at
			old.RevokedAt = earlier(old.RevokedAt, at)
		default:
			rotation.Phase, rotation.DueAt = apikey.PhaseOverlap, at.Add(opts.Overlap)
			old.RetiresAt = rotation.DueAt
			event = g.event(apikey.ActionRetire, fmt.Sprintf("%s replaces it; it ends at %s", next.ID, old.RetiresAt.Format(time.RFC3339)))
		}
		*done = Rotated{Old: old, New: next, Rotation: rotation}
		return errors.Join(g.revokeAbandoned(tx, old.ID), tx.Put(event, old), tx.PutRotation(rotation))
	})
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
	return g.goOn(ctx, rotation, func(tx apikey.Tx, _, next apikey.Record) error {
		rotation.Phase = apikey.PhaseAbandoned
		return errors.Join(g.revokeSuccessor(tx, next), tx.PutRotation(rotation))
	})
}

// release leaves a rotation to whoever tries it next: some places have the successor,
// others do not.
func (g *Registrar) release(ctx context.Context, rotation apikey.Rotation) error {
	return g.goOn(ctx, rotation, func(tx apikey.Tx, _, _ apikey.Record) error {
		rotation.Phase, rotation.LeasedUntil = apikey.PhaseDelivering, time.Time{}
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
		if err := tx.Put(g.event(apikey.ActionRevoke, "the overlap with "+rotation.New+" is over"), old); err != nil {
			return err
		}
	}
	rotation.Phase = apikey.PhaseRetired
	return tx.PutRotation(rotation)
}

// earlier is the earlier of a time that may be never and another.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// History returns the ids of the keys before and after one, the oldest first, and
// the rotations of that one.
func (g *Registrar) History(ctx context.Context, r apikey.Record) (chain []string, rotations []apikey.Rotation, err error) {
	chain = []string{r.ID}
	for id := r.Predecessor; id != "" && !slices.Contains(chain, id); {
		before, err := g.Registry.Key(ctx, id)
		if errors.Is(err, apikey.ErrNotFound) {
			break // it was not imported with its successor
		}
		if err != nil {
			return nil, nil, err
		}
		chain = append([]string{id}, chain...)
		id = before.Predecessor
	}
	if rotations, err = g.Registry.Rotations(ctx, r.ID); err != nil {
		return nil, nil, err
	}
	for next := rotations; len(next) > 0; {
		last := next[len(next)-1]
		if last.Phase == apikey.PhaseAbandoned || slices.Contains(chain, last.New) {
			break
		}
		chain = append(chain, last.New)
		if next, err = g.Registry.Rotations(ctx, last.New); err != nil {
			return nil, nil, err
		}
	}
	return chain, rotations, nil
}
