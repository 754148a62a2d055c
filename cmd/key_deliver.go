package cmd

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/destination"
	"github.com/fobcli/fob/internal/httpclient"
	"github.com/fobcli/fob/internal/registrar"
)

// keyDestination delivers keys to a destination of any credentials.
type keyDestination struct{ destination.Destination }

func destinationOfKeys(d destination.Destination) registrar.Destination { return keyDestination{d} }

// Deliver implements registrar.Destination.
func (d keyDestination) Deliver(ctx context.Context, key apikey.Minted, _ apikey.Record) error {
	err := d.Destination.Deliver(ctx, key.Key)
	if mayHaveArrived(err) {
		return fmt.Errorf("%w; %w", err, registrar.ErrMayHaveArrived)
	}
	return err
}

// mayHaveArrived reports a delivery that was cut short, or whose answer was lost.
func mayHaveArrived(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, httpclient.ErrUnavailable)
}

// stdoutName is what a rotation calls the user who runs fob.
const stdoutName = "stdout"

// stdoutDestination delivers a successor to whoever runs fob.
type stdoutDestination struct {
	a          *app
	bar        *progress
	many, json bool
}

func (*stdoutDestination) Name() string { return stdoutName }

func (d *stdoutDestination) Deliver(_ context.Context, key apikey.Minted, r apikey.Record) error {
	d.bar.end()
	if d.many && !d.json {
		return d.a.stdout.printf("%s %s\n", r.Predecessor, key.Key.Reveal())
	}
	return d.a.printNewKey(key, r, d.json)
}

// keyDestinations reads where a key is to go, and refuses what would not take a key of
// this form: all before there is a key.
func (a *app) keyDestinations(names, as []string, environment string) ([]destination.Destination, error) {
	to, err := a.destinations(names, as)
	if err != nil || len(to) == 0 {
		return nil, err
	}
	format, err := a.keyFormat()
	if err != nil {
		return nil, err
	}
	like, err := apikey.Mint(format.Brand, environment)
	if err != nil {
		return nil, err
	}
	return to, destination.CheckAll(to, like.Key)
}

// deliveredNames are where a key and its rotations were delivered, but for stdout.
func deliveredNames(r apikey.Record, rotations []apikey.Rotation) []string {
	names := slices.Clone(r.Destinations)
	for _, rotation := range rotations {
		for _, d := range rotation.Deliveries {
			if d.Destination != stdoutName && !slices.Contains(names, d.Destination) {
				names = append(names, d.Destination)
			}
		}
	}
	return names
}

// notDelivered are the failures of a rotation, each with its hint, and what they leave.
func notDelivered(err error, rotated registrar.Rotated, revoking bool) error {
	if len(rotated.Failed) == 0 {
		return err
	}
	var failed failures
	for _, one := range rotated.Failed {
		failed = append(failed, one)
	}
	old, next := rotated.Old.ID, rotated.New.ID
	printed := slices.ContainsFunc(rotated.Rotation.Deliveries, func(d apikey.Delivery) bool {
		return d.Destination == stdoutName && d.Status == apikey.DeliveryDone
	})
	var left error
	switch ended := rotated.Rotation.Phase == apikey.PhaseRetired; {
	case ended && printed:
		left = withHint(leftf("key %s has ended; its successor %s is not everywhere", old, next),
			"bring the key that was printed there: 'fob key push %s <FILE', with --to for some alone", next)
	case ended:
		left = withHint(leftf("key %s has ended, and its successor %s was not printed", old, next),
			"'fob key rotate %s --compromised' makes another and delivers that", next)
	case rotated.Rotation.Arrived():
		left = withHint(leftf("key %s is valid as before, and so is %s where it arrived or may have", old, next),
			"mend what is named above, then 'fob key rotate --resume %s' brings another successor everywhere", old)
	case revoking:
		left = withHint(leftf("key %s ends within 30 s, and has no successor", old), "make one by hand: 'fob key create'")
	default:
		left = withHint(leftf("key %s is valid as before", old), "mend what is named above, then run it again")
	}
	return append(failed, left)
}
