package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/destination"
	"github.com/fobcli/fob/internal/leak"
	"github.com/fobcli/fob/internal/parallel"
	"github.com/fobcli/fob/internal/registrar"
	"github.com/fobcli/fob/internal/safetext"
)

type incidentOptions struct {
	destinationFlags
	report string
	output string
	brands []string
	yes    bool
	dryRun bool
	json   bool
}

func newIncidentCmd(a *app) *cobra.Command {
	var opts incidentOptions
	c := &cobra.Command{
		Use:   "incident",
		Short: "Replace API keys that have leaked, everywhere, and write down what was done",
		Long: `Take a leaked key from a prompt or stdin, or all those of a scanner's report in JSON
(gitleaks, TruffleHog, 'fob scan', GitHub's alerts). What is live is shown with all
places that it goes to. Then each key gets a successor, which is delivered there; the
leaked one ends within 30 s whatever fails; and a report in Markdown tells what
happened when, by the audit log.

A report that has an id alone, or a secret that is not that key's, can be a trick to
end a good key: such a key wants a person's yes, also with --yes.

The successor of a key that goes nowhere is printed, behind the old key's id.

` + exitHelp(exitDone, exitFailed, exitUsage, exitUnavailable, exitStorage, exitLockTimeout, exitRefused, exitInterrupted),
		Example: `  fob incident
  fob incident <leaked.txt
  gitleaks git --report-format json --report-path leaks.json; fob incident --report leaks.json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runIncident(cmd.Context(), a, opts)
		},
	}
	flags := c.Flags()
	flags.StringVar(&opts.report, "report", "", "a scanner's report: a `FILE`, or - for stdin")
	flags.StringVarP(&opts.output, "output", "o", "", "write the incident report to this `FILE` (default incident-TIME.md)")
	flags.StringArrayVar(&opts.brands, "brand", nil, "take keys of this `BRAND` from the report, beside the configured one; repeatable")
	flags.StringArrayVar(&opts.as, "as", nil, "whose credential the platforms are shown: `[PLATFORM=]PROFILE`, or secret/NAME; repeatable")
	flags.BoolVarP(&opts.yes, "yes", "y", false, "do not ask about keys that were given whole")
	flags.BoolVar(&opts.dryRun, "dry-run", false, "show the plan, and do nothing")
	flags.BoolVar(&opts.json, "json", false, "print keys as JSON, one object a line")
	refuseEmpty(c, "report", "output", "as")
	return c
}

// leakedKey is a key of the registry that stands where it must not.
type leakedKey struct {
	record apikey.Record
	text   string   // the whole key, if it was given and is this key
	places []string // inert
	to     []registrar.Destination
	barred []error // destinations that this machine cannot serve

	replaced registrar.Rotated
	revoked  bool // it had a successor already
	failed   error
	refused  bool // asked again, it was not accepted
}

func (k *leakedKey) proven() bool { return k.text != "" }

// live reports that the key can do harm.
func (k *leakedKey) live(now time.Time) bool {
	state := k.record.State(now)
	return state == apikey.Active || state == apikey.Retiring || state == apikey.Disabled
}

// incident is one run of 'fob incident'.
type incident struct {
	a        *app
	g        *registrar.Registrar
	opts     incidentOptions
	started  time.Time
	keys     []*leakedKey // of the registry
	unknown  int          // of others
	declined int
}

func runIncident(ctx context.Context, a *app, opts incidentOptions) error {
	g, err := a.registrar(ctx, false)
	if err != nil {
		return err
	}
	defer g.Close()
	a.foldUses(ctx, g)
	run := &incident{a: a, g: g, opts: opts, started: a.now()}
	if opts.output == "" {
		run.opts.output = "incident-" + a.now().UTC().Format("20060102T150405Z") + ".md"
	}
	if _, err := os.Lstat(run.opts.output); err == nil {
		return withHint(usagef("%s is there already", run.opts.output), "give another name with --output")
	}
	if err := run.read(ctx); err != nil {
		return err
	}
	todo, err := run.plan(ctx)
	if err != nil || opts.dryRun {
		return err
	}
	if len(todo) == 0 {
		return run.nothingToDo()
	}
	run.replace(ctx, todo)
	run.note(todo)
	if err := run.write(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	return run.verdict(todo)
}

// read takes the keys from where the flags say, and finds those of the registry.
func (run *incident) read(ctx context.Context) error {
	reported, err := run.reported(ctx)
	if err != nil {
		return err
	}
	byID := make(map[string]*leakedKey)
	strangers := make(map[string]bool)
	for _, r := range reported {
		k := byID[r.ID]
		if k == nil {
			record, err := run.a.chosen(ctx, run.g, apikey.Filter{IDs: []string{r.ID}})
			if errors.Is(err, apikey.ErrNotFound) {
				strangers[r.ID] = true
				continue
			}
			if err != nil {
				return err
			}
			k = &leakedKey{record: record[0]}
			byID[r.ID] = k
			run.keys = append(run.keys, k)
		}
		if r.Path != "" {
			k.places = append(k.places, placeText(r))
		}
		if err := run.prove(ctx, k, r); err != nil {
			return err
		}
	}
	run.unknown = len(strangers)
	if run.opts.report == "" && run.unknown > 0 {
		return &apikey.RefusedError{Reason: apikey.Unknown}
	}
	return nil
}

func placeText(r leak.Reported) string {
	where := safetext.Line(r.Path)
	if r.Line > 0 {
		where += fmt.Sprintf(":%d", r.Line)
	}
	if r.Commit != "" {
		where += " in " + safetext.Line(r.Commit[:min(12, len(r.Commit))])
	}
	return where
}

// prove finds out whether the whole key was given: its digest says so, no checksum.
func (run *incident) prove(ctx context.Context, k *leakedKey, r leak.Reported) error {
	if r.Key.IsZero() || k.proven() {
		return nil
	}
	record, err := run.g.Verify(ctx, r.Key.Reveal(), apikey.Need{})
	var refused *apikey.RefusedError
	if err != nil && !errors.As(err, &refused) {
		return err
	}
	if record.ID == k.record.ID {
		k.text = r.Key.Reveal()
	}
	return nil
}

func (run *incident) reported(ctx context.Context) ([]leak.Reported, error) {
	if run.opts.report == "" {
		key, err := run.a.readKey(ctx)
		if err != nil {
			return nil, err
		}
		presented, err := apikey.Present(key.Reveal(), apikey.Need{})
		if err != nil {
			return nil, err
		}
		return []leak.Reported{{ID: presented.ID, Key: key}}, nil
	}
	format, err := run.a.keyFormat()
	if err != nil {
		return nil, err
	}
	scanner, err := leak.NewScanner(append([]string{format.Brand}, run.opts.brands...))
	if err != nil {
		return nil, &usageError{err.Error()}
	}
	input := run.a.stdin
	if run.opts.report != "-" {
		file, err := os.Open(run.opts.report)
		if err != nil {
			return nil, withHint(&usageError{err.Error()}, "give the file that the scanner has written")
		}
		defer file.Close()
		input = file
	}
	reported, err := scanner.Report(newCounted(ctx, input))
	if errors.Is(err, leak.ErrReport) {
		return nil, withHint(fmt.Errorf("%s: %w", safetext.Line(run.opts.report), err), "let the scanner write JSON: 'gitleaks --report-format json', 'trufflehog --json', 'fob scan --format json'")
	}
	return reported, err
}

// plan shows what is live and what would be done, and asks. What is returned is to be
// replaced.
func (run *incident) plan(ctx context.Context) (todo []*leakedKey, err error) {
	var doubtful []*leakedKey
	for _, k := range run.keys {
		run.findDestinations(k)
		run.show(k)
		switch {
		case !k.live(run.a.now()):
		case k.proven():
			todo = append(todo, k)
		default:
			doubtful = append(doubtful, k)
		}
	}
	if run.unknown > 0 {
		run.a.note("%s not of this registry.", plural(run.unknown, "key is", "keys are"))
	}
	if run.opts.dryRun {
		return nil, nil
	}
	if len(todo) > 0 && !run.opts.yes {
		if err := run.confirm(ctx, plural(len(todo), "live key", "live keys")); err != nil {
			return nil, err
		}
	}
	for _, k := range doubtful {
		err := run.confirm(ctx, "key "+k.record.ID+", which nobody has proven to be leaked")
		if err != nil && ctx.Err() == nil {
			run.declined++
			continue
		}
		if err != nil {
			return nil, err
		}
		todo = append(todo, k)
	}
	return todo, nil
}

func (run *incident) confirm(ctx context.Context, what string) error {
	answer, err := run.a.ask(ctx, fmt.Sprintf("Replace %s? What uses the old key stops where the new one does not arrive. [y/N]", what))
	switch {
	case errors.Is(err, errNoTerminal):
		return withHint(usagef("this would replace %s, and there is nobody to ask", what), "see the plan with --dry-run, then give --yes")
	case err != nil:
		return err
	case !strings.EqualFold(answer, "y") && !strings.EqualFold(answer, "yes"):
		return errors.New("nothing was done")
	}
	return nil
}

// findDestinations reads where a key goes. What this machine cannot serve keeps no leaked
// key alive: it is told.
func (run *incident) findDestinations(k *leakedKey) {
	for _, name := range k.record.Destinations {
		to, err := run.a.keyDestinations([]string{name}, run.opts.as, k.record.Environment)
		if err != nil {
			k.barred = append(k.barred, &destination.Error{Destination: name, Err: err})
			continue
		}
		k.to = append(k.to, keyDestination{to[0]})
	}
}

func (run *incident) show(k *leakedKey) {
	state := "it is " + string(k.record.State(run.a.now())) + ": there is nothing to do"
	switch {
	case k.live(run.a.now()) && k.proven():
		state = "LIVE"
	case k.live(run.a.now()):
		state = "live, and the whole key was not given: anybody who knows its id can have written that"
	}
	run.a.note("Key %s: %s.", keyText(k.record), state)
	for _, place := range k.places[:min(5, len(k.places))] {
		run.a.note("  found at %s", place)
	}
	if more := len(k.places) - 5; more > 0 {
		run.a.note("  and at %d more", more)
	}
	if !k.live(run.a.now()) {
		return
	}
	for _, d := range k.to {
		run.a.note("  goes to  %s", safetext.Line(d.Name()))
	}
	for _, err := range k.barred {
		run.a.warn(err.Error())
	}
	if len(k.record.Destinations) == 0 {
		run.a.note("  goes to no place that fob knows; the new key is printed%s", noteOf(k.record))
	}
}

func noteOf(r apikey.Record) string {
	if r.Note == "" {
		return ""
	}
	return "; its note: " + safetext.Line(r.Note)
}

func (run *incident) nothingToDo() error {
	if run.declined > 0 {
		return withHint(fmt.Errorf("%s left as they are: nobody said yes", plural(run.declined, "key was", "keys were")),
			"run it on a terminal; or give the whole keys, in a report without redaction")
	}
	if len(run.keys) == 0 && run.unknown == 0 {
		run.a.note("The report has no key of this brand.")
		return nil
	}
	run.a.note("No key is live: there is nothing to do.")
	return nil
}

// maxReplacing is how many keys are replaced at once: no slow place keeps another leaked
// key alive.
const maxReplacing = 4

func (run *incident) replace(ctx context.Context, todo []*leakedKey) {
	defer outliveBrokenPipe()()
	bar := run.a.newProgress("replacing", 0)
	parallel.Do(len(todo), maxReplacing, func(i int) { run.replaceOne(ctx, todo[i], bar) })
	bar.end()
}

func (run *incident) replaceOne(ctx context.Context, k *leakedKey, bar *progress) {
	opts := registrar.RotateOptions{Compromised: true, To: k.to}
	if len(k.to) == 0 {
		opts.Last = &stdoutDestination{a: run.a, bar: bar, many: true, json: run.opts.json}
	}
	k.replaced, k.failed = run.g.Rotate(ctx, k.record.ID, opts)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if errors.Is(k.failed, registrar.ErrRotated) { // its successor is in use: the old one only has to end
		_, k.failed = run.g.Revoke(ctx, []string{k.record.ID}, "it has leaked")
		k.revoked = k.failed == nil
	}
	if k.proven() {
		_, err := run.g.Verify(ctx, k.text, apikey.Need{})
		var refused *apikey.RefusedError
		k.refused = errors.As(err, &refused)
	}
}

// note says how it went with each key.
func (run *incident) note(todo []*leakedKey) {
	for _, k := range todo {
		switch {
		case k.revoked:
			run.a.note("Key %s has ended; it was replaced before.", keyText(k.record))
		case k.replaced.Rotation.Phase == apikey.PhaseRetired:
			run.a.note("Key %s has ended; %s replaces it.", keyText(k.record), k.replaced.New.ID)
		}
		for _, d := range k.replaced.Rotation.Deliveries {
			if d.Status == apikey.DeliveryDone && d.Destination != stdoutName {
				run.a.note("Delivered %s to %s.", k.replaced.New.ID, safetext.Line(d.Destination))
			}
		}
	}
}

// verdict is what is left to do, each with its hint.
func (run *incident) verdict(todo []*leakedKey) error {
	var failed failures
	for _, k := range todo {
		for _, err := range k.barred {
			failed = append(failed, fmt.Errorf("key %s: %w", k.replaced.New.ID, err))
		}
		if k.failed != nil {
			err := notDelivered(k.failed, k.replaced, keyRotateOptions{compromised: true})
			var several failures
			if !errors.As(err, &several) {
				several = failures{fmt.Errorf("key %s: %w", k.record.ID, err)}
			}
			failed = append(failed, several...)
		} else if k.proven() && !k.refused {
			failed = append(failed, withHint(fmt.Errorf("key %s is still accepted", k.record.ID), "end it: 'fob key revoke %s'", k.record.ID))
		}
	}
	if run.declined > 0 {
		failed = append(failed, run.nothingToDo())
	}
	return failed.err()
}

func (run *incident) write(ctx context.Context) error {
	text, err := run.markdown(ctx)
	if err != nil {
		return withHint(fmt.Errorf("the keys are replaced, and the report could not be made: %w", err), "'fob key audit' has what it would say")
	}
	if err := atomicfile.Create(run.opts.output, text); err != nil {
		return withHint(fmt.Errorf("the keys are replaced, and the report could not be written: %w", err), "'fob key audit' has what it would say")
	}
	run.a.note("What happened is written down in %s.", cmp.Or(safetext.Line(run.opts.output), "a file"))
	return nil
}

// chain are the ids that the report's time line is about.
func (run *incident) chain() []string {
	var ids []string
	for _, k := range run.keys {
		ids = append(ids, k.record.ID)
		if k.replaced.New.ID != "" {
			ids = append(ids, k.replaced.New.ID)
		}
	}
	slices.Sort(ids)
	return ids
}
