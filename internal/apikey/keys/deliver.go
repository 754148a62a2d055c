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

// ErrMayHaveArrived is a delivery that was cut short, or whose answer was lost.
var ErrMayHaveArrived = errors.New("it may have arrived all the same")

// Destination is where a successor is delivered. Deliver's error is ErrMayHaveArrived
// where it does not know: then the successor is not revoked before another is there.
type Destination interface {
	Name() string
	Deliver(ctx context.Context, key apikey.Minted, r apikey.Record) error
}

const (
	// maxDeliveries is how many are under way at once.
	maxDeliveries = 10
	// deliveryWait is how long one may take. It is well below the lease, which each
	// that is done renews.
	deliveryWait = 20 * time.Second
	// compromisedWait is how long all may take where the old key must end.
	compromisedWait = compromisedEnd - 5*time.Second
)

// deliverAll brings the successor to all destinations, and notes each step. All are
// tried, whatever fails.
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
			return nil // the others go on
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
	failed []*DeliveryError // by destination; nil: it arrived

	mu      sync.Mutex // guards what follows, and has one note at a time
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
	if len(d.done.Rotation.Deliveries) > 1 { // the end of the rotation notes the only one
		d.unnoted = errors.Join(d.unnoted, d.g.noteDelivery(ctx, &d.done.Rotation, *at))
	}
}

// checkOwner refuses to go on with a rotation that another fob has taken over.
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

// DeliveryError is a destination that does not have the successor, as far as fob knows.
type DeliveryError struct {
	Destination string
	Err         error
}

func (e *DeliveryError) Error() string {
	return fmt.Sprintf("%s to %s: %s", ErrNotDelivered, e.Destination, e.Err)
}

func (e *DeliveryError) Unwrap() []error { return []error{ErrNotDelivered, e.Err} }

// noteDelivery records how far the deliveries have come, and renews the lease. What
// ends the deliveries does not end it.
func (g *Registrar) noteDelivery(ctx context.Context, rotation *apikey.Rotation, last apikey.Delivery) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deliveryWait)
	defer cancel()
	rotation.Phase, rotation.LeasedUntil = apikey.PhaseDelivering, g.now().Add(lease)
	return g.continueRotation(ctx, *rotation, func(tx apikey.Tx, _, next apikey.Record) error {
		event := g.event(apikey.ActionDeliver, last.Destination+": "+string(last.Status))
		return errors.Join(tx.Put(event, next), tx.PutRotation(*rotation))
	})
}
