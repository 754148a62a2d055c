package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keys"
	"github.com/fobcli/fob/internal/app"
	appkeys "github.com/fobcli/fob/internal/app/keys"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/destination"
	"github.com/fobcli/fob/internal/httpclient"
	"github.com/fobcli/fob/internal/sanitize"
)

type newKeyJSONLine struct {
	Key string `json:"key"`
	appkeys.JSON
	Replaces string `json:"replaces,omitempty"`
}

// PrintNewKey prints a key, the whole line at once.
func PrintNewKey(a *app.App, key apikey.Minted, r apikey.Record, asJSON bool) error {
	if asJSON {
		return a.PrintLine(newKeyJSONLine{Key: key.Key.Reveal(), JSON: appkeys.NewJSON(r, a.Now()), Replaces: r.Predecessor})
	}
	return a.Out.Printf("%s\n", key.Key.Reveal())
}

type keyDestination struct{ destination.Destination }

// DestinationOfKeys returns a destination of keys.
func DestinationOfKeys(d destination.Destination) keys.Destination { return keyDestination{d} }

// Deliver implements keys.Destination.
func (d keyDestination) Deliver(ctx context.Context, key apikey.Minted, _ apikey.Record) error {
	err := d.Destination.Deliver(ctx, key.Key)
	if MayHaveArrived(err) {
		return fmt.Errorf("%w; %w", err, keys.ErrMayHaveArrived)
	}
	return err
}

// MayHaveArrived reports whether a failed delivery may have succeeded: it was interrupted, or
// its response was lost.
func MayHaveArrived(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, httpclient.ErrUnavailable)
}

// StdoutName is the name of stdout among the destinations of a rotation.
const StdoutName = "stdout"

// StdoutDestination prints the new key of a rotation.
type StdoutDestination struct {
	A          *app.App
	Bar        *cli.Progress
	Many, JSON bool
}

// Name implements keys.Destination.
func (*StdoutDestination) Name() string { return StdoutName }

// Deliver implements keys.Destination.
func (d *StdoutDestination) Deliver(_ context.Context, key apikey.Minted, r apikey.Record) error {
	d.Bar.End()
	if d.Many && !d.JSON {
		return d.A.Out.Printf("%s %s\n", r.Predecessor, key.Key.Reveal())
	}
	return PrintNewKey(d.A, key, r, d.JSON)
}

// KeyDestinations parses the names of a key's destinations, recorded in the registry or typed
// by the user, and refuses those that would not take such a key, before it is created.
func KeyDestinations(a *app.App, recorded, typed, as []string, environment string) ([]destination.Destination, error) {
	to, err := destinations(a, recorded, typed, as, false)
	if err != nil || len(to) == 0 {
		return nil, err
	}
	format, err := appkeys.Format(a)
	if err != nil {
		return nil, err
	}
	like, err := apikey.Mint(format.Brand, environment)
	if err != nil {
		return nil, err
	}
	return to, destination.CheckAll(to, like.Key)
}

// DeliveredNames returns the destinations of a key and its rotations, without stdout.
func DeliveredNames(r apikey.Record, rotations []apikey.Rotation) []string {
	names := slices.Clone(r.Destinations)
	for _, rotation := range rotations {
		for _, d := range rotation.Deliveries {
			if d.Destination != StdoutName {
				names = AddNames(names, []string{d.Destination})
			}
		}
	}
	return names
}

// NoteDeliveries notes the destinations that have the new key of a rotation.
func NoteDeliveries(a *app.App, rotated keys.Rotated) {
	for _, d := range rotated.Rotation.Deliveries {
		if d.Status == apikey.DeliveryDone && d.Destination != StdoutName {
			a.Note("Delivered %s to %s.", rotated.New.ID, sanitize.Line(d.Destination))
		}
	}
}

// Errors returns the failed deliveries of a rotation, each with its hint, and the state
// that they leave.
func Errors(err error, rotated keys.Rotated, revoking bool) error {
	if len(rotated.Failed) == 0 {
		return err
	}
	var failed cli.Failures
	for _, one := range rotated.Failed {
		failed = append(failed, one)
	}
	old, next := rotated.Old.ID, rotated.New.ID
	printed := slices.ContainsFunc(rotated.Rotation.Deliveries, func(d apikey.Delivery) bool {
		return d.Destination == StdoutName && d.Status == apikey.DeliveryDone
	})
	var left error
	switch ended := rotated.Rotation.Phase == apikey.PhaseRetired; {
	case ended && printed:
		left = cli.WithHint(cli.Unfinishedf("key %s is revoked, and its replacement %s was not delivered everywhere", old, next),
			"deliver the printed key with 'fob key push %s <FILE', to some destinations only with --to", next)
	case ended:
		left = cli.WithHint(cli.Unfinishedf("key %s is revoked, and its replacement %s was not printed", old, next),
			"run 'fob key rotate %s --compromised' for another replacement", next)
	case rotated.Rotation.Arrived():
		left = cli.WithHint(cli.Unfinishedf("key %s is still valid, and so is %s where it was or may have been delivered", old, next),
			"fix the errors above, then run 'fob key rotate --resume %s' to deliver a new replacement everywhere", old)
	case revoking:
		left = cli.WithHint(cli.Unfinishedf("key %s will be revoked within 30 s, and has no replacement", old), "create one with 'fob key create'")
	default:
		left = cli.WithHint(cli.Unfinishedf("key %s is still valid", old), "fix the errors above, then run it again")
	}
	return append(failed, left)
}
