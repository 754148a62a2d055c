// Package doctor finds what prevents fob from working on this machine. Each check is a
// small function of plain inputs; its finding has a state, a detail and, if there is a
// problem, a fix. Checks change nothing, start no programs and show no secrets.
package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/sanitize"
)

// State is the result of a check.
type State string

// States of a finding.
const (
	OK         State = "ok"
	Warning    State = "warning" // works now, but will fail or surprise later
	Problem    State = "problem"
	NotChecked State = "not checked"
)

// Finding is the result of one check.
type Finding struct {
	Check   string `json:"check"`
	Profile string `json:"profile,omitempty"`
	State   State  `json:"state"`
	Detail  string `json:"detail"`
	Fix     string `json:"fix"` // a command or a sentence; empty if there is nothing to do
}

// Report contains all findings.
type Report struct {
	OK       bool      `json:"ok"` // no problem and no warning
	Findings []Finding `json:"findings"`
}

// NewReport returns a report of findings. Skipped checks do not count, because the finding
// that prevented them does.
func NewReport(findings []Finding) Report {
	bad := func(f Finding) bool { return f.State == Problem || f.State == Warning }
	return Report{OK: !slices.ContainsFunc(findings, bad), Findings: findings}
}

// Summary counts problems and warnings, e.g. "1 problem and 2 warnings".
func (r Report) Summary() string {
	var parts []string
	for _, state := range []State{Problem, Warning} {
		of := slices.DeleteFunc(slices.Clone(r.Findings), func(f Finding) bool { return f.State != state })
		if len(of) > 0 {
			parts = append(parts, cli.Plural(len(of), string(state), string(state)+"s"))
		}
	}
	return strings.Join(parts, " and ")
}

// Fine returns a finding without a problem.
func Fine(check, format string, args ...any) Finding {
	return Finding{Check: check, State: OK, Detail: fmt.Sprintf(format, args...)}
}

// Skipped returns the finding of a skipped check, with the reason.
func Skipped(check, format string, args ...any) Finding {
	return Finding{Check: check, State: NotChecked, Detail: fmt.Sprintf(format, args...)}
}

// Warn returns a finding about something that works now, but will fail or surprise later.
func Warn(check, detail, fix string) Finding {
	return Finding{Check: check, State: Warning, Detail: detail, Fix: fix}
}

// Failed returns a problem. The error's text may come from a server, a keyring or a file
// name, and is sanitized.
func Failed(check string, err error, fix string) Finding {
	return Finding{Check: check, State: Problem, Detail: sanitize.Line(err.Error()), Fix: fix}
}
