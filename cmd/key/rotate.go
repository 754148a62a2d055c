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
)

type rotateOptions struct {
	bulkFlags
	usage.DestinationFlags
	overlap     string
	compromised bool
	keep        bool
	resume      bool
	force       bool
	quiet       bool
	json        bool
}

func newRotateCmd(a *app.App) *cobra.Command {
	var opts rotateOptions
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
			return runRotate(cmd.Context(), a, opts)
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

func runRotate(ctx context.Context, a *app.App, opts rotateOptions) error {
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
	run := &rotation{a: a, g: g, opts: opts, overlap: overlap}
	records, err := run.selectKeys(ctx)
	if err != nil || len(records) == 0 {
		return err
	}
	run.isBulk = len(records) > 1
	if err := run.findDestinations(ctx, records); err != nil {
		return err
	}
	if opts.dryRun {
		run.printPlan(records)
		return nil
	}
	defer cli.OutliveBrokenPipe()()
	return run.rotateAll(ctx, records)
}

// rotation is one run of 'fob key rotate'.
type rotation struct {
	a       *app.App
	g       *keys.Registrar
	opts    rotateOptions
	overlap time.Duration
	phases  map[string]apikey.Phase // how far the resumed rotations came, by the old key
	dests   map[string][]destination.Destination
	isBulk  bool
	bar     *cli.Progress

	done, before int // rotated now, and by an earlier run
	last         keys.Rotated
	failed       cli.Failures
}

// selectKeys returns the keys to rotate; there may be none to resume.
func (run *rotation) selectKeys(ctx context.Context) (records []apikey.Record, err error) {
	if run.opts.resume {
		records, run.phases, err = run.g.Unfinished(ctx, run.opts.ids)
		if err == nil && len(records) == 0 {
			run.a.Note("No rotation of those stopped on the way.")
		}
		return records, err
	}
	selected, err := run.opts.selectKeys(ctx, run.a, run.g, "rotate")
	if err != nil {
		return nil, err
	}
	records = selected
	if len(run.opts.ids) == 0 { // leave out what an earlier run of the same command has made
		if records, err = run.g.StillToRotate(ctx, selected, run.opts.compromised); err != nil {
			return nil, err
		}
	}
	if skipped := len(selected) - len(records); skipped > 0 {
		run.a.Note("%s left alone: a rotation has just made them. Name them by their ids to rotate them too.", cli.Plural(skipped, "key is", "keys are"))
	}
	return records, run.opts.confirm(ctx, run.a, records, "rotate")
}

// findDestinations reads all destinations of all keys before the first key is rotated.
func (run *rotation) findDestinations(ctx context.Context, records []apikey.Record) error {
	if len(run.opts.To) > 0 && run.isBulk {
		return cli.WithHint(cli.Usagef("--to is for one key, and %d are meant", len(records)), "each of several keys goes to its own destinations: 'fob key show ID'")
	}
	run.dests = make(map[string][]destination.Destination)
	for _, r := range records {
		var rotations []apikey.Rotation
		var err error
		if run.opts.resume {
			if rotations, err = run.g.Registry.Rotations(ctx, r.ID); err != nil {
				return err
			}
		}
		names := append(delivery.DeliveredNames(r, rotations), run.opts.To...)
		if run.dests[r.ID], err = delivery.KeyDestinations(run.a, names, run.opts.As, r.Environment); err != nil {
			return fmt.Errorf("key %s: %w", r.ID, err)
		}
		if run.opts.quiet && len(names) == 0 {
			return cli.WithHint(cli.Usagef("key %s has no destination: with --quiet nobody would have the new one", r.ID), "name one with --to, or leave --quiet out")
		}
	}
	return nil
}

// printPlan notes what would be done, and where each new key would go.
func (run *rotation) printPlan(records []apikey.Record) {
	for _, r := range records {
		where := ""
		if names := delivery.DestinationNames(run.dests[r.ID]); len(names) > 0 {
			where = ", and deliver the new one to " + strings.Join(cli.InertRow(names...), ", ")
		}
		switch phase, resumed := run.phases[r.ID]; {
		case phase == apikey.PhaseChecked:
			run.a.Note("would end %s: its successor is everywhere.", appkeys.Text(r))
		case resumed:
			run.a.Note("would resume the rotation of %s, which came to %s%s.", appkeys.Text(r), phase, where)
		default:
			printPlan(run.a, "rotate", r, where)
		}
	}
}

// rotateAll rotates the keys one by one. A failed delivery does not stop the others;
// whatever else fails ends the run.
func (run *rotation) rotateAll(ctx context.Context, records []apikey.Record) error {
	run.bar = run.a.NewProgress("rotating", int64(len(records)))
	defer run.bar.End()
	for _, r := range records {
		if err := run.rotate(ctx, r); err != nil {
			run.bar.End()
			if !run.isBulk {
				return err
			}
			return interruptedError(ctx, run.a, err, fmt.Sprintf("%d of %d keys were rotated", run.done, len(records)), "run it again: keys that have a successor are left alone")
		}
		run.bar.At(int64(run.done+run.before), "")
	}
	run.bar.End()
	run.printSummary()
	return run.failed.Err()
}

func (run *rotation) rotate(ctx context.Context, r apikey.Record) error {
	opts := keys.RotateOptions{Overlap: run.overlap, Compromised: run.opts.compromised, KeepUntilDelivered: run.opts.keep, Force: run.opts.force}
	for _, d := range run.dests[r.ID] {
		opts.To = append(opts.To, delivery.DestinationOfKeys(d))
	}
	if !run.opts.quiet {
		opts.Last = &delivery.StdoutDestination{A: run.a, Bar: run.bar, Many: run.isBulk, JSON: run.opts.json}
	}
	rotated, err := run.g.Rotate(ctx, r.ID, opts)
	run.bar.End()
	delivery.NoteDeliveries(run.a, rotated)
	switch {
	case errors.Is(err, keys.ErrRotated) && run.isBulk:
		run.before++
		return nil
	case err == nil:
		run.done++
		run.last = rotated
		if !run.isBulk {
			run.a.Note("Key %s replaces %s. %s%s", appkeys.Text(rotated.New), r.ID, run.shownOnce("It is"), endOfOld("The old key", "has", "ends", rotated))
		}
		return nil
	}
	isUnprinted := slices.ContainsFunc(rotated.Failed, func(e *keys.DeliveryError) bool { return e.Destination == delivery.StdoutName })
	if run.isBulk && isUnprinted && !run.opts.compromised && !rotated.Rotation.Arrived() {
		return err // stdout is closed
	}
	err = delivery.DeliveryErrors(err, rotated, run.opts.compromised && !run.opts.keep)
	var failures cli.Failures
	if errors.As(err, &failures) && run.isBulk && !isUnprinted && ctx.Err() == nil {
		run.failed = append(run.failed, failures...)
		return nil
	}
	return err
}

func (run *rotation) printSummary() {
	switch {
	case run.isBulk && run.done == 1:
		run.a.Note("Rotated 1 key. %s%s", run.shownOnce("It is"), endOfOld("The old key", "has", "ends", run.last))
	case run.isBulk && run.done > 1:
		run.a.Note("Rotated %d keys. %s%s", run.done, run.shownOnce("They are"), endOfOld("The old keys", "have", "end", run.last))
	}
	if run.before > 0 {
		run.a.Note("%s rotated before.", cli.Plural(run.before, "key was", "keys were"))
	}
}

func (run *rotation) shownOnce(subject string) string {
	return cli.TextIf(!run.opts.quiet, subject+" not shown again. ")
}

// endOfOld says when the old key ends, with the verbs for one or several.
func endOfOld(subject, has, ends string, rotated keys.Rotated) string {
	if rotated.Rotation.Phase == apikey.PhaseRetired {
		return subject + " " + has + " ended."
	}
	return subject + " " + ends + " in " + cli.Roughly(rotated.Rotation.DueAt.Sub(rotated.Rotation.ArrivedAt)) + "."
}
