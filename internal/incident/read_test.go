package incident

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/cli"
)

// What a report hides is listed, and makes the run fail: such a key may be live.
func TestRun_HiddenFindings(t *testing.T) {
	s := newSite(t)
	text, id := s.issue(apikey.Record{})
	const hidden = `{"RuleID":"fob-api-key","Secret":"REDACTED","Match":"=REDACTED","File":"a b.env","StartLine":7,"Commit":"c0ffee"}`
	for _, opts := range []Options{{Report: "-", Yes: true}, {Report: "-", DryRun: true}} {
		report, err := s.run("["+hidden+`,{"RuleID":"github-pat","Secret":"REDACTED","File":"c"}]`, opts)
		if err == nil || !strings.Contains(err.Error(), "1 unreadable finding ") || !strings.Contains(cli.CarriedHint(err), "fob scan") || report != "" {
			t.Errorf("%v (hint %q), %s", err, cli.CarriedHint(err), report)
		}
		for _, want := range []string{"a b.env:7 in c0ffee (fob-api-key)", "Skipped 1 finding"} {
			if !strings.Contains(s.Err.String(), want) {
				t.Errorf("no %q in %s", want, s.Err.String())
			}
		}
		if strings.Contains(s.Err.String(), "no keys") {
			t.Error(s.Err.String())
		}
	}
	report, err := s.run(fmt.Sprintf(`[%s,{"RuleID":"fob-api-key","Secret":%q,"File":"d"}]`, hidden, text), Options{Report: "-", Yes: true})
	if failures := cli.Failures(nil); !errors.As(err, &failures) || len(failures) != 1 || s.state(id) != apikey.Revoked {
		t.Errorf("%v, and the readable key is %s", err, s.state(id))
	}
	if !strings.Contains(report, "Find out which key is at `a b.env:7 in c0ffee`") {
		t.Errorf("not left to do:\n%s", report)
	}
}

func TestRun_ManyHiddenFindings(t *testing.T) {
	s := newSite(t)
	_, err := s.run(strings.Repeat(`{"secret_type":"fob \u001b[31m","first_location_detected":{"path":"x\u001b]0;y\u0007"}}`, maxHidden+3), Options{Report: "-"})
	if err == nil || !strings.Contains(s.Err.String(), "and 3 more") || strings.ContainsAny(s.Err.String(), "\x1b\a") {
		t.Errorf("%v: %q", err, s.Err.String())
	}
}

func TestRun_OtherFilesAreNotReports(t *testing.T) {
	s := newSite(t)
	for _, input := range []string{"", "hello", "{}", `{"results":[]}`, `{"version":"2.0.0","runs":[]}`} {
		_, err := s.run(input, Options{Report: "-", Yes: true})
		if err == nil || cli.IsUsage(err) || !strings.Contains(err.Error(), "-: not a report") || !strings.Contains(cli.CarriedHint(err), "SARIF 2.1.0") {
			t.Errorf("%q: %v (hint %q)", input, err, cli.CarriedHint(err))
		}
	}
}
