// Package doctor looks for what would keep fob from working on this machine. Each
// check is a small function over plain inputs; what it finds has a state, what was
// seen and, where that is not well, the way out. No check changes anything, starts
// a program or shows a secret.
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
	Warning    State = "warning" // works, and will fail or surprise some day
	Problem    State = "problem"
	NotChecked State = "not checked"
)

// Finding is what one check saw.
type Finding struct {
	Check   string `json:"check"`
	Profile string `json:"profile,omitempty"`
	State   State  `json:"state"`
	Detail  string `json:"detail"`
	Fix     string `json:"fix"` // a command or a sentence; empty where nothing is to be done
}

// Report is all that was found.
type Report struct {
	OK       bool      `json:"ok"` // no problem and no warning
	Findings []Finding `json:"findings"`
}

// NewReport judges findings. What was not checked does not count: it has a reason
// that does, or needs none.
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

// Warn is a finding that fails or surprises some day.
func Warn(check, detail, fix string) Finding {
	return Finding{Check: check, State: Warning, Detail: detail, Fix: fix}
}

// Failed is a problem that an error tells. Its text may be a server's, a keyring's
// or a file name's, and is made inert.
func Failed(check string, err error, fix string) Finding {
	return Finding{Check: check, State: Problem, Detail: sanitize.Line(err.Error()), Fix: fix}
}
