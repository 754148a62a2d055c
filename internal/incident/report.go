package incident

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/sanitize"
)

// unfinishedReport is in the report while keys are replaced: an output that cannot be written
// is noticed before, and if fob is killed, the user reads how to continue. A run with it as
// its output overwrites it.
const unfinishedReport = "# Incident: unfinished\n\n'fob incident' did not finish. Run the same command again, with this file as --output; 'fob key audit' lists what was done.\n"

// mayWrite refuses a report that would overwrite a file of someone else.
func (run *incident) mayWrite() error {
	if run.opts.Output == "" {
		return nil
	}
	if _, err := os.Lstat(run.opts.Output); err == nil && !isUnfinishedReport(run.opts.Output) {
		return cli.WithHint(cli.Usagef("%s already exists", sanitize.Line(run.opts.Output)), "choose another file with --output")
	}
	return nil
}

func isUnfinishedReport(path string) bool {
	text, err := atomicfile.Read(path, int64(len(unfinishedReport)))
	return err == nil && string(text) == unfinishedReport
}

// reserve writes the unfinished report, without --output to a file with a name of its own.
func (run *incident) reserve() error {
	name := "incident-" + run.started.UTC().Format("20060102T150405Z")
	path := cmp.Or(run.opts.Output, name+".md")
	for try := 2; ; try++ {
		err := atomicfile.Create(path, []byte(unfinishedReport))
		switch isTaken := errors.Is(err, fs.ErrExist); {
		case isTaken && run.opts.Output == "" && try <= 100:
			path = fmt.Sprintf("%s-%d.md", name, try)
			continue
		case isTaken && isUnfinishedReport(path), err == nil:
			run.opts.Output = path
			return nil
		}
		return cli.WithHint(fmt.Errorf("no key was replaced: the report cannot be written: %w", err), "choose another file with --output")
	}
}

func (run *incident) write(ctx context.Context) error {
	entries, verdict, err := run.timeLine(ctx)
	if err == nil {
		err = atomicfile.Write(run.opts.Output, run.markdown(entries, verdict))
	}
	if err != nil {
		return cli.WithHint(fmt.Errorf("the report could not be written: %w", err), "run 'fob key audit' for what happened")
	}
	run.a.Note("Wrote the report to %s.", sanitize.Line(run.opts.Output))
	return nil
}

// markdown returns the report. It has no secret in it, and what others wrote is only text.
func (run *incident) markdown(entries []apikey.Entry, verdict string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Incident of %s: leaked API keys\n\n", run.started.UTC().Format("2006-01-02 15:04 UTC"))
	fmt.Fprintf(&b, "Handled by %s with fob %s, from %s to %s.\n\n", codeSpan(run.g.Actor), app.Version(), clockText(run.started), clockText(run.a.Now()))
	b.WriteString("## The keys\n\n| key | owner | environment | scopes | last used | uses | result | replacement |\n|---|---|---|---|---|---|---|---|\n")
	for _, k := range run.keys {
		r := k.record
		writeRow(&b, codeSpan(r.ID), codeSpan(r.Owner), codeSpan(r.Environment), codeSpan(strings.Join(r.Scopes, " ")), clockText(r.LastUsedAt), fmt.Sprint(r.Uses), k.outcome(run.a.Now()), codeSpan(k.replaced.New.ID))
	}
	if run.unknown > 0 {
		fmt.Fprintf(&b, "\nThe report also has %s of other registries.\n", cli.Plural(run.unknown, "key", "keys"))
	}
	b.WriteString("\n## Where the keys were found\n\n")
	for _, k := range run.keys {
		for _, place := range k.found {
			fmt.Fprintf(&b, "- %s: %s\n", codeSpan(k.record.ID), codeSpan(place))
		}
		if len(k.found) == 0 {
			fmt.Fprintf(&b, "- %s: unknown\n", codeSpan(k.record.ID))
		}
	}
	b.WriteString("\n## Deliveries\n\n")
	run.writeDeliveries(&b)
	b.WriteString("\n## Timeline\n\nFrom the audit log, in UTC.\n\n| time | entry | user | action | key | detail |\n|---|---|---|---|---|---|\n")
	for _, e := range entries {
		writeRow(&b, e.At.Format(time.DateTime), fmt.Sprint(e.Seq), codeSpan(e.Actor), codeSpan(e.Action), codeSpan(e.KeyID), codeSpan(e.Detail))
	}
	fmt.Fprintf(&b, "\n%s\n", verdict)
	b.WriteString("\n## Left to do\n\n")
	for _, line := range run.leftToDo() {
		fmt.Fprintf(&b, "- [ ] %s\n", line)
	}
	return b.Bytes()
}

