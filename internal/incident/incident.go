// Package incident reads a report of leaked keys, plans, replaces them and reports.
package incident

import (
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keys"
	"github.com/fobcli/fob/internal/app"
	appkeys "github.com/fobcli/fob/internal/app/keys"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/delivery"
	"github.com/fobcli/fob/internal/leakreport"
	"github.com/fobcli/fob/internal/secret"
)

// Options are the flags of 'fob incident'.
type Options struct {
	Report string   `flag:"report" empty:"refused" help:"a scanner's report: {FILE}, or - for stdin"`
	Output string   `flag:"output,o" empty:"refused" help:"write the report to {FILE} (default incident-TIME.md)"`
	Brands []string `flag:"brand" empty:"refused" help:"also replace keys of this {BRAND}; repeatable"`
	As     []string `flag:"as" empty:"refused" help:"login for the platform: {[PLATFORM=]PROFILE}"`
	Yes    bool     `flag:"yes,y" help:"do not ask about keys that are proven to be leaked"`
	DryRun bool     `flag:"dry-run" help:"show what would be done, and do nothing"`
	Force  bool     `flag:"force" help:"take over from another fob that is still running"`
	JSON   bool     `flag:"json" help:"print keys as JSON, one object per line"`
}

// leakedKey is a key of the registry that was found where it must not be.
type leakedKey struct {
	record apikey.Record
	text   string           // the whole key, if the report has it and its hash matches
	found  []string         // where, inert
	open   *keys.Unfinished // its unfinished rotation, or nil
	dests  []keys.Destination

	replaced keys.Rotated
	revoked  bool // only revoked: it had been replaced before
	failed   error
	declined bool
	refused  bool // checked afterwards
	accepted bool // after all that was tried
}

func (k *leakedKey) proven() bool { return k.text != "" }

// live reports whether the key is, or can be, accepted.
func (k *leakedKey) live(now time.Time) bool {
	state := k.record.State(now)
	return state == apikey.Active || state == apikey.Retiring || state == apikey.Disabled
}

type incident struct {
	a        *app.App
	g        *keys.Registrar
	opts     Options
	value    secret.Secret // without a report
	started  time.Time
	keys     []*leakedKey // of this registry
	unknown  int          // keys of other registries
	hidden   []leakreport.Finding
	declined int
}

// Run reads a report, asks, replaces the leaked keys and writes what was done.
func Run(ctx context.Context, a *app.App, opts Options) (err error) {
	if err := delivery.CheckCredentials(a, opts.As); err != nil { // later, the new key could not be delivered
		return err
	}
	var value secret.Secret
	if opts.Report == "" {
		if value, err = appkeys.Read(ctx, a); err != nil {
			return err
		}
	}
	g, err := appkeys.Open(ctx, a, false)
	if err != nil {
		return notAKey(ctx, a, opts, value, err)
	}
	defer g.Close()
	appkeys.FoldUses(ctx, a, g)
	run := &incident{a: a, g: g, opts: opts, value: value, started: a.Now()}
	defer func() { err = run.withHidden(err) }()
	if err := run.mayWrite(); err != nil {
		return err
	}
	if err := run.read(ctx); err != nil {
		return notAKey(ctx, a, opts, value, err)
	}
	todo, err := run.plan(ctx)
	if err != nil || opts.DryRun {
		return err
	}
	if len(todo) == 0 {
		err := run.noteNothing()
		if err != nil || !isUnfinishedReport(run.opts.Output) {
			return err
		}
	}
	if err := run.reserve(); err != nil {
		return err
	}
	run.replace(ctx, todo)
	run.note(todo)
	return run.verdict(todo, run.write(context.WithoutCancel(ctx)))
}

// maxReplacing is how many keys are replaced at once: a slow destination must not delay the
// revocation of other keys.
const maxReplacing = 4

func (run *incident) replace(ctx context.Context, todo []*leakedKey) {
	defer cli.OutliveBrokenPipe()()
	if len(todo) > maxReplacing {
		run.a.Note("Replacing %d keys, %d at a time: each is accepted until its replacement is delivered, at most 30 s after its turn begins.", len(todo), maxReplacing)
	}
	bar := run.a.NewProgress("replacing", 0)
	var group errgroup.Group
	group.SetLimit(maxReplacing)
	for _, k := range todo {
		group.Go(func() error {
			run.replaceOne(ctx, k, bar)
			return nil // the others go on
		})
	}
	_ = group.Wait()
	bar.End()
}

func (run *incident) replaceOne(ctx context.Context, k *leakedKey, bar *cli.Progress) {
	opts := keys.RotateOptions{Compromised: true, Force: run.opts.Force, To: k.dests}
	if len(k.dests) == 0 {
		opts.Last = &delivery.StdoutDestination{A: run.a, Bar: bar, Many: true, JSON: run.opts.JSON}
	}
	k.replaced, k.failed = run.g.Rotate(ctx, k.record.ID, opts)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if errors.Is(k.failed, keys.ErrRotated) { // its replacement is in use
		_, k.failed = run.g.Revoke(ctx, []string{k.record.ID}, "it has leaked")
		k.revoked = k.failed == nil
	}
	if k.proven() {
		_, err := run.g.Prove(ctx, k.text)
		k.refused = errors.As(err, new(*apikey.RefusedError))
	}
	after, err := run.g.Find(ctx, k.record.ID)
	k.accepted = !k.refused && (err != nil || k.proven() || after.State(run.a.Now()) != apikey.Revoked)
}

func (run *incident) note(todo []*leakedKey) {
	for _, k := range todo {
		switch {
		case k.revoked:
			run.a.Note("Revoked %s, which had been replaced before.", appkeys.Text(k.record))
		case k.replaced.New.ID != "" && !k.accepted && !errors.Is(k.failed, keys.ErrTakenOver):
			run.a.Note("Revoked %s; %s replaces it.", appkeys.Text(k.record), k.replaced.New.ID)
		}
		delivery.NoteDeliveries(run.a, k.replaced)
	}
}

// problems returns what is left to do with a key, each with its hint: first that it is still
// accepted.
func (k *leakedKey) problems() (left cli.Failures) {
	if k.accepted {
		left = append(left, cli.WithHint(cli.Unfinishedf("key %s is still accepted", k.record.ID), "revoke it: 'fob key revoke %s'", k.record.ID))
	}
	if k.failed != nil {
		err := delivery.Errors(k.failed, k.replaced)
		several, ok := errors.AsType[cli.Failures](err)
		if !ok {
			several = cli.Failures{keys.ForKey(err, k.record.ID)}
		}
		left = append(left, several...)
	}
	return left
}

// byUrgency returns the keys, those first that are still accepted.
func byUrgency(all []*leakedKey) []*leakedKey {
	return slices.SortedStableFunc(slices.Values(all), func(a, b *leakedKey) int {
		return map[bool]int{true: 1}[b.accepted] - map[bool]int{true: 1}[a.accepted]
	})
}

// verdict joins what is left to do, each with its hint, and the loss of the report.
func (run *incident) verdict(todo []*leakedKey, unwritten error) error {
	var failed cli.Failures
	for _, k := range byUrgency(todo) {
		failed = append(failed, k.problems()...)
	}
	if run.declined > 0 {
		failed = append(failed, run.noteNothing())
	}
	if unwritten != nil {
		failed = append(failed, unwritten)
	}
	return failed.Err()
}
