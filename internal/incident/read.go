package incident

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/fobcli/fob/internal/apikey"
	appkeys "github.com/fobcli/fob/internal/app/keys"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/leakreport"
	"github.com/fobcli/fob/internal/sanitize"
)

// read reads the reported keys, and finds those of the registry.
func (run *incident) read(ctx context.Context) error {
	reported, err := run.reported(ctx)
	if err != nil {
		return err
	}
	byID := make(map[string]*leakedKey)
	unknown := make(map[string]bool)
	for _, r := range reported {
		k := byID[r.ID]
		if k == nil {
			record, err := run.g.Find(ctx, r.ID)
			if errors.Is(err, apikey.ErrNotFound) {
				unknown[r.ID] = true
				continue
			}
			if err != nil {
				return err
			}
			k = &leakedKey{record: record}
			byID[r.ID] = k
			run.keys = append(run.keys, k)
		}
		if r.Path != "" {
			k.found = append(k.found, locationText(r))
		}
		if err := run.prove(ctx, k, r); err != nil {
			return err
		}
	}
	run.unknown = len(unknown)
	if run.opts.Report == "" && run.unknown > 0 {
		return &apikey.RefusedError{Reason: apikey.Unknown}
	}
	return nil
}

func locationText(r leakreport.Finding) string {
	where := sanitize.Line(r.Path)
	if r.Line > 0 {
		where += fmt.Sprintf(":%d", r.Line)
	}
	if r.Commit != "" {
		where += " in " + sanitize.Line(r.Commit[:min(12, len(r.Commit))])
	}
	return where
}

// prove finds out whether the report has the whole key: its hash decides, not the checksum.
func (run *incident) prove(ctx context.Context, k *leakedKey, r leakreport.Finding) error {
	if r.Key.IsZero() || k.proven() {
		return nil
	}
	record, err := run.g.Prove(ctx, r.Key.Reveal())
	if err != nil && !errors.As(err, new(*apikey.RefusedError)) {
		return err
	}
	if record.ID == k.record.ID {
		k.text = r.Key.Reveal()
	}
	return nil
}

func (run *incident) reported(ctx context.Context) ([]leakreport.Finding, error) {
	if run.opts.Report == "" {
		presented, err := apikey.Present(run.value.Reveal(), apikey.Need{})
		return []leakreport.Finding{{ID: presented.ID, Key: run.value}}, err
	}
	format, err := appkeys.Format(run.a)
	if err != nil {
		return nil, err
	}
	brands := append([]string{format.Brand}, run.opts.Brands...)
	for _, brand := range brands {
		if err := apikey.CheckBrand(brand); err != nil {
			return nil, cli.AsUsage(err)
		}
	}
	input := run.a.In
	if run.opts.Report != "-" {
		file, err := cli.Await(ctx, func() (*os.File, error) { return os.Open(run.opts.Report) })
		if err != nil {
			return nil, cli.WithHint(cli.AsUsage(err), "use the file that the scanner wrote")
		}
		defer file.Close()
		input = file
	}
	report, err := leakreport.Read(ctx, cli.NewCountingReader(ctx, input), brands)
	if err != nil {
		return nil, cli.WithHint(fmt.Errorf("%s: %w", sanitize.Line(run.opts.Report), err), "use %s", leakreport.Formats)
	}
	run.hidden = report.Hidden
	run.showHidden(report.Others)
	return report.Findings, nil
}

// maxHidden is how many hidden findings of a report are listed on the terminal.
const maxHidden = 50

// showHidden lists the findings that may be keys, but whose ids the report hides.
func (run *incident) showHidden(others int) {
	if n := len(run.hidden); n > 0 {
		run.a.Note("The report hides %s that may be live:", cli.Plural(n, "key", "keys"))
	}
	for _, f := range run.hidden[:min(maxHidden, len(run.hidden))] {
		run.a.Note("  %s (%s)", cmp.Or(locationText(f), "unknown place"), cmp.Or(sanitize.Line(f.Rule), "unknown rule"))
	}
	if more := len(run.hidden) - maxHidden; more > 0 {
		run.a.Note("  and %d more", more)
	}
	if others > 0 {
		run.a.Note("Skipped %s of something else.", cli.Plural(others, "finding", "findings"))
	}
}

// withHidden adds to the result of a run that the report hides keys.
func (run *incident) withHidden(err error) error {
	if len(run.hidden) == 0 {
		return err
	}
	var failed cli.Failures
	if err != nil && !errors.As(err, &failed) {
		failed = cli.Failures{err}
	}
	hidden := fmt.Errorf("%s in the report: masked, hashed or left out", cli.Plural(len(run.hidden), "unreadable finding", "unreadable findings"))
	return append(failed, cli.WithHint(hidden, "find each key with 'fob scan FILE', or with 'fob scan --git' in its repository; or scan again without masking: gitleaks without --redact, ggshield with --show-secrets, GitHub's alerts without hide_secret"))
}
