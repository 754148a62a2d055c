package keys

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fobcli/fob/internal/apikey"
)

// continueRotation changes the registry if the rotation still belongs to this process.
func (g *Registrar) continueRotation(ctx context.Context, rotation apikey.Rotation, do func(tx apikey.Tx, old, next apikey.Record) error) error {
	return g.change(ctx, func(tx apikey.Tx) error {
		rotations, err := tx.Rotations(rotation.Old)
		if err != nil {
			return err
		}
		if err := checkOwns(&rotation, rotations); err != nil {
			return err
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

// finish records the result of the deliveries. If the replacement is everywhere, it revokes
// the old key or starts its overlap, and revokes earlier replacements. Leaked keys are
// always revoked.
func (g *Registrar) finish(ctx context.Context, s *started, failed error, stopped bool) error {
	if failed == nil && s.Rotation.ArrivedAt.IsZero() {
		s.Rotation.ArrivedAt = g.now()
	}
	if failed == nil && !s.isFirst() && s.opts.Overlap <= 0 && !s.opts.Compromised && !s.opts.Force {
		old, err := g.Find(ctx, s.Old.ID)
		if err == nil && old.LastUsedAt.After(s.Rotation.ArrivedAt) {
			err = &KeyError{old.ID, fmt.Errorf("%w since its replacement was delivered", ErrStillUsed)}
		}
		if err != nil { // any process can continue it
			s.Rotation.Phase, s.Rotation.LeasedUntil = apikey.PhaseChecked, time.Time{}
			put := func(tx apikey.Tx, _, _ apikey.Record) error { return tx.PutRotation(s.Rotation) }
			return errors.Join(g.continueRotation(ctx, s.Rotation, put), err)
		}
	}
	var incomplete error
	done := s.Rotated
	err := g.continueRotation(ctx, s.Rotation, func(tx apikey.Tx, old, next apikey.Record) error {
		rotation := s.Rotation
		if incomplete = failed; failed == nil {
			incomplete = checkComplete(&rotation, &next)
		}
		for _, leaked := range s.leaked {
			isOld := leaked.ID == old.ID
			if stopped || isOld && incomplete == nil { // retireOld revokes it
				continue
			}
			r, err := tx.Key(leaked.ID)
			if err == nil {
				err = revoke(tx, &r, g.event(apikey.ActionRevoke, "compromised"))
			}
			if err != nil {
				return err
			}
			if isOld {
				old = r
			}
		}
		var err error
		switch {
		case incomplete == nil:
			err = g.retireOld(tx, s, &rotation, &old, next)
		case s.needsNext(&rotation) || len(s.leaked) > 0 || rotation.Phase == apikey.PhaseChecked:
			rotation.Phase = apikey.PhaseDelivering
		default:
			err = g.abandon(tx, &rotation, old, next)
		}
		rotation.LeasedUntil = time.Time{}
		done.Old, done.New, done.Rotation = old, next, rotation
		return cmp.Or(err, tx.PutRotation(rotation))
	})
	if err == nil {
		s.Rotated = done
	}
	if failed == nil {
		err = errors.Join(incomplete, err)
	}
	return err
}

// needsNext reports whether a replacement that is not everywhere must be replaced, not
// revoked: something may use it. A new key that no destination has for certain is in no use.
func (s *started) needsNext(rotation *apikey.Rotation) bool {
	if !s.isFirst() {
		return rotation.Arrived()
	}
	return slices.ContainsFunc(rotation.Deliveries, func(d apikey.Delivery) bool { return d.Status == apikey.DeliveryDone })
}

// checkComplete rejects a replacement that was revoked, or is not everywhere.
func checkComplete(rotation *apikey.Rotation, next *apikey.Record) error {
	if !next.RevokedAt.IsZero() {
		return fmt.Errorf("%w: replacement %s was revoked meanwhile", ErrNotDelivered, next.ID)
	}
	if place := undelivered(rotation, next); place != "" {
		return fmt.Errorf("%w to %s, which was added meanwhile", ErrNotDelivered, place)
	}
	return nil
}

// undelivered returns a destination of a replacement that does not have it, or "".
func undelivered(rotation *apikey.Rotation, next *apikey.Record) string {
	for _, place := range next.Destinations {
		done := func(d apikey.Delivery) bool { return d.Destination == place && d.Status == apikey.DeliveryDone }
		if !slices.ContainsFunc(rotation.Deliveries, done) {
			return place
		}
	}
	return ""
}

// retireOld revokes the old key, or starts its overlap, now that its replacement is
// everywhere.
func (g *Registrar) retireOld(tx apikey.Tx, s *started, rotation *apikey.Rotation, old *apikey.Record, next apikey.Record) error {
	at := g.now()
	rotation.Phase, rotation.DueAt = apikey.PhaseRetired, at
	if s.isFirst() {
		return nil
	}
	event := g.event(apikey.ActionRevoke, next.ID+" replaces it")
	if s.opts.Compromised {
		event.Detail = "compromised; " + event.Detail
	}
	switch {
	case old.State(at) == apikey.Revoked && !old.RevokedAt.IsZero():
		return g.revokeReplacements(tx, old.ID, next.ID)
	case s.opts.Compromised, s.opts.Overlap <= 0, old.State(at) == apikey.Revoked:
		old.Revoke(at)
	default:
		rotation.Phase, rotation.DueAt = apikey.PhaseOverlap, at.Add(s.opts.Overlap)
		old.RetiresAt = rotation.DueAt
		event = g.event(apikey.ActionRetire, fmt.Sprintf("%s replaces it; it expires at %s", next.ID, old.RetiresAt.Format(time.RFC3339)))
	}
	return cmp.Or(g.revokeReplacements(tx, old.ID, next.ID), tx.Put(event, *old))
}

// Delivered records that a key was delivered manually, which may complete its rotation.
func (g *Registrar) Delivered(ctx context.Context, id string, places []string) error {
	return g.change(ctx, func(tx apikey.Tx) error {
		next, err := tx.Key(id)
		if err != nil {
			return notFound(id, err)
		}
		old, open, err := g.unfinishedAt(tx, next)
		switch {
		case errors.Is(err, ErrRotated), errors.Is(err, ErrNotRotatable):
			return nil
		case err != nil || open.New != id || g.isLeased(open):
			return err
		}
		for _, place := range places {
			open.Deliveries = slices.DeleteFunc(open.Deliveries, func(d apikey.Delivery) bool { return d.Destination == place })
			open.Deliveries = append(open.Deliveries, apikey.Delivery{Destination: place, Status: apikey.DeliveryDone, Attempt: 1})
		}
		if checkComplete(&open, &next) != nil {
			return tx.PutRotation(open)
		}
		open.Phase, open.ArrivedAt = apikey.PhaseChecked, g.now()
		if s := (&started{Rotated: Rotated{Old: old, New: next}}); s.isFirst() || old.State(g.now()) == apikey.Revoked {
			if err := g.retireOld(tx, s, &open, &old, next); err != nil {
				return err
			}
		}
		return tx.PutRotation(open)
	})
}

// abandon ends a rotation with an undelivered replacement, unless the old key, or a
// destination that has another replacement, still needs one.
func (g *Registrar) abandon(tx apikey.Tx, rotation *apikey.Rotation, old, next apikey.Record) error {
	others, err := g.replacements(tx, old.ID)
	if err != nil {
		return err
	}
	rotation.Phase = apikey.PhaseDelivering
	isPending := func(d apikey.Delivery) bool { return d.Status == apikey.DeliveryPending } // the process was killed
	if slices.ContainsFunc(others, func(r replacement) bool {
		return r.New != next.ID && r.key.ID != "" && (r.Arrived() || slices.ContainsFunc(r.Deliveries, isPending) || r.key.RevokedAt.IsZero())
	}) {
		return nil
	}
	if state := old.State(g.now()); state != apikey.Active && state != apikey.Disabled {
		return nil
	}
	rotation.Phase, rotation.Deliveries = apikey.PhaseAbandoned, slices.DeleteFunc(slices.Clone(rotation.Deliveries), isPending)
	return g.revokeReplacement(tx, &next)
}

// unfinishedAt returns the first key that an unfinished rotation replaces, starting from
// any of its replacements, and that rotation.
func (g *Registrar) unfinishedAt(tx apikey.Tx, key apikey.Record) (old apikey.Record, open apikey.Rotation, err error) {
	seen := []string{key.ID} // forged records may be each other's replacements
	for old = key; ; {
		before, found, err := g.unfinishedBefore(tx, old)
		if err != nil {
			return old, open, err
		}
		if !found || slices.Contains(seen, before.ID) {
			break
		}
		seen = append(seen, before.ID)
		old = before
	}
	rotations, err := tx.Rotations(old.ID)
	if err != nil {
		return old, open, err
	}
	for _, r := range rotations {
		switch {
		case r.New == old.ID && !r.Open(), r.Phase == apikey.PhaseAbandoned:
		case r.Phase == apikey.PhaseOverlap, r.Phase == apikey.PhaseRetired:
			return old, open, &KeyError{old.ID, fmt.Errorf("%w; its replacement is %s", ErrRotated, r.New)}
		default:
			if next, err := g.replacement(tx, r); err != nil || next.ID != "" {
				return old, r, err
			}
		}
	}
	if state := old.State(g.now()); state != apikey.Active && state != apikey.Disabled {
		return old, open, &KeyError{old.ID, fmt.Errorf("%w: it is %s", ErrNotRotatable, state)}
	}
	return old, open, nil
}

// unfinishedBefore returns the key that this one was to replace, if that rotation is
// unfinished.
func (g *Registrar) unfinishedBefore(tx apikey.Tx, key apikey.Record) (before apikey.Record, found bool, err error) {
	if key.Predecessor == "" {
		return before, false, nil
	}
	rotations, err := tx.Rotations(key.Predecessor)
	if err != nil {
		return before, false, err
	}
	before, err = tx.Key(key.Predecessor)
	if errors.Is(err, apikey.ErrNotFound) {
		return before, false, nil // it was not imported with its replacement
	}
	open := false
	for _, r := range rotations {
		if r.New != before.ID && (r.Phase == apikey.PhaseOverlap || r.Phase == apikey.PhaseRetired) {
			return before, false, err
		}
		open = open || r.Open()
		found = found || r.New == key.ID
	}
	state := before.State(g.now())
	isEarlier := !before.CreatedAt.After(key.CreatedAt)
	isInUse := key.RevokedAt.IsZero() && (state == apikey.Active || state == apikey.Disabled)
	return before, found && isEarlier && (open || isInUse), err
}

// replacement returns the key that a rotation created, if that key's own record confirms
// it.
func (g *Registrar) replacement(tx apikey.Tx, r apikey.Rotation) (apikey.Record, error) {
	next, err := tx.Key(r.New)
	if errors.Is(err, apikey.ErrNotFound) || err == nil && next.Predecessor != r.Old && r.New != r.Old {
		return apikey.Record{}, nil // the audit log covers records only: this rotation is not fob's
	}
	return next, err
}

// replacement is an unfinished rotation, and the key that it created; zero if that key's
// own record does not confirm it.
type replacement struct {
	apikey.Rotation
	key apikey.Record
}

// replacements returns the replacements of a key, and those of the replacements.
func (g *Registrar) replacements(tx apikey.Tx, old string) (all []replacement, err error) {
	ids := []string{old}
	for i := 0; i < len(ids); i++ {
		rotations, err := tx.Rotations(ids[i])
		if err != nil {
			return nil, err
		}
		for _, r := range rotations {
			if r.Phase == apikey.PhaseOverlap || r.Phase == apikey.PhaseRetired {
				continue
			}
			next, err := g.replacement(tx, r)
			if err != nil {
				return nil, err
			}
			all = append(all, replacement{r, next})
			if next.ID != "" && !slices.Contains(ids, next.ID) {
				ids = append(ids, next.ID)
			}
		}
	}
	return all, nil
}

// revokeReplacements revokes the earlier replacements of a key.
func (g *Registrar) revokeReplacements(tx apikey.Tx, old, last string) error {
	all, err := g.replacements(tx, old)
	for _, r := range all {
		if r.key.ID != "" && r.key.ID != last && r.key.ID != old {
			err = cmp.Or(err, g.revokeReplacement(tx, &r.key))
		}
	}
	return err
}

func (g *Registrar) revokeReplacement(tx apikey.Tx, next *apikey.Record) error {
	detail := "it was delivered nowhere"
	if next.Predecessor != "" {
		detail = "the rotation of " + next.Predecessor + " did not come to its end"
	}
	return revoke(tx, next, g.event(apikey.ActionAbandon, detail))
}

func revoke(tx apikey.Tx, r *apikey.Record, event apikey.Event) error {
	if !r.RevokedAt.IsZero() {
		return nil
	}
	r.Revoke(event.At)
	return tx.Put(event, *r)
}

// retire records that an overlap has ended, if the key's record confirms it: the audit log
// covers records only.
func (g *Registrar) retire(tx apikey.Tx, rotation apikey.Rotation) error {
	old, err := tx.Key(rotation.Old)
	if err != nil {
		return notFound(rotation.Old, err)
	}
	if old.RevokedAt.IsZero() && old.State(g.now()) == apikey.Revoked {
		old.Revoke(old.RetiresAt)
		if err := tx.Put(g.event(apikey.ActionRevoke, "the overlap with "+rotation.New+" has ended"), old); err != nil {
			return err
		}
	}
	rotation.Phase = apikey.PhaseRetired
	return tx.PutRotation(rotation)
}
