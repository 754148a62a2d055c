package key

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/complete"
	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keys"
	"github.com/fobcli/fob/internal/app"
	appkeys "github.com/fobcli/fob/internal/app/keys"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/delivery"
	"github.com/fobcli/fob/internal/destination"
	"github.com/fobcli/fob/internal/sanitize"
)

type keyRotateOptions struct {
	bulkFlags
	usage.DestinationFlags
	ids         []string
	overlap     string
	compromised bool
	keep        bool
	resume      bool
	force       bool
	quiet       bool
	json        bool
}

func newKeyRotateCmd(a *app.App) *cobra.Command {
	var opts keyRotateOptions
	c := &cobra.Command{
		Use:   "rotate [ID…]",
		Short: "Replace API keys by new ones with the same rights",
		Long: `Make a successor for each key that is named, by its id or by flags; bring it to
all of the key's destinations, and print it: for several keys behind the old
key's id. The old key stays valid for the overlap, but for a --compromised one,
which ends within 30 s. If a delivery fails, the old key stays as it is.

Cut short, it is run again: what has its successor is left alone, also what a
rotation has made within 12 hours. --resume takes up what stopped on the way.

` + usage.ExitHelp(cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitUnavailable, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitInterrupted),
		Example: `  fob key rotate 1OOivdDZfQCU --overlap 7d
  fob key rotate 1OOivdDZfQCU --compromised
  fob key rotate --owner billing --env live --dry-run
  fob key rotate --resume`,
		Args:              usage.KeyIDs(0),
		ValidArgsFunction: complete.New(a).KeyIDs,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.ids = args
			return runKeyRotate(cmd.Context(), a, opts)
		},
	}
	opts.register(a, c)
	opts.Register(c, "bring the new key here as well")
	c.Flags().StringVar(&opts.overlap, "overlap", "24h", "a `TIME` for which both are valid")
	c.Flags().BoolVar(&opts.compromised, "compromised", false, "somebody else has the key: end it at once")
	c.Flags().BoolVar(&opts.keep, "keep-until-delivered", false, "end it only once the new one is everywhere")
	c.Flags().BoolVar(&opts.resume, "resume", false, "take up what stopped on the way")
	c.Flags().BoolVar(&opts.force, "force", false, "end the old key although it is still used")
	c.Flags().BoolVarP(&opts.quiet, "quiet", "q", false, "do not print the new key")
	c.Flags().BoolVar(&opts.json, "json", false, "print JSON, one object a line")
	usage.Exclusive(c, "overlap", "compromised")
	usage.Exclusive(c, "to", "resume")
	return c
}

func runKeyRotate(ctx context.Context, a *app.App, opts keyRotateOptions) error {
	overlap, err := cli.ParseSpan(opts.overlap)
	if err != nil {
		return err
	}
	if opts.keep && !opts.compromised && !opts.resume {
		return cli.WithHint(cli.Usagef("--keep-until-delivered goes with --compromised"), "any other key is kept until then as it is")
	}
	g, err := appkeys.Open(ctx, a, false)
	if err != nil {
		return err
	}
	defer g.Close()
	appkeys.FoldUses(ctx, a, g)
	run := &keyRotation{a: a, g: g, opts: opts, overlap: overlap}
	records, err := run.selectKeys(ctx)
	if err != nil || records == nil {
		return err
	}
	run.many = len(records) > 1
	if run.to, err = rotationDestinations(ctx, a, g, records, opts); err != nil {
		return err
	}
	if opts.dryRun {
		run.printPlan(records)
		return nil
	}
	defer cli.OutliveBrokenPipe()()
	return run.rotateAll(ctx, records)
}

// selectKeys are the keys that are to be rotated.
func (run *keyRotation) selectKeys(ctx context.Context) ([]apikey.Record, error) {
	if run.opts.resume {
		return run.stoppedKeys(ctx)
	}
	return run.opts.selectKeys(ctx, run.a, run.g, run.opts.ids, "rotate", func(all []apikey.Record) ([]apikey.Record, error) {
		return skipRotated(ctx, run.a, run.g, all, run.opts.compromised)
	})
}