func (k *leakedKey) outcome(now time.Time) string {
	switch tried := k.revoked || k.failed != nil || k.replaced.New.ID != ""; {
	case k.accepted:
		return "**still accepted**"
	case tried && k.failed != nil:
		return "revoked, **not replaced everywhere**"
	case tried && k.refused:
		return "revoked, and refused when checked"
	case tried:
		return "revoked"
	case k.declined:
		return "**skipped**: not proven to be leaked"
	}
	return string(k.record.State(now)) + " before"
}

func (run *incident) writeDeliveries(b *bytes.Buffer) {
	before := b.Len()
	for _, k := range run.keys {
		for _, d := range k.replaced.Rotation.Deliveries {
			text := codeSpan(string(d.Status))
			if d.Error != "" {
				text += ": " + codeSpan(d.Error)
			}
			fmt.Fprintf(b, "- %s to %s: %s\n", codeSpan(k.replaced.New.ID), codeSpan(d.Destination), text)
		}
	}
	if b.Len() == before {
		b.WriteString("None.\n")
	}
}

// timeLine returns what the audit log says about the keys, and whether it can be trusted.
func (run *incident) timeLine(ctx context.Context) (entries []apikey.Entry, verdict string, err error) {
	var auditor apikey.Auditor
	var tampered error
	ids := make(map[string]bool)
	for _, k := range run.keys {
		ids[k.record.ID], ids[k.replaced.New.ID] = true, true
	}
	delete(ids, "") // of a key without a replacement
	end, err := run.g.Registry.Log(ctx, 0, func(l apikey.Logged) error {
		if tampered == nil {
			tampered = auditor.Check(l)
		}
		if ids[l.KeyID] && !l.IsPending {
			entries = append(entries, l.Entry)
		}
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	head, unfinished := auditor.Finish(end)
	verdict = "The whole log was verified. Its head is " + codeSpan(head.String()) + "."
	if tampered = cmp.Or(tampered, unfinished); tampered != nil {
		verdict = "**The log cannot be trusted:** " + codeSpan(tampered.Error()) + "."
	}
	return entries, verdict, nil //nolint:nilerr // the verdict names it
}

// leftToDo lists what fob cannot do: the problems that stderr has, then what is for people.
func (run *incident) leftToDo() []string {
	var lines []string
	for _, k := range byUrgency(run.keys) {
		for _, err := range k.problems() {
			lines = append(lines, strings.TrimSuffix(codeSpan(err.Error())+": "+codeSpan(run.a.Hint(err)), ": "))
		}
		next := k.replaced.New.ID
		switch {
		case len(k.dests) == 0 && next != "" && k.failed == nil:
			lines = append(lines, fmt.Sprintf("Deliver %s to what uses %s%s.", codeSpan(next), codeSpan(k.record.ID), noteText(k.record, codeSpan)))
		case k.declined:
			lines = append(lines, fmt.Sprintf("Find out whether %s leaked. If so, run %s.", codeSpan(k.record.ID), codeSpan("fob key rotate "+k.record.ID+" --compromised")))
		}
		if k.record.Uses > 0 {
			lines = append(lines, fmt.Sprintf("Check the service's logs for what was done with %s (last used %s), and by whom.", codeSpan(k.record.ID), clockText(k.record.LastUsedAt)))
		}
	}
	for _, f := range run.hidden {
		lines = append(lines, fmt.Sprintf("Find out which key is at %s: the scanner's report hides it (rule %s).", codeSpan(locationText(f)), codeSpan(f.Rule)))
	}
	return append(lines,
		"Remove the old keys from where they were found. In a git history they remain, but are revoked.",
		"Find out how they got there. A hook with "+codeSpan("fob scan --staged")+" prevents the next leak.")
}

func writeRow(b *bytes.Buffer, cells ...string) {
	fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | "))
}

// codeSpan returns text in a Markdown code span: it cannot contain links or mentions, or end
// a table cell.
func codeSpan(text string) string {
	if text == "" {
		return ""
	}
	return "`" + strings.NewReplacer("`", "'", "|", "\\|").Replace(sanitize.Line(text)) + "`"
}

func clockText(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format(time.DateTime)
}
