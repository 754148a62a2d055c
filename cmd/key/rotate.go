package key

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keys"
	"github.com/fobcli/fob/internal/app"
	appkeys "github.com/fobcli/fob/internal/app/keys"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/delivery"
)

type rotateOptions struct {
	bulkFlags
	usage.AsFlag
	usage.AllowFolderFlag
	To          []string `flag:"to" empty:"refused" help:"also deliver the new key to a {DESTINATION}, see 'fob help destinations'; repeatable"`
	Overlap     string   `flag:"overlap" help:"keep the old key valid for this {TIME}"`
	Compromised bool     `flag:"compromised" not:"overlap" help:"treat the key as leaked: revoke it within 30 s"`
	Keep        bool     `flag:"keep-until-delivered" help:"with --compromised: revoke after delivery"`
	Resume      bool     `flag:"resume" not:"to owner env scope state expiring unused" help:"continue unfinished rotations"`
	Force       bool     `flag:"force" help:"take over, and revoke a key that is still used"`
	Quiet       bool     `flag:"quiet,q" help:"do not print the new key"`
	JSON        bool     `flag:"json" help:"print JSON, one object per line"`
}

func newRotateCmd(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "rotate [ID…]",
		Short: "Replace API keys",
		Long: `Create a replacement with the same rights for each key, deliver it to all of the key's
destinations, and print it; for several keys, after the old key's id. The old key
stays valid for the overlap; a --compromised key is revoked within 30 s. If a delivery
fails, the old key is unchanged.

If interrupted, run it again: keys that were rotated in the last 12 hours are skipped.
--resume continues rotations that did not finish.`,
		Example: `  fob key rotate 1OOivdDZfQCU --overlap 7d
  fob key rotate 1OOivdDZfQCU --compromised
  fob key rotate --owner billing --env live --dry-run
  fob key rotate --resume`,
		Args: usage.KeyIDs(0),
	}, rotateOptions{Overlap: "24h"}, runRotate, cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitUnavailable, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitInterrupted)
}

