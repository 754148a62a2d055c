// Package leakreport reads the reports of secret scanners, and finds the keys of some brands in
// them. A report is hostile text: it is bounded, and nothing in it is trusted.
package leakreport

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/leakscan"
	"github.com/fobcli/fob/internal/secret"
)

// Formats are the reports that Read knows.
const Formats = "JSON of gitleaks, betterleaks, TruffleHog, ggshield, detect-secrets, fob or GitHub's alerts, or SARIF 2.1.0"

// Finding is a key that a report mentions.
type Finding struct {
	ID     string        // of the key; "" if the report hides it
	Key    secret.Secret // the whole key; zero if the report has only a part of it
	Rule   string        // of the scanner
	Path   string
	Commit string
	Line   int // from 1; 0: unknown
}

// Report is what a file says of the keys of some brands.
type Report struct {
	Findings []Finding
	Hidden   []Finding // a key of these brands, or what may be one, whose id the report hides
	Others   int       // findings of something else
}

// FormatError is a file that is not a report of a known format.
type FormatError struct{ Read string } // what it is instead

func (e *FormatError) Error() string { return "not a report that fob reads: " + e.Read }

const (
	// maxSize is how many bytes of a report are read.
	maxSize = 64 << 20
	// maxObjects bounds what the JSON of a report needs in memory.
	maxObjects = 1 << 20
	// maxNesting is how deep lists of findings are nested: GitHub's pages are a list of lists.
	maxNesting = 2
)

// Read reads a report in any known format. Several values may follow one another, as lines or
// pages.
func Read(ctx context.Context, r io.Reader, brands []string) (Report, error) {
	scanner, err := leakscan.NewScanner(brands)
	if err != nil {
		return Report{}, err
	}
	text, err := io.ReadAll(io.LimitReader(r, maxSize+1))
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	switch {
	case err != nil:
		return Report{}, err
	case len(text) > maxSize:
		return Report{}, fmt.Errorf("the report has more than %d MiB", maxSize>>20)
	case bytes.Count(text, []byte("{")) > maxObjects:
		return Report{}, fmt.Errorf("the report has more than %d JSON objects", maxObjects)
	case len(bytes.TrimSpace(text)) == 0:
		return Report{}, &FormatError{"the file is empty"}
	}
	reader := reader{ctx: ctx, scanner: scanner, brands: brands, buffer: make([]byte, 64<<10)}
	decoder := json.NewDecoder(bytes.NewReader(text))
	for {
		var value json.RawMessage
		err := decoder.Decode(&value)
		if errors.Is(err, io.EOF) {
			return reader.report, nil
		}
		if err != nil {
			return Report{}, &FormatError{"the file is not JSON"}
		}
		if err := reader.value(value, 0); err != nil {
			return Report{}, err
		}
	}
}

// reader collects what a report says.
type reader struct {
	ctx     context.Context
	scanner *leakscan.Scanner
	brands  []string
	buffer  []byte
	report  Report
}

// value reads a finding, a document, or a list of them.
func (r *reader) value(value json.RawMessage, depth int) error {
	switch {
	case value[0] == '{':
		return r.object(value)
	case value[0] != '[':
		return &FormatError{"it has a JSON value that is not an object"}
	case depth == maxNesting:
		return &FormatError{"its lists are nested too deep"}
	}
	decoder := json.NewDecoder(bytes.NewReader(value))
	_, err := decoder.Token()
	for err == nil && decoder.More() {
		var element json.RawMessage
		if err = decoder.Decode(&element); err == nil {
			err = r.value(element, depth+1)
		}
	}
	return err
}

func (r *reader) object(value json.RawMessage) error {
	var o object
	if err := json.Unmarshal(value, &o); err != nil {
		return &FormatError{"it has " + describe(value)}
	}
	findings, known := o.findings()
	if !known && o.Version != nil && o.Runs != nil {
		return &FormatError{"it is SARIF of another version than 2.1.0"}
	}
	if !known {
		return &FormatError{"it has " + describe(value)}
	}
	for _, f := range findings {
		if err := r.add(f); err != nil {
			return err
		}
	}
	return nil
}

