// Package doctor finds what keeps fob from working on this machine. Each check is a small
// function over plain inputs; its finding has a state, a detail and, unless all is well, a
// fix. No check changes anything, starts a program or shows a secret.
package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/sanitize"
)

// State is how a check ended.
type State string

// The states of a finding.
const (
	OK         State = "ok"
	Warning    State = "warning" // works now, and will fail or surprise later
	Problem    State = "problem"
	NotChecked State = "not checked"
)

// Finding is what one check saw.
type Finding struct {
	Check   string `json:"check"`
	Profile string `json:"profile,omitempty"`
	State   State  `json:"state"`
	Detail  string `json:"detail"`
	Fix     string `json:"fix"` // a command or a sentence; empty if there is nothing to do
}

// Report is all that was found.
type Report struct {
	OK       bool      `json:"ok"` // no problem and no warning
	Findings []Finding `json:"findings"`
}

// NewReport is the report of findings. What was not checked does not count: the finding that
// prevented it does.
func NewReport(findings []Finding) Report {
	bad := func(f Finding) bool { return f.State == Problem || f.State == Warning }
	return Report{OK: !slices.ContainsFunc(findings, bad), Findings: findings}
}

// Summary counts what is not well, e.g. "1 problem and 2 warnings".
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

// Fine is a finding with nothing to do.
func Fine(check, format string, args ...any) Finding {
	return Finding{Check: check, State: OK, Detail: fmt.Sprintf(format, args...)}
}

// Skipped is a check that was not made, and why.
func Skipped(check, format string, args ...any) Finding {
	return Finding{Check: check, State: NotChecked, Detail: fmt.Sprintf(format, args...)}
}

// Warn is something that works now, and will fail or surprise later.
func Warn(check, detail, fix string) Finding {
	return Finding{Check: check, State: Warning, Detail: detail, Fix: fix}
}

// Failed is a problem. The error's text may come from a server, a keyring or a file name,
// and is made inert.
func Failed(check string, err error, fix string) Finding {
	return Finding{Check: check, State: Problem, Detail: sanitize.Line(err.Error()), Fix: fix}
}
