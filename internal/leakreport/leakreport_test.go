package leakreport

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/secret"
)

const wholeKey = "acme_live_1OOivdDZfQCU_bt6gO89NcUzYEW1pIKnvsU7LGdgMmGxA18PCV4"

// shown is a finding in one line: whether the report has the whole key, its id, or nothing.
func shown(f Finding) string {
	part := "hidden " + f.Rule
	switch {
	case f.Key == secret.New(wholeKey):
		part = "key"
	case !f.Key.IsZero():
		part = "another key"
	case f.ID != "":
		part = "id " + f.ID
	}
	return fmt.Sprintf("%s at %s:%d %.6s", part, f.Path, f.Line, f.Commit)
}

// The reports are those of gitleaks itself; of the other scanners, written as their sources and
// documentation describe them.
func TestRead_Scanners(t *testing.T) {
	for _, test := range []struct {
		file   string
		want   []string
		others int
	}{
		{"gitleaks.json", []string{"key at a.env:1 047032"}, 1},
		{"gitleaks-redacted.json", []string{"hidden acme-api-key at a.env:1 047032"}, 1},
		{"gitleaks-redacted-95.json", []string{"hidden acme-api-key at a.env:1 047032"}, 1},
		{"gitleaks-redacted-60.json", []string{"id 1OOivdDZfQCU at a.env:1 047032"}, 1},
		{"gitleaks.sarif", []string{"key at a.env:1 047032"}, 1},
		{"gitleaks-redacted.sarif", []string{"hidden acme-api-key at a.env:1 047032"}, 1},
		{"betterleaks.json", []string{"key at a.env:1 c0ffee"}, 0},
		{"trufflehog.jsonl", []string{"key at a.env:1 c0ffee"}, 1},
		{"trufflehog.sarif", []string{"hidden CustomRegex at with blank/a.env:1 "}, 0},
		{"ggshield.json", []string{"hidden Generic High Entropy Secret at a.env:1 c0ffee"}, 2},
		{"ggshield-clear.json", []string{"key at a.env:1 "}, 0},
		{"detect-secrets.json", []string{"hidden Secret Keyword at a.env:1 "}, 1},
		{"github.json", []string{"key at a.env:1 c0ffee"}, 1},
		{"github-hidden.json", []string{"hidden acme_api_key acme API key at a.env:1 c0ffee", "hidden acme_api_key acme API key at https://github.com/acme/shop/security/secret-scanning/43:0 "}, 1},
		{"fob.json", []string{"id 1OOivdDZfQCU at a.env:1 "}, 0},
	} {
		text, err := os.ReadFile(filepath.Join("testdata", test.file))
		if err != nil {
			t.Fatal(err)
		}
		for _, mark := range []string{"", "\ufeff"} { // which PowerShell writes
			report, err := Read(t.Context(), strings.NewReader(mark+string(text)), []string{"other", "acme"})
			var got []string
			for _, f := range slices.Concat(report.Findings, report.Hidden) {
				got = append(got, shown(f))
			}
			if err != nil || !slices.Equal(got, test.want) || report.Others != test.others {
				t.Errorf("%s: %q and %d others, %v", test.file, got, report.Others, err)
			}
		}
	}
}

// A masked secret is a key's, may be a key's, or cannot be one.
func TestRead_Masks(t *testing.T) {
	for _, test := range []struct {
		rule, secret string
		hidden       bool
	}{
		{"acme-api-key", "REDACTED", true},
		{"Acme API key", "", true},
		{"acme-api-key", "acme_live_1OOivd_not_a_key", false}, // whole, and its checksum is wrong
		{"generic-api-key", "REDACTED", true},
		{"generic-api-key", "ac…", true},
		{"generic-api-key", "acme_l...", true},
		{"generic-api-key", "ghp_ab...", false},
		{"generic-api-key", "acmE****", false},
		{"Base64 High Entropy String", "[REDACTED]", true},
		{"github-pat", "REDACTED", false},
		{"github-pat", "acme_****", true},
		{"macmeasure-token", "***", false},
		{"", "", true},
	} {
		input := fmt.Sprintf(`[{"RuleID":%q,"Secret":%q,"File":"a"}]`, test.rule, test.secret)
		report, err := Read(t.Context(), strings.NewReader(input), []string{"acme"})
		if err != nil || (len(report.Hidden) == 1) != test.hidden || len(report.Hidden)+report.Others != 1 {
			t.Errorf("%s: %+v, %v", input, report, err)
		}
	}
}