// describe names an unknown object by its members. Only plain names are shown: others may be
// secrets.
func describe(value json.RawMessage) string {
	var names []string
	decoder := json.NewDecoder(bytes.NewReader(value))
	_, _ = decoder.Token()
	for decoder.More() && len(names) < 5 {
		token, err := decoder.Token()
		name, _ := token.(string)
		var skipped json.RawMessage
		if err != nil || decoder.Decode(&skipped) != nil {
			break
		}
		if len(name) <= 30 && strings.Trim(strings.ToLower(name), "abcdefghijklmnopqrstuvwxyz_") == "" {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "an object of another kind"
	}
	return "an object with " + strings.Join(names, ", ")
}

// add finds the keys in a finding: whole ones, else the ids of others. What a scanner masked is
// kept if it may be a key.
func (r *reader) add(f finding) error {
	place := Finding{Rule: f.rule, Path: f.path, Commit: f.commit, Line: f.line}
	var found []Finding
	add := func(id string, key secret.Secret) {
		if !slices.ContainsFunc(found, func(f Finding) bool { return f.ID == id && f.Key == key }) {
			place.ID, place.Key = id, key
			found = append(found, place)
		}
	}
	for _, text := range slices.Concat(f.secrets, f.context) {
		var err error
		if r.buffer, err = r.scanner.Scan(r.ctx, strings.NewReader(text), r.buffer, func(f leakscan.Finding) { add(f.ID, f.Key) }); err != nil {
			return err
		}
	}
	for _, text := range slices.Concat(f.secrets, f.context) {
		if len(found) == 0 || found[0].Key.IsZero() {
			r.ids(text, add)
		}
	}
	switch {
	case len(found) > 0:
		r.report.Findings = append(r.report.Findings, found...)
	case f.hidden(r.brands):
		r.report.Hidden = append(r.report.Hidden, place)
	default:
		r.report.Others++
	}
	return nil
}

// ids finds keys by their start: BRAND_ENV_ID.
func (r *reader) ids(text string, add func(string, secret.Secret)) {
	for _, brand := range r.brands {
		for rest := text; ; {
			_, after, found := strings.Cut(rest, brand+"_")
			if !found {
				break
			}
			rest = after
			_, id, _ := strings.Cut(after, "_")
			if end := strings.IndexFunc(id, func(c rune) bool { return !isWord(c) }); end >= 0 {
				id = id[:end]
			}
			if apikey.CheckID(id) == nil {
				add(id, secret.Secret{})
			}
		}
	}
}

func isWord(c rune) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}

// hidden reports whether a finding without a readable key may be a key: its secret is masked,
// and its rule or what is left of it is a brand's, or its rule finds secrets of any kind.
func (f *finding) hidden(brands []string) bool {
	start, masked := "", true
	for _, text := range f.secrets {
		visible, isMasked := unmasked(text)
		start, masked = start+visible, masked && isMasked
	}
	if !masked {
		return false
	}
	words := strings.FieldsFunc(strings.ToLower(f.rule), func(c rune) bool { return !isWord(c) })
	generic := len(words) == 0 || slices.ContainsFunc([]string{"generic", "entropy", "keyword", "password", "custom"}, func(word string) bool {
		return strings.Contains(strings.ToLower(f.rule), word)
	})
	return slices.ContainsFunc(brands, func(brand string) bool {
		return slices.Contains(words, brand) || strings.HasPrefix(start, brand+"_") || generic && strings.HasPrefix(brand+"_", start)
	})
}

// unmasked returns the start of a secret that its scanner left, and whether the rest is masked.
func unmasked(text string) (start string, masked bool) {
	for _, mask := range []string{"REDACTED", "redacted", "*", "...", "…"} {
		if before, _, found := strings.Cut(text, mask); found {
			text, masked = before, true
		}
	}
	return strings.Trim(text, "[<( "), masked || text == ""
}
