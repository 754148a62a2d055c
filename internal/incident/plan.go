package incident

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keys"
	appkeys "github.com/fobcli/fob/internal/app/keys"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/delivery"
	"github.com/fobcli/fob/internal/sanitize"
)

// plan prints what would be done, asks for confirmation, and returns the keys to replace.
func (run *incident) plan(ctx context.Context) (todo []*leakedKey, err error) {
	open, err := run.g.Unfinished(ctx)
	if err != nil {
		return nil, err
	}
	var doubtful []*leakedKey
	for _, k := range run.keys {
		k.open = keys.UnfinishedOf(k.record.ID, open)
		// Those that this machine cannot deliver to do not prevent the revocation.
		k.dests, err = delivery.ForRotation(run.a, keys.Destinations(k.record, open), nil, run.opts.As, k.record.Environment, true)
		if err != nil {
			return nil, err
		}
		run.show(k)
		switch {
		case !k.live(run.a.Now()) && k.open == nil:
		case k.proven(), !k.live(run.a.Now()): // an unfinished replacement is replaced anyway
			todo = append(todo, k)
		default:
			doubtful = append(doubtful, k)
		}
	}
	if run.unknown > 0 {
		run.a.Note("Skipped %s of other registries.", cli.Plural(run.unknown, "key", "keys"))
	}
	if run.opts.DryRun {
		return nil, nil
	}
	run.warnUnready(ctx, slices.Concat(todo, doubtful))
	if len(todo) > 0 && !run.opts.Yes {
		if err := run.confirm(ctx, cli.Plural(len(todo), "live key", "live keys")); err != nil {
			return nil, err
		}
	}
	for _, k := range doubtful {
		err := run.confirm(ctx, "key "+k.record.ID+", which is not proven to be leaked")
		if err != nil && ctx.Err() == nil {
			run.declined++
			k.declined = true
			continue
		}
		if err != nil {
			return nil, err
		}
		todo = append(todo, k)
	}
	return todo, nil
}

// readyWait is how long destinations are asked while a leaked key is accepted.
const readyWait = 5 * time.Second

// warnUnready warns of destinations that will not take the new keys. The leaked keys do not
// stay valid for that.
func (run *incident) warnUnready(ctx context.Context, todo []*leakedKey) {
	var names []string
	for _, k := range todo {
		for _, d := range k.dests {
			if delivery.Unusable(d) == nil {
				names = append(names, d.Name())
			}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	if err := delivery.CheckReady(ctx, run.a, names, run.opts.As, "the leaked keys are revoked all the same"); err != nil {
		for _, one := range cli.FailuresIn(err) {
			run.a.Warn(one.Error())
		}
	}
}

func (run *incident) confirm(ctx context.Context, what string) error {
	unasked := cli.WithHint(cli.Usagef("refusing to replace %s without confirmation (not a terminal)", what), "check the plan with --dry-run, then use --yes")
	return run.a.Confirm(ctx, fmt.Sprintf("Replace %s? What uses the old key stops working unless the new one is delivered.", what), unasked)
}

func (run *incident) show(k *leakedKey) {
	state := string(k.record.State(run.a.Now())) + ", nothing to do"
	switch {
	case k.open != nil && !k.live(run.a.Now()):
		state = fmt.Sprintf("%s, and its rotation is unfinished (%s): a new replacement is delivered everywhere", k.record.State(run.a.Now()), k.open.Rotation.Phase)
	case k.live(run.a.Now()) && k.proven():
		state = "LIVE"
	case k.live(run.a.Now()):
		state = "live, not proven to be leaked (anyone who knows the id could have written the report)"
	}
	run.a.Note("Key %s: %s.", appkeys.Text(k.record), state)
	for _, place := range k.found[:min(5, len(k.found))] {
		run.a.Note("  found at %s", place)
	}
	if more := len(k.found) - 5; more > 0 {
		run.a.Note("  and at %d more", more)
	}
	if !k.live(run.a.Now()) && k.open == nil {
		return
	}
	for _, d := range k.dests {
		if err := delivery.Unusable(d); err != nil {
			run.a.Warn(err.Error())
			continue
		}
		run.a.Note("  delivered to %s", sanitize.Line(d.Name()))
	}
	if len(k.dests) == 0 {
		run.a.Note("  no destination; the new key is printed%s", noteText(k.record, sanitize.Line))
	}
}

func noteText(r apikey.Record, inert func(string) string) string {
	if r.Note == "" {
		return ""
	}
	return "; its note: " + inert(r.Note)
}

func (run *incident) noteNothing() error {
	if run.declined > 0 {
		return cli.WithHint(fmt.Errorf("%s: not confirmed", cli.Plural(run.declined, "key skipped", "keys skipped")),
			"run it on a terminal, or with a report that has the whole keys")
	}
	switch {
	case len(run.keys) > 0 || run.unknown > 0:
		run.a.Note("No key is live: nothing to do.")
	case len(run.hidden) == 0:
		run.a.Note("The report has no keys of this brand.")
	}
	return nil
}
