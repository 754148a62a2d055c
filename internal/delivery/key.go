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

// newKeyJSONLine is a key on the one occasion that it is shown.
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

// keyDestination delivers keys to a destination of any credentials.
type keyDestination struct{ destination.Destination }

// DestinationOfKeys delivers keys to a destination of any credentials.
func DestinationOfKeys(d destination.Destination) keys.Destination { return keyDestination{d} }

// Deliver implements keys.Destination.
func (d keyDestination) Deliver(ctx context.Context, key apikey.Minted, _ apikey.Record) error {
	err := d.Destination.Deliver(ctx, key.Key)
	if MayHaveArrived(err) {
		return fmt.Errorf("%w; %w", err, keys.ErrMayHaveArrived)
	}
	return err
}

// MayHaveArrived reports a delivery that was cut short, or whose answer was lost.
func MayHaveArrived(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, httpclient.ErrUnavailable)
}

// StdoutName is what a rotation calls the user who runs fob.
const StdoutName = "stdout"

// StdoutDestination delivers a successor to whoever runs fob.
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

// KeyDestinations reads where a key is to go, and refuses what would not take a key of
// this form: all before there is a key.
func KeyDestinations(a *app.App, names, as []string, environment string) ([]destination.Destination, error) {
	to, err := Destinations(a, names, as)
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

// DeliveredNames are where a key and its rotations were delivered, but for stdout.
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

// DeliveryErrors returns the failed deliveries of a rotation, each with its hint, and what
// they leave behind.
func DeliveryErrors(err error, rotated keys.Rotated, revoking bool) error {
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
		left = cli.WithHint(cli.Unfinishedf("key %s has ended; its successor %s is not everywhere", old, next),
			"bring the key that was printed there: 'fob key push %s <FILE', with --to for some alone", next)
	case ended:
		left = cli.WithHint(cli.Unfinishedf("key %s has ended, and its successor %s was not printed", old, next),
			"'fob key rotate %s --compromised' makes another and delivers that", next)
	case rotated.Rotation.Arrived():
		left = cli.WithHint(cli.Unfinishedf("key %s is valid as before, and so is %s where it arrived or may have", old, next),
			"mend what is named above, then 'fob key rotate --resume %s' brings another successor everywhere", old)
	case revoking:
		left = cli.WithHint(cli.Unfinishedf("key %s ends within 30 s, and has no successor", old), "make one by hand: 'fob key create'")
	default:
		left = cli.WithHint(cli.Unfinishedf("key %s is valid as before", old), "mend what is named above, then run it again")
	}
	return append(failed, left)
}
