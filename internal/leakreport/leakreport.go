// Package leakreport reads the reports of secret scanners, and finds the keys of some brands in
// them. A report is hostile text: it is bounded, and nothing in it is trusted.
package leakreport

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/leakscan"
	"github.com/fobcli/fob/internal/sanitize"
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

// Report is the keys of some brands in a file.
type Report struct {
	Findings []Finding
	Hidden   []Finding // a key of these brands, or what may be one, whose id the report hides
	Others   int       // findings of something else
}

// ErrFormat is a file that is not a report of a known format.
var ErrFormat = errors.New("not a report that fob reads")

const (
	// maxSize is how many bytes of a report are read.
	maxSize = 64 << 20
	// maxValues bounds the memory that the JSON of a report needs. An object needs as much as
	// eight other values.
	maxValues = 4 << 20
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
	text, err := io.ReadAll(io.LimitReader(sanitize.NewReader(r), maxSize+1))
	switch {
	case err != nil:
		return Report{}, err
	case len(text) > maxSize || countValues(text) > maxValues:
		return Report{}, fmt.Errorf("the report has more than %d MiB, or more than %d values", maxSize>>20, maxValues)
	case len(bytes.TrimSpace(text)) == 0:
		return Report{}, fmt.Errorf("%w: the file is empty", ErrFormat)
	}
	reader := reader{ctx: ctx, scanner: scanner, brands: brands, buffer: make([]byte, 64<<10)}
	for decoder := json.NewDecoder(bytes.NewReader(text)); ; {
		v := value{wrong: new(bool)}
		err := decoder.Decode(&v.json)
		switch {
		case errors.Is(err, io.EOF):
			return reader.report, nil
		case err != nil:
			return Report{}, fmt.Errorf("%w: the file is not JSON", ErrFormat)
		}
		if err := reader.read(v, 0); err != nil {
			return Report{}, err
		}
	}
}

// countValues counts the values in JSON roughly, an object as eight.
func countValues(text []byte) (n int) {
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{':
			n += 8
		case c == '[', c == ',':
			n++
		}
	}
	return n
}

type reader struct {
	ctx     context.Context
	scanner *leakscan.Scanner
	brands  []string
	buffer  []byte
	report  Report
}

// read reads a finding, a document, or a list of them.
func (r *reader) read(v value, depth int) error {
	if _, isObject := v.json.(map[string]any); isObject {
		return r.object(v)
	}
	if _, isList := v.json.([]any); !isList || depth == maxNesting {
		return fmt.Errorf("%w: it has a JSON value that is not an object", ErrFormat)
	}
	for _, element := range v.list() {
		if err := r.read(element, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) object(object value) error {
	findings, known := object.findings()
	switch {
	case !known && object.has("runs"):
		return fmt.Errorf("%w: it is SARIF of another version than 2.1.0", ErrFormat)
	case !known || *object.wrong:
		return fmt.Errorf("%w: it has an object with %s", ErrFormat, plainNames(object.members()))
	}
	for _, f := range findings {
		if err := r.add(f); err != nil {
			return err
		}
	}
	return nil
}

// plainNames names members of an unknown object, without those that may be secrets.
func plainNames(members map[string]any) string {
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(members)), func(name string) bool {
		return len(name) > 30 || strings.Trim(strings.ToLower(name), "abcdefghijklmnopqrstuvwxyz_") != ""
	})
	return cmp.Or(strings.Join(names[:min(5, len(names))], ", "), "unknown members")
}

// add finds the keys in a finding: whole ones, else the ids of others. What a scanner masked is
// included if it may be a key.
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
	parts := strings.Split(text, "_")
	for i := 2; i < len(parts); i++ {
		id := parts[i]
		if end := strings.IndexFunc(id, isOther); end >= 0 {
			id = id[:end]
		}
		isOurs := slices.ContainsFunc(r.brands, func(brand string) bool { return strings.HasSuffix(parts[i-2], brand) })
		if isOurs && apikey.CheckID(id) == nil {
			add(id, secret.Secret{})
		}
	}
}

// isOther reports whether a character is neither a letter nor a digit.
func isOther(c rune) bool {
	return (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z')
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
	rule := strings.ToLower(f.rule)
	words := strings.FieldsFunc(rule, isOther)
	generic := len(words) == 0 || slices.ContainsFunc([]string{"generic", "entropy", "keyword", "password", "custom"}, func(word string) bool { return strings.Contains(rule, word) })
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
