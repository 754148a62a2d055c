package keys

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/filelock"
)

const (
	// lease is how long a rotation may be silent before another process takes it over.
	lease = time.Minute
	// compromisedEnd is how long a compromised key may remain valid after the start of its
	// rotation, even if fob is killed.
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

// RotateOptions configures a rotation.
type RotateOptions struct {
	Overlap     time.Duration // how long the old key stays valid
	Compromised bool          // revoke the old key at once, wherever the new one was delivered
	// KeepUntilDelivered leaves a compromised key valid until the new one is everywhere.
	KeepUntilDelivered bool
	Force              bool          // take over from another process; revoke the old key even if it is still used
	To                 []Destination // all concurrently
	Last               Destination   // after all of To, or if the key is compromised; may be nil
}

// endsSoon reports whether the old key is revoked even if deliveries fail.
func (o *RotateOptions) endsSoon() bool { return o.Compromised && !o.KeepUntilDelivered }

// Rotated is a key and its replacement. For a new key, both are the same.
type Rotated struct {
	Old, New apikey.Record
	Rotation apikey.Rotation
	Failed   []*DeliveryError // in the order of the destinations
}

// started is a rotation in this process.
type started struct {
	Rotated
	opts   RotateOptions
	minted apikey.Minted
	leaked []apikey.Record // revoked whatever fails
	lease  *filelock.Lock
}

// isFirst reports whether this delivers a new key, without an old one.
func (s *started) isFirst() bool { return s.Old.ID == s.New.ID }

// Rotate creates a replacement with the same rights, delivers it to every destination, and
// then revokes the old key: after the overlap, or at once. If a delivery fails, the old key
// stays valid (ErrNotDelivered), unless it is compromised: then the error is returned after
// revoking it. An unfinished rotation, even one that created this key, is continued with
// another replacement, or by revoking the old key if only that was left.
func (g *Registrar) Rotate(ctx context.Context, id string, opts RotateOptions) (Rotated, error) {
	s, err := g.start(ctx, id, opts)
	if err != nil {
		return s.Rotated, err
	}
	return g.complete(ctx, s)
}

// CreateAndDeliver creates a key like the draft, and delivers it. Until it is everywhere,
// its rotation is unfinished, and is continued by replacing the key. If it was delivered
// nowhere, it is revoked.
func (g *Registrar) CreateAndDeliver(ctx context.Context, draft apikey.Record, opts RotateOptions) (Rotated, error) {
	s := &started{opts: opts}
	pepper, err := g.presentPepper(ctx)
	if err != nil {
		return s.Rotated, err
	}
	if s.minted, s.New, err = g.mint(draft, pepper); err != nil {
		return s.Rotated, err
	}
	s.Old, s.Rotation = s.New, g.newRotation(s.New.ID, s.New.ID, &opts)
	s.lease = g.lockLease(s.New.ID)
	err = g.change(ctx, func(tx apikey.Tx) error {
		return cmp.Or(insertNew(tx, g.event(apikey.ActionCreate, ""), []apikey.Record{s.New}), tx.PutRotation(s.Rotation))
	})
	if err != nil {
		g.unlockLease(s.New.ID, s.lease)
		return s.Rotated, err
	}
	return g.complete(ctx, s)
}

// complete delivers the replacement, and records the result.
func (g *Registrar) complete(ctx context.Context, s *started) (Rotated, error) {
	defer func() { g.unlockLease(s.New.ID, s.lease) }()
	var failed error
	if s.Rotation.Phase != apikey.PhaseChecked {
		failed = g.deliverAll(ctx, s)
	}
	if errors.Is(failed, ErrTakenOver) {
		return s.Rotated, failed
	}
	stopped := ctx.Err() != nil
	// From here on, Ctrl-C must not leave the rotation open.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lease/2)
	defer cancel()
	err := g.finish(ctx, s, failed, stopped)
	if errors.Is(err, apikey.ErrUnavailable) && failed == nil {
		err = fmt.Errorf("replacement %s was delivered, and the end of %s could not be saved: %w", s.New.ID, s.Old.ID, err)
	}
	return s.Rotated, errors.Join(failed, err)
}

// resumeWindow is how long a replacement counts as the work of an interrupted bulk rotation
// that is run again.
const resumeWindow = 12 * time.Hour

// StillToRotate filters the keys of a bulk rotation that is run again: it skips keys that
// were just created by a rotation, and replacements that are revoked when their old key is
// rotated. For compromised keys, only rotations of compromised keys count.
func (g *Registrar) StillToRotate(ctx context.Context, keys []apikey.Record, compromised bool) ([]apikey.Record, error) {
	selected := make(map[string]bool, len(keys))
	for i := range keys {
		selected[keys[i].ID] = true
	}
	var still []apikey.Record
	for _, r := range keys {
		made, err := g.isJustMade(ctx, r, compromised)
		if err != nil {
			return nil, err
		}
		if !made && !selected[r.Predecessor] {
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
		return rotation.New == r.ID && !rotation.Unfinished() && (rotation.Compromised || !compromised || rotation.Phase == apikey.PhaseAbandoned)
	}
	return slices.ContainsFunc(rotations, ours), err
}

// start records the rotation with its replacement. While another process is rotating a
// leaked key, it waits as long as the key is valid.
func (g *Registrar) start(ctx context.Context, id string, opts RotateOptions) (*started, error) {
	s := &started{}
	pepper, err := g.presentPepper(ctx)
	if err != nil {
		return s, err
	}
	for takeOver := opts.Force; ; {
		var leased error
		var closed []replacement
		err := g.change(ctx, func(tx apikey.Tx) error {
			g.unlockLease(s.New.ID, s.lease) // from an attempt that was rolled back
			*s = started{opts: opts}
			closed, leased = g.tryStart(tx, id, s, takeOver, pepper)
			if errors.Is(leased, ErrRotating) {
				return nil // the end of a leaked key is saved nevertheless
			}
			return leased
		})
		switch {
		case err != nil:
			g.unlockLease(s.New.ID, s.lease)
			return s, err
		case leased == nil:
			for _, r := range closed {
				g.outlast(ctx, r.New)
				g.unlockLease(r.New, nil)
			}
			return s, nil
		case len(s.leaked) == 0:
			return s, leased
		case !g.now().Before(s.leaked[0].Ends()):
			takeOver = true
		default:
			if err := g.wait(ctx); err != nil {
				return s, err
			}
		}
	}
}

// tryStart returns the rotations that this one replaces.
func (g *Registrar) tryStart(tx apikey.Tx, id string, s *started, takeOver bool, pepper *apikey.Pepper) ([]replacement, error) {
	key, err := tx.Key(id)
	if err != nil {
		return nil, notFound(id, err)
	}
	old, open, err := g.unfinishedAt(tx, key)
	if err != nil {
		return nil, err
	}
	base := old // the record as it was last updated
	if open.New != "" {
		if base, err = tx.Key(open.New); err != nil {
			return nil, err
		}
	}
	if err := g.endLeaked(tx, s, key, &old, open); err != nil {
		return nil, err
	}
	if !takeOver && g.isLeased(open) {
		return nil, &KeyError{old.ID, fmt.Errorf("%w, until %s UTC at the latest", ErrRotating, open.LeasedUntil.UTC().Format(time.TimeOnly))}
	}
	s.Old = old
	if open.Phase == apikey.PhaseChecked && id == old.ID && base.RevokedAt.IsZero() && undelivered(&open, &base) == "" {
		open.LeasedUntil = g.now().Add(lease)
		s.New, s.Rotation, s.lease = base, open, g.lockLease(base.ID)
		return nil, tx.PutRotation(open)
	}
	closed, err := g.replacements(tx, old.ID)
	if err != nil {
		return nil, err
	}
	for _, r := range closed {
		r.Phase = apikey.PhaseAbandoned
		if err := tx.PutRotation(r.Rotation); err != nil {
			return nil, err
		}
	}
	if s.minted, s.New, err = g.mint(g.replacementDraft(base, old.ID, s.opts.To), pepper); err != nil {
		return nil, err
	}
	s.lease = g.lockLease(s.New.ID)
	s.Rotation = g.newRotation(old.ID, s.New.ID, &s.opts)
	insert := insertNew(tx, g.event(apikey.ActionRotate, "it replaces "+old.ID), []apikey.Record{s.New})
	return closed, cmp.Or(insert, tx.PutRotation(s.Rotation))
}

func (g *Registrar) newRotation(old, next string, opts *RotateOptions) apikey.Rotation {
	rotation := apikey.Rotation{
		Old: old, New: next, Phase: apikey.PhaseMinted, Compromised: opts.Compromised,
		StartedAt: g.now(), LeasedUntil: g.now().Add(lease),
	}
	for _, to := range append(slices.Clone(opts.To), opts.Last) {
		if to != nil { // opts.Last
			rotation.Deliveries = append(rotation.Deliveries, apikey.Delivery{Destination: to.Name(), Status: apikey.DeliveryPending})
		}
	}
	return rotation
}

// endLeaked records the end of each leaked key first, so that it applies after any failure
// or kill.
func (g *Registrar) endLeaked(tx apikey.Tx, s *started, key apikey.Record, old *apikey.Record, open apikey.Rotation) error {
	if key.ID != old.ID { // only an unfinished replacement leaked, and the old key is replaced anyway
		if s.opts.endsSoon() {
			if err := g.scheduleEnd(tx, &key); err != nil {
				return err
			}
			s.leaked = append(s.leaked, key)
		}
		s.opts.Force = s.opts.Force || s.opts.Compromised
		s.opts.Compromised = false
	}
	if open.Compromised || open.New != "" && !old.RetiresAt.IsZero() { // as an interrupted process recorded
		// The audit log covers records only: a key that ends soon has its end in its
		// record.
		s.opts.KeepUntilDelivered = !s.opts.endsSoon() && old.RetiresAt.IsZero()
		s.opts.Compromised = true
	}
	if !s.opts.endsSoon() {
		return nil
	}
	err := g.scheduleEnd(tx, old)
	s.leaked = append(s.leaked, *old)
	return err
}

func (g *Registrar) scheduleEnd(tx apikey.Tx, r *apikey.Record) error {
	if end := r.RetiresAt; r.State(g.now()) == apikey.Revoked || !end.IsZero() && end.Before(g.now().Add(compromisedEnd)) {
		return nil // by an interrupted rotation
	}
	r.RetiresAt = g.now().Add(compromisedEnd)
	return tx.Put(g.event(apikey.ActionRetire, "compromised; it expires at "+r.RetiresAt.Format(time.RFC3339)+" at the latest"), *r)
}

// replacementDraft returns the draft of a replacement: with the same rights and lifetime, for the
// old key's destinations and new ones.
func (g *Registrar) replacementDraft(old apikey.Record, predecessor string, to []Destination) apikey.Record {
	next := apikey.Record{
		Owner: old.Owner, Environment: old.Environment, Scopes: old.Scopes, Rate: old.Rate,
		Note: old.Note, Metadata: old.Metadata, Disabled: old.Disabled, Predecessor: predecessor,
		Destinations: slices.Clone(old.Destinations),
	}
	for _, d := range to {
		if !slices.Contains(next.Destinations, d.Name()) {
			next.Destinations = append(next.Destinations, d.Name())
		}
	}
	if next.ExpiresAt = old.ExpiresAt; old.ExpiresAt.After(old.CreatedAt) { // an imported key may have an earlier one
		next.ExpiresAt = g.now().Add(old.ExpiresAt.Sub(old.CreatedAt))
	}
	return next
}
