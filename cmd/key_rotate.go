package cmd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/registrar"
)

type keyRotateOptions struct {
	bulkFlags
	ids         []string
	overlap     string
	compromised bool
	json        bool
}

func newKeyRotateCmd(a *app) *cobra.Command {
	var opts keyRotateOptions
	c := &cobra.Command{
		Use:   "rotate [ID…]",
		Short: "Replace API keys by new ones with the same rights",
		Long: `Make a successor for each key that is named, by its id or by flags that mean many,
and print it on stdout. The old key stays valid for the overlap, so that whoever
uses it can change over; a --compromised one ends at once. Owner, scopes,
environment and metadata stay, and a lifetime begins anew.

For one key, stdout is the new key alone. For several, each line is the old key's
id, a blank and the new key; with --json each line is an object.

Cut short, it is run again: keys that have a successor are left alone. So are keys
that flags mean and a rotation has made within 12 hours; to rotate those, name them.

` + exitHelp(exitDone, exitFailed, exitUsage, exitUnavailable, exitStorage, exitLockTimeout, exitInterrupted),
		Example: `  fob key rotate 1OOivdDZfQCU --overlap 7d
  fob key rotate 1OOivdDZfQCU --compromised
  fob key rotate --owner billing --env live --dry-run`,
		Args:              keyIDs(0),
		ValidArgsFunction: a.completeKeyIDs,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.ids = args
			return runKeyRotate(cmd.Context(), a, opts)
		},
	}
	opts.register(a, c)
	c.Flags().StringVar(&opts.overlap, "overlap", "24h", "how long the old key stays valid beside the new one: a `TIME` as in 24h, 7d, 0s")
	c.Flags().BoolVar(&opts.compromised, "compromised", false, "somebody else has the key: end it at once")
	c.Flags().BoolVar(&opts.json, "json", false, "print JSON, one object a line")
	exclusive(c, "overlap", "compromised")
	return c
}

func runKeyRotate(ctx context.Context, a *app, opts keyRotateOptions) error {
	overlap, err := parseSpan(opts.overlap)
	if err != nil {
		return err
	}
	g, err := a.registrar(ctx, false)
	if err != nil {
		return err
	}
	defer g.Close()
	records, err := opts.meant(ctx, a, g, opts.ids, "rotate", func(all []apikey.Record) ([]apikey.Record, error) {
		return a.stillToRotate(ctx, g, all, opts.compromised)
	})
	if err != nil || records == nil {
		return err
	}
	defer outliveBrokenPipe()()
	bar := a.newProgress("rotating", int64(len(records)))
	defer bar.end()
	var done, before int
	for _, r := range records {
		out := &stdoutDestination{a: a, bar: bar, many: len(records) > 1, json: opts.json}
		rotated, err := g.Rotate(ctx, r.ID, registrar.RotateOptions{Overlap: overlap, Compromised: opts.compromised, To: []registrar.Destination{out}})
		bar.end()
		if errors.Is(err, registrar.ErrRotated) && len(records) > 1 {
			before++
			continue
		}
		if lost := notDelivered(err, rotated, opts.compromised); lost != nil {
			return lost
		}
		if err != nil {
			if len(records) == 1 {
				return err
			}
			return a.cutShort(ctx, err, fmt.Sprintf("%d of %d keys were rotated", done, len(records)), "run it again: keys that have a successor are left alone")
		}
		done++
		if len(records) == 1 {
			a.note("Key %s replaces %s. It is not shown again. %s", keyText(rotated.New), r.ID, endOfOld("The old key", "has", "ends", overlap, opts.compromised))
		}
		bar.at(int64(done+before), "")
	}
	bar.end()
	switch {
	case len(records) > 1 && done == 1:
		a.note("Rotated 1 key. It is not shown again. %s", endOfOld("The old key", "has", "ends", overlap, opts.compromised))
	case done > 1:
		a.note("Rotated %d keys. They are not shown again. %s", done, endOfOld("The old keys", "have", "end", overlap, opts.compromised))
	}
	if before > 0 {
		a.note("%s rotated before.", plural(before, "key was", "keys were"))
	}
	return nil
}

// stillToRotate leaves out what an earlier run of the same command has made.
func (a *app) stillToRotate(ctx context.Context, g *registrar.Registrar, all []apikey.Record, compromised bool) ([]apikey.Record, error) {
	still, err := g.StillToRotate(ctx, all, compromised)
	if left := len(all) - len(still); err == nil && left > 0 {
		a.note("%s left alone: a rotation has just made them. Name them by their ids to rotate them too.", plural(left, "key is", "keys are"))
	}
	return still, err
}

// notDelivered says of a compromised key whose successor did not arrive what that
// leaves: to run it again would not bring it back.
func notDelivered(err error, rotated registrar.Rotated, compromised bool) error {
	if !compromised || rotated.Old.RevokedAt.IsZero() || !errors.Is(err, registrar.ErrNotDelivered) {
		return nil
	}
	return withHint(err, "key %s has ended, and nobody has its successor: 'fob key rotate %s --compromised' makes another",
		rotated.Old.ID, rotated.New.ID)
}

// endOfOld says when the old keys end, with the verbs for one or several.
func endOfOld(what, has, ends string, overlap time.Duration, compromised bool) string {
	if compromised || overlap == 0 {
		return what + " " + has + " ended."
	}
	return what + " " + ends + " in " + roughly(overlap) + "."
}

// stdoutDestination delivers a successor to whoever runs fob.
type stdoutDestination struct {
	a          *app
	bar        *progress
	many, json bool
}

func (*stdoutDestination) Name() string { return "stdout" }

func (d *stdoutDestination) Deliver(_ context.Context, key apikey.Minted, r apikey.Record) error {
	d.bar.end()
	if d.many && !d.json {
		_, err := fmt.Fprintln(d.a.stdout, r.Predecessor, key.Key.Reveal())
		return err
	}
	return d.a.printNewKey(key, r, d.json)
}
