package leakscan

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/secret"
)

// Reported is a key that a scanner's report tells of.
type Reported struct {
	ID     string        // of the key, by what the report says
	Key    secret.Secret // the whole key; zero where the report has but a part
	Path   string
	Commit string
	Line   int // from 1; 0: not told
}

// ErrReport is a file that is no report of a scanner that fob knows.
var ErrReport = errors.New("it is not a JSON report of gitleaks, TruffleHog, fob or GitHub")

// maxReport is how many bytes of a report are read.
const maxReport = 256 << 20

// reportEntry is a finding as the scanners write it. Their names for the same differ,
// and no two of them mean different things.
type reportEntry struct {
	Secret, Match        string // gitleaks; GitHub's alerts have "secret"
	Raw, RawV2, Redacted string // TruffleHog
	Key, ID              string // fob, without the secret
	File, Path           string
	StartLine, Line      int
	Commit               string
	SourceMetadata       struct { // where TruffleHog has looked
		Data map[string]struct {
			Commit, File string
			Line         int
		}
	}
	FirstLocationDetected struct { // where GitHub has
		Path      string
		StartLine int    `json:"start_line"`
		CommitSHA string `json:"commit_sha"`
	} `json:"first_location_detected"`
}

// Report reads what another scanner, or fob, has found: a JSON array of findings, or
// one finding a line. What it has of the scanner's brands is returned, each key once at
// each place; the rest is not ours.
func (s *Scanner) Report(r io.Reader) ([]Reported, error) {
	limited := &io.LimitedReader{R: r, N: maxReport + 1}
	decoder := json.NewDecoder(limited)
	var all []Reported
	for {
		var value json.RawMessage
		switch err := decoder.Decode(&value); {
		case limited.N <= 0:
			return nil, fmt.Errorf("the report has more than %d MiB", maxReport>>20)
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, ErrReport
		}
		entries := []reportEntry{{}}
		target := any(&entries[0])
		if bytes.HasPrefix(bytes.TrimSpace(value), []byte("[")) {
			target = &entries
		}
		if err := json.Unmarshal(value, target); err != nil {
			return nil, ErrReport
		}
		for i := range entries {
			all = append(all, s.reported(&entries[i])...)
		}
	}
}

// reported are the keys of one finding: whole ones, else the ids of others.
func (s *Scanner) reported(e *reportEntry) []Reported {
	place := e.place()
	var found []Reported
	add := func(id string, key secret.Secret) {
		same := func(r Reported) bool { return r.ID == id && r.Key == key }
		if !slices.ContainsFunc(found, same) {
			one := place
			one.ID, one.Key = id, key
			found = append(found, one)
		}
	}
	texts := []string{e.Secret, e.Match, e.Raw, e.RawV2, e.Redacted, e.Key}
	for _, text := range texts {
		for _, m := range s.find([]byte(text)) {
			add(m.parts.ID, secret.New(m.key))
		}
	}
	if len(found) > 0 {
		return found
	}
	for _, text := range texts {
		for _, id := range s.ids(text) {
			add(id, secret.Secret{})
		}
	}
	return found
}

func (e *reportEntry) place() Reported {
	place := Reported{Path: cmp.Or(e.File, e.Path), Commit: e.Commit, Line: max(e.StartLine, e.Line)}
	for _, data := range e.SourceMetadata.Data {
		place.Path, place.Commit, place.Line = data.File, data.Commit, data.Line
	}
	if first := e.FirstLocationDetected; first.Path != "" {
		place.Path, place.Commit, place.Line = first.Path, first.CommitSHA, first.StartLine
	}
	return place
}

// ids are those of keys whose start alone stands in a text: BRAND_ENV_ID.
func (s *Scanner) ids(text string) []string {
	var ids []string
	for _, brand := range s.brands {
		for rest := text; ; {
			_, behind, found := strings.Cut(rest, brand)
			if !found {
				break
			}
			rest = behind
			_, start, _ := strings.Cut(behind, "_")
			end := 0
			for end < len(start) && isWord(start[end]) {
				end++
			}
			if apikey.CheckID(start[:end]) == nil {
				ids = append(ids, start[:end])
			}
		}
	}
	return ids
}

func isWord(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}

// Masked is a key without its secret: what may be shown of it.
func (f Finding) Masked() string { return fmt.Sprintf("%s_%s_%s_…", f.Brand, f.Environment, f.ID) }

// Formats lists the scanners that Rules knows.
func Formats() []string { return []string{"gitleaks", "betterleaks", "trufflehog", "github"} }

// Expression matches the keys of a brand. It has no boundaries, so that a key behind a
// letter, a JSON escape or another key is found.
func Expression(brand string) string {
	return brand + `_[a-z0-9]{2,12}_[0-9A-Za-z]{12}_[0-9A-Za-z]{38}`
}

// Rules writes rules for a scanner that find the keys of some brands.
func Rules(format string, brands []string) (string, error) {
	write := map[string]func(brand string) string{
		"gitleaks": gitleaksRule, "betterleaks": gitleaksRule, "trufflehog": trufflehogRule, "github": githubRule,
	}[format]
	if write == nil {
		return "", fmt.Errorf("there is no format %.40q: there are %s", format, strings.Join(Formats(), ", "))
	}
	var b strings.Builder
	if format == "trufflehog" {
		b.WriteString("detectors:\n")
	} else if format != "github" { // without this, the scanner's own rules are off
		b.WriteString("[extend]\nuseDefault = true\n\n")
	}
	for _, brand := range brands {
		b.WriteString(write(brand))
	}
	return b.String(), nil
}

func gitleaksRule(brand string) string {
	return fmt.Sprintf(`[[rules]]
id = "%[1]s-api-key"
description = "API key of %[1]s"
regex = '''%[2]s'''
keywords = ["%[1]s_"]

`, brand, Expression(brand))
}

func trufflehogRule(brand string) string {
	return fmt.Sprintf(`  - name: %[1]s API key
    keywords: ["%[1]s_"]
    regex:
      key: '%[2]s'
`, brand, Expression(brand))
}

// githubRule returns the fields of a custom pattern of GitHub's secret scanning, which by
// default requires boundaries.
func githubRule(brand string) string {
	return fmt.Sprintf(`Pattern name:    %s API key
Secret format:   %s
Before secret:   \A|[\s\S]
After secret:    \z|[\s\S]

`, brand, Expression(brand))
}
