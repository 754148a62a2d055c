package cmd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/parallel"
	"github.com/fobcli/fob/internal/registrar"
	"github.com/fobcli/fob/internal/safetext"
)

type incidentOptions struct {
	as     []string
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
		Short: "Replace API keys that have leaked, everywhere",
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
  fob incident --report leaks.json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runIncident(cmd.Context(), a, opts)
		},
	}
	flags := c.Flags()
	flags.StringVar(&opts.report, "report", "", "a scanner's report: a `FILE`, or - for stdin")
	flags.StringVarP(&opts.output, "output", "o", "", "write the report to this `FILE` (incident-TIME.md)")
	flags.StringArrayVar(&opts.brands, "brand", nil, "keys of this `BRAND` as well; repeatable")
	flags.StringArrayVar(&opts.as, "as", nil, "show the platform this login: `[PLATFORM=]PROFILE`")
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
	if err := a.checkAs(opts.as); err != nil { // later it would leave the new key nowhere
		return err
	}
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
	if err := run.mayWrite(); err != nil {
		return err
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
	if err := run.reserve(); err != nil {
		return err
	}
	run.replace(ctx, todo)
	run.note(todo)
	return run.verdict(todo, run.write(context.WithoutCancel(ctx)))
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
		_, err := run.g.Prove(ctx, k.text)
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

// verdict is what is left to do, each with its hint. A report that is lost hides none of
// it: the keys may be in force still.
func (run *incident) verdict(todo []*leakedKey, unwritten error) error {
	var failed failures
	for _, k := range todo {
		for _, err := range k.barred {
			failed = append(failed, fmt.Errorf("key %s: %w", k.replaced.New.ID, err))
		}
		if k.failed != nil {
			err := notDelivered(k.failed, k.replaced, true)
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
	if unwritten != nil {
		failed = append(failed, unwritten)
	}
	return failed.err()
}
