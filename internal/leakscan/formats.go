package leakscan

import (
	"fmt"
	"net/url"

	"github.com/fobcli/fob/internal/apikey"
)

// Masked is a key without its secret: what may be shown of it.
func (f Finding) Masked() string { return fmt.Sprintf("%s_%s_%s_…", f.Brand, f.Environment, f.ID) }

// Expression matches the keys of a brand. It has no boundaries, so that a key behind a
// letter, a JSON escape or another key is found.
func Expression(brand string) string {
	return brand + `_[a-z0-9]{2,12}_[0-9A-Za-z]{12}_[0-9A-Za-z]{38}`
}

// Rules writes rules for a scanner that find the keys of some brands.
func Rules(format string, brands []string) (string, error) {
	var rules, rule string // a rule has the brand and its expression
	switch format {
	case "gitleaks", "betterleaks": // without this, the scanner's own rules are off
		rules = "[extend]\nuseDefault = true\n\n"
		rule = `[[rules]]
id = "%[1]s-api-key"
description = "API key of %[1]s"
regex = '''%[2]s'''
keywords = ["%[1]s_"]

`
	case "trufflehog":
		rules = "detectors:\n"
		rule = `  - name: %[1]s API key
    keywords: ["%[1]s_"]
    regex:
      key: '%[2]s'
`
	case "github": // the fields of a custom pattern, which by default requires boundaries
		rule = `Pattern name:    %s API key
Secret format:   %s
Before secret:   \A|[\s\S]
After secret:    \z|[\s\S]

`
	default:
		return "", fmt.Errorf("unknown format %.40q", format)
	}
	for _, brand := range brands {
		if err := apikey.CheckBrand(brand); err != nil {
			return "", err
		}
		rules += fmt.Sprintf(rule, brand, Expression(brand))
	}
	return rules, nil
}

// SARIF returns findings as a log in the Static Analysis Results Interchange Format 2.1.0
// (OASIS), with what GitHub's code scanning requires. describe is called for each finding
// with its number.
func SARIF(version string, r Result, describe func(i int) (message string, live bool)) any {
	results := make([]any, len(r.Findings))
	for i := range r.Findings {
		f := &r.Findings[i]
		message, live := describe(i)
		level := "warning"
		if live {
			level = "error"
		}
		results[i] = map[string]any{
			"ruleId": "api-key", "level": level, "message": sarifText(message),
			"locations": []any{map[string]any{"physicalLocation": map[string]any{
				"artifactLocation": map[string]string{"uri": (&url.URL{Path: f.Place()}).String()},
				"region":           map[string]int{"startLine": f.Line, "startColumn": f.Column},
			}}},
			"partialFingerprints": map[string]string{"keyId": f.ID},
			"properties":          map[string]string{"kind": string(f.Kind), "commit": f.Commit},
		}
	}
	const advice = "Replace a live key with 'fob incident', then remove it from where it was found."
	rule := map[string]any{
		"id": "api-key", "name": "APIKey", "shortDescription": sarifText("An API key is where others can read it"),
		"fullDescription": sarifText("The text is a whole API key with a valid checksum."),
		"help":            sarifText(advice),
		"properties":      map[string]any{"security-severity": "9.0", "precision": "very-high", "tags": []string{"security"}},
	}
	notices := []any{}
	for _, u := range r.Unread {
		notices = append(notices, map[string]any{"level": "error", "message": sarifText("not scanned: " + u.String())})
	}
	for _, path := range r.Submodules {
		notices = append(notices, map[string]any{"level": "note", "message": sarifText("not scanned: submodule " + path)})
	}
	return map[string]any{
		"version": "2.1.0",
		"$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
		"runs": []any{map[string]any{
			"tool":       map[string]any{"driver": map[string]any{"name": "fob", "version": version, "rules": []any{rule}}},
			"columnKind": "unicodeCodePoints",
			"invocations": []any{map[string]any{
				"executionSuccessful": len(r.Unread) == 0, "toolExecutionNotifications": notices,
			}},
			"results": results,
		}},
	}
}

func sarifText(text string) map[string]string { return map[string]string{"text": text} }