func TestRead_NoFindings(t *testing.T) {
	for _, input := range []string{
		"[]", "[]\n[]", `{"version":"2.1.0","runs":[]}`, `{"version":"2.1.0","runs":[null,{"results":null},{"results":[{"ruleId":"x","ruleIndex":7,"message":{"text":"y"}}]}]}`,
		`{"plugins_used":[],"results":{"a":null}}`, `{"id":"x","type":"path_scan","total_incidents":0,"scans":[null],"entities_with_incidents":[null,{"incidents":[null,{"occurrences":null}]}]}`,
		`{"level":"info-0","ts":"2026","msg":"finished scanning"}`, `[{"Secret":"other_live_1OOivdDZfQCU_x","File":"a"}]`,
	} {
		if report, err := Read(t.Context(), strings.NewReader(input), []string{"acme"}); err != nil || len(report.Findings)+len(report.Hidden) > 0 {
			t.Errorf("%s: %+v, %v", input, report, err)
		}
	}
}

// Whatever is not a report of a known format is an error, and nothing that may be a secret is in
// its text.
func TestRead_OtherFiles(t *testing.T) {
	for input, want := range map[string]string{
		"":                                    "the file is empty",
		" \n":                                 "the file is empty",
		"API_KEY=hunter22":                    "the file is not JSON",
		"<html>":                              "the file is not JSON",
		"[{":                                  "the file is not JSON",
		"[] trailing":                         "the file is not JSON",
		`"hunter22"`:                          "not an object",
		`["hunter22"]`:                        "not an object",
		"null":                                "not an object",
		"[null]":                              "not an object",
		"[[[[]]]]":                            "not an object",
		"{}":                                  "an object with unknown members",
		`{"hunter22":1}`:                      "an object with unknown members",
		`{"findings":[],"tool":"x"}`:          "an object with findings, tool",
		`{"RuleID":1,"Secret":2,"File":3}`:    "an object with File, RuleID, Secret",
		`[{"Secret":"x","File":"a"},{"a":1}]`: "an object with a",
		`{"version":"2.0.0","runs":[]}`:       "SARIF of another version",
		`{"version":"2.1.0"}`:                 "an object with version",
	} {
		report, err := Read(t.Context(), strings.NewReader(input), []string{"acme"})
		if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter") || report.Findings != nil {
			t.Errorf("%s: %v", input, err)
		}
	}
	for _, large := range []string{strings.Repeat(" ", maxSize+1), strings.Repeat("{}", maxValues+1), "[" + strings.Repeat("null,", maxValues+1)} {
		if _, err := Read(t.Context(), strings.NewReader(large), []string{"acme"}); err == nil || !strings.Contains(err.Error(), "more than") {
			t.Errorf("too large: %v", err)
		}
	}
	if _, err := Read(t.Context(), strings.NewReader("[]"), []string{"A!"}); err == nil {
		t.Error("an invalid brand is accepted")
	}
}

// Each element of an array needs 24 bytes, however short it is.
func TestH62_ReportOfManyElements(t *testing.T) {
	for _, start := range []string{`{"version":"2.1.0","runs":[`, `{"version":"2.1.0","runs":[{"results":[`, `{"total_incidents":1,"scans":[`, `{"plugins_used":[],"results":{"\"":[`} {
		for _, element := range []string{"1, ", "[],", `"",`, `"\\",`} {
			if _, err := Read(t.Context(), strings.NewReader(start+strings.Repeat(element, maxValues+1)), []string{"acme"}); err == nil || !strings.Contains(err.Error(), "more than") {
				t.Errorf("%s%s: %v", start, element, err)
			}
		}
	}
	if text := `{"a":["[,",{"b":1,"c":[1,2]}],"d\"[,":"[,","e":[[],[3]]}`; countValues([]byte(text)) != 27 {
		t.Errorf("%s: %d", text, countValues([]byte(text)))
	}
}

func FuzzRead(f *testing.F) {
	files, err := filepath.Glob("testdata/*.*")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		report, err := Read(t.Context(), strings.NewReader(string(text)), []string{"acme"})
		if err != nil && len(report.Findings)+len(report.Hidden)+report.Others > 0 {
			t.Error("findings beside an error")
		}
		for _, found := range report.Findings {
			if found.ID == "" {
				t.Error("a finding without an id")
			}
		}
	})
}