func runRotate(ctx context.Context, a *app.App, args []string, opts rotateOptions) error {
	opts.ids = args
	overlap, err := cli.ParseSpan(opts.Overlap)
	if err != nil {
		return err
	}
	if opts.Keep && !opts.Compromised && !opts.Resume {
		return cli.WithHint(cli.Usagef("--keep-until-delivered needs --compromised"), "remove it: without --compromised, the old key is valid until then anyway")
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
	if records, err = run.findDestinations(records); err != nil {
		return err
	}
	if opts.DryRun {
		run.printPlan(records)
		return run.failed.Err()
	}
	if err := delivery.AllowFolders(ctx, a, opts.To, opts.AllowFolder, !opts.Yes); err != nil {
		return err
	}
	defer cli.OutliveBrokenPipe()()
	return run.rotateAll(ctx, records)
}

type rotation struct {
	a       *app.App
	g       *keys.Registrar
	opts    rotateOptions
	overlap time.Duration
	open    []keys.Unfinished
	dests   map[string][]keys.Destination
	isBulk  bool
	bar     *cli.Progress

	done, before int // rotated now, and by an earlier run
	last         keys.Rotated
	failed       cli.Failures
}

// selectKeys returns the keys to rotate; there may be none to resume.
func (run *rotation) selectKeys(ctx context.Context) (records []apikey.Record, err error) {
	if run.opts.Resume {
		if run.open, err = run.g.Unfinished(ctx, run.opts.ids...); err != nil {
			return nil, err
		}
		for _, u := range run.open {
			records = append(records, u.Old)
		}
		if len(records) == 0 {
			run.a.Note("No unfinished rotations.")
		}
		return records, nil
	}
	matching, err := run.opts.matching(ctx, run.a, run.g, "rotate")
	if err != nil {
		return nil, err
	}
	selected, err := keys.Collect(matching)
	if err != nil {
		return nil, err
	}
	if run.open, err = run.g.Unfinished(ctx); err != nil {
		return nil, err
	}
	records = selected
	if len(run.opts.ids) == 0 { // skip what an earlier run of the same command has created
		if records, err = run.g.StillToRotate(ctx, selected, run.opts.Compromised); err != nil {
			return nil, err
		}
	}
	if skipped := len(selected) - len(records); skipped > 0 {
		run.a.Note("Skipped %s created by a recent rotation; to rotate such keys too, use their ids.", cli.Plural(skipped, "key", "keys"))
	}
	if len(records) == 0 && len(selected) > 0 {
		return nil, nil
	}
	return records, run.opts.confirm(ctx, run.a, records, len(records), "rotate")
}

// findDestinations parses all destinations of all keys before the first key is rotated, and
// returns the keys that have them. To resume, one that fails does not stop the others.
func (run *rotation) findDestinations(records []apikey.Record) (ready []apikey.Record, err error) {
	if len(run.opts.To) > 0 && run.isBulk {
		return nil, cli.WithHint(cli.Usagef("--to delivers one key, and %d are selected", len(records)), "rotate keys with new destinations one by one")
	}
	run.dests = make(map[string][]keys.Destination)
	for _, r := range records {
		u := keys.UnfinishedOf(r.ID, run.open)
		compromised := run.opts.Compromised || u != nil && u.Rotation.Compromised
		if run.dests[r.ID], err = delivery.ForRotation(run.a, keys.Destinations(r, run.open), run.opts.To, run.opts.As, r.Environment, compromised); err != nil {
			err = fmt.Errorf("key %s: %w", r.ID, err)
		} else if run.opts.Quiet && len(run.dests[r.ID]) == 0 {
			err = cli.WithHint(cli.Usagef("key %s has no destination: with --quiet, the new key would be lost", r.ID), "add --to DESTINATION, or remove --quiet")
		}
		switch {
		case err == nil:
			ready = append(ready, r)
		case !run.opts.Resume || !run.isBulk:
			return nil, err
		default:
			run.failed = append(run.failed, err)
		}
	}
	return ready, nil
}

func (run *rotation) printPlan(records []apikey.Record) {
	for _, r := range records {
		where := ""
		names := delivery.DestinationNames(run.dests[r.ID])
		for _, d := range run.dests[r.ID] {
			if err := delivery.Unusable(d); err != nil {
				run.failed = append(run.failed, fmt.Errorf("key %s: %w", r.ID, err))
			}
		}
		if len(names) > 0 {
			where = ", and deliver the new one to " + strings.Join(cli.InertRow(names...), ", ")
		}
		switch u := keys.UnfinishedOf(r.ID, run.open); {
		case u != nil && u.Rotation.Phase == apikey.PhaseChecked:
			run.a.Note("would revoke %s: its replacement is delivered.", appkeys.Text(r))
		case u != nil:
			run.a.Note("would resume the rotation of %s (%s)%s.", appkeys.Text(u.Old), u.Rotation.Phase, where)
		default:
			printPlan(run.a, "rotate", r, where)
		}
	}
}

// rotateAll rotates the keys one by one. A failed delivery does not stop the others; any
// other error ends the run.
func (run *rotation) rotateAll(ctx context.Context, records []apikey.Record) error {
	if run.isBulk && run.opts.Compromised && !run.opts.Keep {
		run.a.Note("Replacing %d keys one by one: each is accepted until its replacement is delivered, at most 30 s after its turn begins.", len(records))
	}
	run.bar = run.a.NewProgress("rotating", int64(len(records)))
	defer run.bar.End()
	for _, r := range records {
		if err := run.rotate(ctx, r); err != nil {
			run.bar.End()
			if !run.isBulk {
				return append(run.failed, cli.FailuresIn(err)...)
			}
			return interruptedError(ctx, run.a, err, fmt.Sprintf("%d of %d keys were rotated", run.done, len(records)), "run it again: rotated keys are skipped")
		}
		run.bar.At(int64(run.done+run.before), "")
	}
	run.bar.End()
	run.printSummary()
	if !run.opts.Resume {
		appkeys.NoteUnfinished(run.a, run.others(records))
	}
	return run.failed.Err()
}

// others returns the unfinished rotations of other keys.
func (run *rotation) others(records []apikey.Record) []keys.Unfinished {
	return slices.DeleteFunc(slices.Clone(run.open), func(u keys.Unfinished) bool {
		return slices.ContainsFunc(records, func(r apikey.Record) bool { return u.Is(r.ID) })
	})
}

func (run *rotation) rotate(ctx context.Context, r apikey.Record) error {
	opts := keys.RotateOptions{Overlap: run.overlap, Compromised: run.opts.Compromised, KeepUntilDelivered: run.opts.Keep, Force: run.opts.Force, To: run.dests[r.ID]}
	if !run.opts.Quiet {
		opts.Last = &delivery.StdoutDestination{A: run.a, Bar: run.bar, Many: run.isBulk, JSON: run.opts.JSON}
	}
	var rotated keys.Rotated
	var err error
	if !run.opts.Compromised && !run.opts.Resume {
		err = delivery.CheckReady(ctx, run.a, delivery.DestinationNames(run.dests[r.ID]), run.opts.As, "key "+r.ID+" is unchanged")
	}
	if err == nil {
		rotated, err = run.g.Rotate(ctx, r.ID, opts)
	}
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
			run.a.Note("Key %s replaces %s. %s%s", appkeys.Text(rotated.New), r.ID, run.shownOnce("It"), oldKeyText("The old key", "is", rotated))
		}
		return nil
	}
	isUnprinted := slices.ContainsFunc(rotated.Failed, func(e *keys.DeliveryError) bool { return e.Destination == delivery.StdoutName })
	if run.isBulk && isUnprinted && !run.opts.Compromised && !rotated.Rotation.Arrived() {
		return err // stdout is closed
	}
	err = delivery.Errors(err, rotated)
	isOfKey := errors.As(err, new(cli.Failures)) || errors.As(err, new(*keys.KeyError)) // others may be rotated
	if !run.isBulk || isUnprinted || ctx.Err() != nil || !isOfKey {
		return err
	}
	run.failed = append(run.failed, cli.FailuresIn(err)...)
	return nil
}

func (run *rotation) printSummary() {
	switch {
	case run.isBulk && run.done == 1:
		run.a.Note("Rotated 1 key. %s%s", run.shownOnce("The new key"), oldKeyText("The old key", "is", run.last))
	case run.isBulk && run.done > 1:
		run.a.Note("Rotated %d keys. %s%s", run.done, run.shownOnce("The new keys"), oldKeyText("The old keys", "are", run.last))
	}
	if run.before > 0 {
		run.a.Note("Skipped %s that had already been rotated.", cli.Plural(run.before, "key", "keys"))
	}
}

func (run *rotation) shownOnce(subject string) string {
	return cli.TextIf(!run.opts.Quiet, subject+" cannot be shown again. ")
}

func oldKeyText(subject, verb string, rotated keys.Rotated) string {
	if rotated.Rotation.Phase == apikey.PhaseRetired {
		return subject + " " + verb + " revoked."
	}
	return subject + " " + verb + " valid for " + cli.Roughly(rotated.Rotation.DueAt.Sub(rotated.Rotation.ArrivedAt)) + "."
}
