package leakscan

import (
	"fmt"
	"net/url"
	"path/filepath"
)

// SARIF is a log of findings in the Static Analysis Results Interchange Format 2.1.0
// (OASIS), as code scanning reads it. describe is asked for each finding by its number.
func SARIF(version string, findings []Finding, describe func(i int) (message string, live bool)) any {
	results := make([]map[string]any, 0, len(findings))
	for i, f := range findings {
		message, live := describe(i)
		level := "warning"
		if live {
			level = "error"
		}
		result := map[string]any{
			"ruleId": "api-key", "level": level, "message": map[string]string{"text": message},
			"partialFingerprints": map[string]string{"keyId": f.ID},
		}
		if f.Path != "" {
			result["locations"] = []map[string]any{{"physicalLocation": map[string]any{
				"artifactLocation": map[string]string{"uri": uri(f.Path)},
				"region":           map[string]int{"startLine": f.Line, "startColumn": f.Column},
			}}}
		}
		results = append(results, result)
	}
	return map[string]any{
		"version": "2.1.0",
		"$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
		"runs": []map[string]any{{
			"tool": map[string]any{"driver": map[string]any{
				"name": "fob", "version": version,
				"rules": []map[string]any{{"id": "api-key", "name": "APIKey", "shortDescription": map[string]string{"text": "An API key is where others can read it"}}},
			}},
			"results": results,
		}},
	}
}

// uri is a path as a reference: a blank or # in a name would end it.
func uri(path string) string { return (&url.URL{Path: filepath.ToSlash(path)}).String() }

// Masked is a key without its secret: what may be shown of it.
func (f Finding) Masked() string { return fmt.Sprintf("%s_%s_%s_…", f.Brand, f.Environment, f.ID) }
