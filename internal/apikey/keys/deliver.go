package keys

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fobcli/fob/internal/apikey"
)

// ErrMayHaveArrived is a delivery that was interrupted, or whose response was lost.
var ErrMayHaveArrived = errors.New("it may have arrived all the same")

// Destination is where a new key is delivered. Deliver returns ErrMayHaveArrived if it
// cannot know whether the key is there: then the key is not revoked before another one is.
type Destination interface {
	Name() string
	Deliver(ctx context.Context, key apikey.Minted, r apikey.Record) error
}

const (
	// maxDeliveries bounds concurrent deliveries.
	maxDeliveries = 10
	// deliveryWait is the timeout of one delivery. It is well below the lease, which each
	// finished delivery renews.
	deliveryWait = 20 * time.Second
	// compromisedWait is the timeout of all deliveries if the old key must be revoked.
	compromisedWait = compromisedEnd - 5*time.Second
)

// deliverAll delivers the new key to all destinations, whatever fails, and records each
// step.
func (g *Registrar) deliverAll(ctx context.Context, s *started) error {
	opts, done := s.opts, &s.Rotated
	if len(s.leaked) > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, compromisedWait)
		defer cancel()
	}
	d := &deliveries{g: g, done: done, key: s.minted, failed: make([]*DeliveryError, len(opts.To)+1)}
	var group errgroup.Group
	group.SetLimit(maxDeliveries)
	for i, to := range opts.To {
		group.Go(func() error {
			d.deliver(ctx, i, to)
			return nil // do not stop the others
		})
	}
	_ = group.Wait()
	everywhere := !slices.ContainsFunc(d.failed, func(e *DeliveryError) bool { return e != nil })
	if opts.Last != nil && (opts.Compromised || s.isFirst() || everywhere && d.unnoted == nil) {
		d.deliver(ctx, len(opts.To), opts.Last)
	}
	done.Failed = slices.DeleteFunc(d.failed, func(e *DeliveryError) bool { return e == nil })
	all := []error{d.unnoted}
	for _, failed := range done.Failed {
		all = append(all, failed)
	}
	return errors.Join(all...)
}

type deliveries struct {
	g      *Registrar
	key    apikey.Minted
	failed []*DeliveryError // by destination; nil: delivered

	mu      sync.Mutex // guards the following, and serializes notes
	done    *Rotated
	unnoted error
}

func (d *deliveries) deliver(ctx context.Context, i int, to Destination) {
	err := ctx.Err()
	if err == nil {
		err = d.g.checkOwner(ctx, &d.done.Rotation)
	}
	if err == nil {
		bounded, cancel := context.WithTimeout(ctx, deliveryWait)
		err = to.Deliver(bounded, d.key, d.done.New)
		cancel()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	at := &d.done.Rotation.Deliveries[i]
	at.Attempt++
	if at.Status = apikey.DeliveryDone; err != nil {
		at.Status, at.Error = apikey.DeliveryFailed, err.Error()
		if errors.Is(err, ErrMayHaveArrived) {
			at.Status = apikey.DeliveryUnknown
		}
		d.failed[i] = &DeliveryError{to.Name(), err}
	}
	if len(d.done.Rotation.Deliveries) > 1 && !errors.Is(d.unnoted, ErrTakenOver) { // a single one is recorded at the end of the rotation
		d.unnoted = errors.Join(d.unnoted, d.g.noteDelivery(ctx, &d.done.Rotation, *at))
	}
}

// checkOwner returns an error if another process has taken over the rotation.
func (g *Registrar) checkOwner(ctx context.Context, rotation *apikey.Rotation) error {
	rotations, err := g.Registry.Rotations(ctx, rotation.Old)
	if err != nil {
		return err
	}
	return checkOwns(rotation, rotations)
}

func checkOwns(rotation *apikey.Rotation, rotations []apikey.Rotation) error {
	if slices.ContainsFunc(rotations, func(r apikey.Rotation) bool { return r.Open() && r.New == rotation.New }) {
		return nil
	}
	return &KeyError{rotation.Old, fmt.Errorf("%w, and revokes %s", ErrTakenOver, rotation.New)}
}

// DeliveryError is a destination that does not have the new key, as far as known.
type DeliveryError struct {
	Destination string
	Err         error
}

func (e *DeliveryError) Error() string {
	return fmt.Sprintf("%s to %s: %s", ErrNotDelivered, e.Destination, e.Err)
}

func (e *DeliveryError) Unwrap() []error { return []error{ErrNotDelivered, e.Err} }

// noteDelivery records the progress of the deliveries, and renews the lease, even if the
// deliveries were cancelled.
func (g *Registrar) noteDelivery(ctx context.Context, rotation *apikey.Rotation, last apikey.Delivery) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deliveryWait)
	defer cancel()
	rotation.Phase, rotation.LeasedUntil = apikey.PhaseDelivering, g.now().Add(lease)
	return g.continueRotation(ctx, *rotation, func(tx apikey.Tx, _, next apikey.Record) error {
		event := g.event(apikey.ActionDeliver, last.Destination+": "+string(last.Status))
		return errors.Join(tx.Put(event, next), tx.PutRotation(*rotation))
	})
}
