package incident

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/sanitize"
)

// maxHidden is how many findings are listed on the terminal that a report hides.
const maxHidden = 50

// showHidden lists the findings of a report that may be keys, and whose ids it hides.
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

// withHidden adds to what a run ended with that the report hides keys.
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
