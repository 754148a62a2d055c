package destination

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fobcli/fob/internal/secret"
)

const (
	// maxDeliveries is how many are under way at once.
	maxDeliveries = 10
	// deliveryWait is how long one may take.
	deliveryWait = 20 * time.Second
)

// CheckAll refuses a value that one of the destinations would not take.
func CheckAll(to []Destination, value secret.Secret) error {
	for _, d := range to {
		if err := d.Check(value); err != nil {
			return &Error{d.Name(), err}
		}
	}
	return nil
}

// DeliverAll delivers a value to all destinations, several at a time, and returns what
// became of each, in their order. All are tried, whatever fails.
func DeliverAll(ctx context.Context, to []Destination, value secret.Secret) []error {
	failed := make([]error, len(to))
	var group errgroup.Group
	group.SetLimit(maxDeliveries)
	for i, d := range to {
		group.Go(func() error {
			bounded, cancel := context.WithTimeout(ctx, deliveryWait)
			defer cancel()
			err := ctx.Err()
			if err == nil {
				err = d.Deliver(bounded, value)
			}
			if err != nil {
				failed[i] = &Error{d.Name(), err}
			}
			return nil // the others go on
		})
	}
	_ = group.Wait()
	return failed
}

// Error is a destination that does not have the value, as far as is known.
type Error struct {
	Destination string
	Err         error
}

func (e *Error) Error() string { return "not delivered to " + e.Destination + ": " + e.Err.Error() }

// Unwrap lets every such error be ErrNotDelivered.
func (e *Error) Unwrap() []error { return []error{ErrNotDelivered, e.Err} }
