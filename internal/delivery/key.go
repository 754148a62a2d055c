package delivery

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keys"
	"github.com/fobcli/fob/internal/app"
	appkeys "github.com/fobcli/fob/internal/app/keys"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/destination"
	"github.com/fobcli/fob/internal/httpclient"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/secret"
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

// Deliver implements keys.Destination.
func (d keyDestination) Deliver(ctx context.Context, key apikey.Minted, r apikey.Record) error {
	deliver := d.Destination.Deliver
	if replacer, ok := d.Destination.(destination.Replacer); ok && r.Predecessor != "" {
		deliver = func(ctx context.Context, value secret.Secret) error {
			format, _, _ := strings.Cut(value.Reveal(), r.ID)
			return replacer.Replace(ctx, format+r.Predecessor+"_", value)
		}
	}
	err := deliver(ctx, key.Key)
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

// ForRotation returns the destinations of a new key or a replacement. A recorded one that this machine
// cannot deliver to is an error, or, with leaked, fails when its turn comes: it must not keep
// a leaked key valid.
func ForRotation(a *app.App, recorded, typed, as []string, environment string, leaked bool) ([]keys.Destination, error) {
	var all []keys.Destination
	to, err := KeyDestinations(a, recorded, typed, as, environment)
	if err != nil && leaked {
		for _, name := range recorded {
			one, err := KeyDestinations(a, []string{name}, nil, as, environment)
			if err != nil {
				all = append(all, unusable{name, err})
			} else {
				all = append(all, keyDestination{one[0]})
			}
		}
		to, err = KeyDestinations(a, nil, typed, as, environment)
	}
	for _, d := range to {
		all = append(all, keyDestination{d})
	}
	return all, err
}

// unusable is a destination that this machine cannot deliver to.
type unusable struct {
	name string
	err  error
}

func (u unusable) Name() string { return u.name }

func (u unusable) Deliver(context.Context, apikey.Minted, apikey.Record) error { return u.err }

// Unusable returns why this machine cannot deliver to a destination of ForRotation, or nil.
func Unusable(d keys.Destination) error {
	if u, ok := d.(unusable); ok {
		return &destination.Error{Destination: u.name, Err: u.err}
	}
	return nil
}

// NoteDeliveries notes the destinations that have the new key of a rotation.
func NoteDeliveries(a *app.App, rotated keys.Rotated) {
	for _, d := range rotated.Rotation.Deliveries {
		if d.Status == apikey.DeliveryDone && d.Destination != StdoutName {
			a.Note("Delivered %s to %s.", rotated.New.ID, sanitize.Line(d.Destination))
		}
	}
}

// Errors returns the failed deliveries of a rotation, each with its hint, and what they leave
// behind.
func Errors(err error, rotated keys.Rotated) error {
	if len(rotated.Failed) == 0 {
		return err
	}
	var failed cli.Failures
	for _, one := range rotated.Failed {
		failed = append(failed, one)
	}
	old, next, phase := rotated.Old, rotated.New.ID, rotated.Rotation.Phase
	if phase == apikey.PhaseAbandoned {
		return append(failed, cli.WithHint(cli.Unfinishedf("key %s is still valid", old.ID), "fix the errors above, then run it again"))
	}
	left, verb := "", "delivered everywhere"
	if len(rotated.Failed) == 1 && rotated.Failed[0].Destination == StdoutName {
		verb = "printed"
	}
	switch {
	case !old.RevokedAt.IsZero():
		left = fmt.Sprintf("key %s is revoked, and its replacement %s was not %s", old.ID, next, verb)
	case !old.RetiresAt.IsZero():
		left = fmt.Sprintf("key %s will be revoked within 30 s, and its replacement %s was not %s", old.ID, next, verb)
	default:
		left = fmt.Sprintf("key %s is still valid, and so is %s where it was or may have been delivered", old.ID, next)
	}
	hint := fmt.Sprintf("fix the errors above, then run 'fob key rotate --resume %s' to deliver a new replacement everywhere", old.ID)
	for _, d := range rotated.Rotation.Deliveries {
		if d.Destination == StdoutName && d.Status == apikey.DeliveryDone {
			hint += fmt.Sprintf(", or 'fob key push %s <FILE' to deliver the printed one", next)
		}
	}
	return append(failed, cli.WithHint(cli.Unfinishedf("%s", left), "%s", hint))
}