// stoppedKeys are those whose rotation stopped on the way; none is an answer, too.
func (run *keyRotation) stoppedKeys(ctx context.Context) ([]apikey.Record, error) {
	open, err := run.g.Registry.OpenRotations(ctx)
	if err != nil {
		return nil, err
	}
	var records []apikey.Record
	run.stopped = make(map[string]apikey.Phase)
	for _, rotation := range open {
		if len(run.opts.ids) > 0 && !slices.Contains(run.opts.ids, rotation.Old) {
			continue
		}
		some, err := appkeys.Select(ctx, run.a, run.g, apikey.Filter{IDs: []string{rotation.Old}})
		if err != nil {
			return nil, err
		}
		records = append(records, some...)
		run.stopped[rotation.Old] = rotation.Phase
	}
	if len(records) == 0 {
		run.a.Note("No rotation of those stopped on the way.")
	}
	return records, nil
}

// rotationDestinations parses all destinations of all keys before the first key is rotated.
func rotationDestinations(ctx context.Context, a *app.App, g *keys.Registrar, records []apikey.Record, opts keyRotateOptions) (map[string][]destination.Destination, error) {
	if len(opts.To) > 0 && len(records) > 1 {
		return nil, cli.WithHint(cli.Usagef("--to is for one key, and %d are meant", len(records)), "each of several keys goes to its own destinations: 'fob key show ID'")
	}
	where := make(map[string][]destination.Destination)
	for _, r := range records {
		var rotations []apikey.Rotation
		var err error
		if opts.resume {
			if rotations, err = g.Registry.Rotations(ctx, r.ID); err != nil {
				return nil, err
			}
		}
		names := append(delivery.DeliveredNames(r, rotations), opts.To...)
		if where[r.ID], err = delivery.KeyDestinations(a, names, opts.As, r.Environment); err != nil {
			return nil, fmt.Errorf("key %s: %w", r.ID, err)
		}
		if opts.quiet && len(names) == 0 {
			return nil, cli.WithHint(cli.Usagef("key %s has no destination: with --quiet nobody would have the new one", r.ID), "name one with --to, or leave --quiet out")
		}
	}
	return where, nil
}

// keyRotation is one run of 'fob key rotate'.
type keyRotation struct {
	a       *app.App
	g       *keys.Registrar
	opts    keyRotateOptions
	overlap time.Duration
	stopped map[string]apikey.Phase // how far those came that are resumed, by the old key
	to      map[string][]destination.Destination
	many    bool
	bar     *cli.Progress

	done, before int
	last         keys.Rotated
	failed       cli.Failures
}

// printPlan says what would be done, and where each successor would go.
func (run *keyRotation) printPlan(records []apikey.Record) {
	for _, r := range records {
		where := ""
		if names := delivery.DestinationNames(run.to[r.ID]); len(names) > 0 {
			where = ", and deliver the new one to " + strings.Join(cli.InertRow(names...), ", ")
		}
		switch phase, stopped := run.stopped[r.ID]; {
		case phase == apikey.PhaseChecked:
			run.a.Note("would end %s: its successor is everywhere.", appkeys.Text(r))
		case stopped:
			run.a.Note("would resume the rotation of %s, which came to %s%s.", appkeys.Text(r), phase, where)
		default:
			printKeyPlan(run.a, "rotate", r, where)
		}
	}
}

// rotateAll rotates the keys one after the other. A failed delivery does not stop the
// others; any other error does.
func (run *keyRotation) rotateAll(ctx context.Context, records []apikey.Record) error {
	run.bar = run.a.NewProgress("rotating", int64(len(records)))
	defer run.bar.End()
	for _, r := range records {
		if err := run.rotateKey(ctx, r); err != nil {
			run.bar.End()
			if !run.many {
				return err
			}
			return interruptedError(ctx, run.a, err, fmt.Sprintf("%d of %d keys were rotated", run.done, len(records)), "run it again: keys that have a successor are left alone")
		}
		run.bar.At(int64(run.done+run.before), "")
	}
	run.bar.End()
	run.noteResult()
	return run.failed.Err()
}

