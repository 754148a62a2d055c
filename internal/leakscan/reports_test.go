package leakscan

import (
	"errors"
	"strings"
	"testing"
)

func TestReports(t *testing.T) {
	s, err := NewScanner([]string{"acme"})
	if err != nil {
		t.Fatal(err)
	}
	const key = "acme_live_1OOivdDZfQCU_bt6gO89NcUzYEW1pIKnvsU7LGdgMmGxA18PCV4"
	for name, c := range map[string]struct {
		report string
		want   Reported
		whole  bool
	}{
		"gitleaks":          {`[{"RuleID":"acme-api-key","Match":"KEY=` + key + `","Secret":"` + key + `","File":"a.txt","StartLine":7,"Commit":"c0ffee"}]`, Reported{Path: "a.txt", Line: 7, Commit: "c0ffee"}, true},
		"gitleaks redacted": {`[{"Match":"KEY=acme_live_1OOivdDZfQCU_bt...","Secret":"acme_live_1OOivdDZfQCU_bt...","File":"a.txt","StartLine":7}]`, Reported{Path: "a.txt", Line: 7}, false},
		"TruffleHog":        {`{"SourceMetadata":{"Data":{"Git":{"commit":"c0ffee","file":"a.txt","line":3}}},"DetectorName":"CustomRegex","Raw":"` + key + `"}` + "\n{\"level\":\"info\"}\n", Reported{Path: "a.txt", Line: 3, Commit: "c0ffee"}, true},
		"fob":               {`[{"key":"acme_live_1OOivdDZfQCU_…","id":"1OOivdDZfQCU","environment":"live","path":"a.txt","line":2,"column":1,"checked":true,"live":true}]`, Reported{Path: "a.txt", Line: 2}, false},
		"GitHub":            {`[{"number":2,"secret":"` + key + `","secret_type":"acme","first_location_detected":{"path":"a.txt","start_line":4,"commit_sha":"c0ffee"}}]`, Reported{Path: "a.txt", Line: 4, Commit: "c0ffee"}, true},
	} {
		found, err := s.Report(strings.NewReader(c.report))
		if err != nil || len(found) != 1 {
			t.Errorf("%s: %v, %v", name, found, err)
			continue
		}
		got := found[0]
		if got.ID != "1OOivdDZfQCU" || got.Path != c.want.Path || got.Line != c.want.Line || got.Commit != c.want.Commit || (got.Key.Reveal() == key) != c.whole {
			t.Errorf("%s: %+v", name, got)
		}
	}
	for _, none := range []string{"", "[]", "{}", `[{"Secret":"other_live_1OOivdDZfQCU_x"}]`, "null", "[null]"} {
		if found, err := s.Report(strings.NewReader(none)); err != nil || len(found) != 0 {
			t.Errorf("%s: %v, %v", none, found, err)
		}
	}
	for _, wrong := range []string{"x", `[{"Secret":1}]`, `["a"]`, "[{", "<html>", `"acme"`} {
		if _, err := s.Report(strings.NewReader(wrong)); !errors.Is(err, ErrReport) {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}

func FuzzReport(f *testing.F) {
	f.Add(`[{"Secret":"acme_live_1OOivdDZfQCU_bt6gO89NcUzYEW1pIKnvsU7LGdgMmGxA18PCV4","File":"a"}]`)
	f.Add(`{"Raw":"acme_live_1OOivdDZfQCU_"}`)
	s, err := NewScanner([]string{"acme"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, report string) {
		found, err := s.Report(strings.NewReader(report))
		if err != nil && len(found) > 0 {
			t.Error("findings beside an error")
		}
	})
}
