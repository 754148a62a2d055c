package leakreport

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/url"
	"slices"
)

// finding is what a scanner found, in any format.
type finding struct {
	rule    string
	secrets []string // the secret, which may be masked
	context []string // what was around it
	path    string
	commit  string
	line    int
}

// object is a finding, or a document of findings, of any known scanner. Their names for the
// same thing differ, and no two of them mean different things. Lists have pointers, so that a
// list of nulls costs little memory.
type object struct {
	// gitleaks and betterleaks
	RuleID        string
	Secret, File  *string // GitHub's secret is null if hidden
	Match, Commit string
	StartLine     int

	// fob
	Key, ID *string
	Path    string
	Line    int

	// TruffleHog, and its log
	DetectorName         *string
	Raw, RawV2, Redacted string
	ExtraData            map[string]string
	SourceMetadata       struct{ Data map[string]json.RawMessage }
	Level, TS, Msg       *json.RawMessage

	// GitHub's alerts
	SecretType  *string `json:"secret_type"`
	DisplayName string  `json:"secret_type_display_name"`
	HTMLURL     string  `json:"html_url"`
	First       struct {
		Path      string
		StartLine int    `json:"start_line"`
		CommitSHA string `json:"commit_sha"`
	} `json:"first_location_detected"`

	// SARIF
	Version *string
	Runs    []*sarifRun

	// detect-secrets
	PluginsUsed *json.RawMessage `json:"plugins_used"`
	Results     map[string][]*struct {
		Type       string
		LineNumber int   `json:"line_number"`
		IsSecret   *bool `json:"is_secret"` // false: a person found that it is none
	}

	ggshieldScan
}

type sarifRun struct {
	Tool struct {
		Driver struct{ Rules []*struct{ ID string } }
	}
	Results []*struct {
		RuleID    string
		RuleIndex *int
		Message   struct{ Text string }
		Locations []*struct {
			PhysicalLocation struct {
				ArtifactLocation struct{ URI string }
				Region           struct {
					StartLine int
					Snippet   struct{ Text string }
				}
				ContextRegion struct{ Snippet struct{ Text string } }
			}
		}
		PartialFingerprints struct{ CommitSHA string }
	}
}

type ggshieldScan struct {
	ID             string
	Type           string
	TotalIncidents *int `json:"total_incidents"`
	Entities       []*struct {
		Filename  string
		Incidents []*struct {
			Type        string
			Occurrences []*struct {
				Match     string
				LineStart int `json:"line_start"`
			}
		}
	} `json:"entities_with_incidents"`
	Scans []*ggshieldScan
}

// findings returns what an object reports, if it is of a known format.
func (o *object) findings() (found []finding, known bool) {
	switch {
	case o.Version != nil && *o.Version == "2.1.0" && o.Runs != nil:
		return o.sarif(), true
	case o.PluginsUsed != nil && o.Results != nil:
		return o.detectSecrets(), true
	case o.TotalIncidents != nil:
		o.ggshieldScan.ID = value(o.ID)
		return o.ggshield(), true
	case o.DetectorName != nil:
		return []finding{o.truffleHog()}, true
	case o.SecretType != nil:
		return []finding{{
			rule: *o.SecretType + " " + o.DisplayName, secrets: []string{value(o.Secret)},
			path: cmp.Or(o.First.Path, o.HTMLURL), commit: o.First.CommitSHA, line: o.First.StartLine,
		}}, true
	case o.Secret != nil && o.File != nil:
		return []finding{{rule: o.RuleID, secrets: []string{*o.Secret}, context: []string{o.Match}, path: *o.File, commit: o.Commit, line: o.StartLine}}, true
	case o.Key != nil && o.ID != nil:
		return []finding{{secrets: []string{*o.Key}, path: o.Path, commit: o.Commit, line: o.Line}}, true
	}
	return nil, o.Level != nil && o.TS != nil && o.Msg != nil
}

func value(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

func (o *object) truffleHog() finding {
	f := finding{rule: *o.DetectorName + " " + o.ExtraData["name"], secrets: []string{o.Raw, o.RawV2}, context: []string{o.Redacted}}
	for _, source := range slices.Sorted(maps.Keys(o.SourceMetadata.Data)) {
		var at struct {
			Commit, File, Link string
			Line               int
		}
		if json.Unmarshal(o.SourceMetadata.Data[source], &at) == nil { // some sources have other fields
			f.path, f.commit, f.line = cmp.Or(at.File, at.Link), at.Commit, at.Line
		}
	}
	return f
}

func (o *object) sarif() (found []finding) {
	for _, run := range o.Runs {
		if run == nil {
			continue
		}
		for _, result := range run.Results {
			if result == nil {
				continue
			}
			f := finding{rule: result.RuleID, context: []string{result.Message.Text}, commit: result.PartialFingerprints.CommitSHA}
			if i := result.RuleIndex; f.rule == "" && i != nil && *i >= 0 && *i < len(run.Tool.Driver.Rules) && run.Tool.Driver.Rules[*i] != nil {
				f.rule = run.Tool.Driver.Rules[*i].ID
			}
			found = append(found, f)
			for i, location := range result.Locations {
				if location == nil {
					continue
				}
				at := location.PhysicalLocation
				f.path, f.line = at.ArtifactLocation.URI, at.Region.StartLine
				if path, err := url.PathUnescape(f.path); err == nil {
					f.path = path
				}
				f.secrets, f.context = []string{at.Region.Snippet.Text}, []string{result.Message.Text, at.ContextRegion.Snippet.Text}
				if i == 0 {
					found = found[:len(found)-1]
				}
				found = append(found, f)
			}
		}
	}
	return found
}

func (o *object) detectSecrets() (found []finding) {
	for _, path := range slices.Sorted(maps.Keys(o.Results)) {
		for _, result := range o.Results[path] {
			if result != nil && (result.IsSecret == nil || *result.IsSecret) {
				found = append(found, finding{rule: result.Type, path: path, line: result.LineNumber})
			}
		}
	}
	return found
}

func (s *ggshieldScan) ggshield() (found []finding) {
	commit := ""
	if s.Type == "commit" {
		commit = s.ID
	}
	for _, entity := range s.Entities {
		if entity == nil {
			continue
		}
		for _, incident := range entity.Incidents {
			if incident == nil {
				continue
			}
			for _, at := range incident.Occurrences {
				if at != nil {
					found = append(found, finding{rule: incident.Type, secrets: []string{at.Match}, path: entity.Filename, commit: commit, line: at.LineStart})
				}
			}
		}
	}
	for _, scan := range s.Scans {
		if scan != nil {
			found = append(found, scan.ggshield()...)
		}
	}
	return found
}