func (run *keyRotation) rotateKey(ctx context.Context, r apikey.Record) error {
	opts := keys.RotateOptions{Overlap: run.overlap, Compromised: run.opts.compromised, KeepUntilDelivered: run.opts.keep, Force: run.opts.force}
	for _, d := range run.to[r.ID] {
		opts.To = append(opts.To, delivery.DestinationOfKeys(d))
	}
	if !run.opts.quiet {
		opts.Last = &delivery.StdoutDestination{A: run.a, Bar: run.bar, Many: run.many, JSON: run.opts.json}
	}
	rotated, err := run.g.Rotate(ctx, r.ID, opts)
	run.bar.End()
	run.noteDeliveries(rotated)
	switch {
	case errors.Is(err, keys.ErrRotated) && run.many:
		run.before++
		return nil
	case err == nil:
		run.done++
		run.last = rotated
		if !run.many {
			run.a.Note("Key %s replaces %s. %s%s", appkeys.Text(rotated.New), r.ID, run.shownOnceText("It is"), oldKeyEndText("The old key", "has", "ends", rotated))
		}
		return nil
	}
	lost := slices.ContainsFunc(rotated.Failed, func(e *keys.DeliveryError) bool { return e.Destination == delivery.StdoutName })
	if run.many && lost && !run.opts.compromised && !rotated.Rotation.Arrived() {
		return err // nobody reads on
	}
	err = delivery.DeliveryErrors(err, rotated, run.opts.compromised && !run.opts.keep)
	var places cli.Failures
	if errors.As(err, &places) && run.many && !lost && ctx.Err() == nil {
		run.failed = append(run.failed, places...)
		return nil
	}
	return err
}

// noteDeliveries says where a successor has arrived.
func (run *keyRotation) noteDeliveries(rotated keys.Rotated) {
	for _, d := range rotated.Rotation.Deliveries {
		if d.Status == apikey.DeliveryDone && d.Destination != delivery.StdoutName {
			run.a.Note("Delivered %s to %s.", rotated.New.ID, sanitize.Line(d.Destination))
		}
	}
}

func (run *keyRotation) noteResult() {
	switch {
	case run.many && run.done == 1:
		run.a.Note("Rotated 1 key. %s%s", run.shownOnceText("It is"), oldKeyEndText("The old key", "has", "ends", run.last))
	case run.many && run.done > 1:
		run.a.Note("Rotated %d keys. %s%s", run.done, run.shownOnceText("They are"), oldKeyEndText("The old keys", "have", "end", run.last))
	}
	if run.before > 0 {
		run.a.Note("%s rotated before.", cli.Plural(run.before, "key was", "keys were"))
	}
}

func (run *keyRotation) shownOnceText(subject string) string {
	if run.opts.quiet {
		return ""
	}
	return subject + " not shown again. "
}

// skipRotated removes the keys that an earlier run of the same command has created.
func skipRotated(ctx context.Context, a *app.App, g *keys.Registrar, all []apikey.Record, compromised bool) ([]apikey.Record, error) {
	still, err := g.StillToRotate(ctx, all, compromised)
	if left := len(all) - len(still); err == nil && left > 0 {
		a.Note("%s left alone: a rotation has just made them. Name them by their ids to rotate them too.", cli.Plural(left, "key is", "keys are"))
	}
	return still, err
}

// oldKeyEndText says when the old key expires, with the verbs for one key or several.
func oldKeyEndText(what, has, ends string, rotated keys.Rotated) string {
	if rotated.Rotation.Phase == apikey.PhaseRetired {
		return what + " " + has + " ended."
	}
	return what + " " + ends + " in " + cli.Roughly(rotated.Rotation.DueAt.Sub(rotated.Rotation.ArrivedAt)) + "."
}
