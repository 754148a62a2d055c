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
// same thing differ, and no two of them mean different things.
type object struct {
	// gitleaks and betterleaks
	RuleID        string
	Secret, File  *string // GitHub's secret is null if hidden
	Match, Commit string
	StartLine     int

	// fob
	Key, ID             *string
	Path                string
	Line                int
	Destination         string           // of a key that was found there: no leak
	ExecutionSuccessful *json.RawMessage // of what was not scanned

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
	Version string
	Runs    []sarifRun

	// detect-secrets
	PluginsUsed *json.RawMessage `json:"plugins_used"`
	Results     map[string][]struct {
		Type       string
		LineNumber int   `json:"line_number"`
		IsSecret   *bool `json:"is_secret"` // false: a person found that it is none
	}

	ggshieldScan
}

type sarifRun struct {
	Tool struct {
		Driver struct{ Rules []struct{ ID string } }
	}
	Results []struct {
		RuleID    string
		RuleIndex *int
		Message   struct{ Text string }
		Locations []sarifLocation

		PartialFingerprints struct{ CommitSHA string }
	}
}

type sarifLocation struct {
	PhysicalLocation struct {
		ArtifactLocation struct{ URI string }
		Region           struct {
			StartLine int
			Snippet   struct{ Text string }
		}
		ContextRegion struct{ Snippet struct{ Text string } }
	}
}

type ggshieldScan struct {
	ID, Type       string
	TotalIncidents *int `json:"total_incidents"`
	Entities       []struct {
		Filename  string
		Incidents []struct {
			Type        string
			Occurrences []struct {
				Match     string
				LineStart int `json:"line_start"`
			}
		}
	} `json:"entities_with_incidents"`
	Scans []ggshieldScan
}

// findings returns what an object reports, if it is of a known format.
func (o *object) findings() (found []finding, known bool) {
	switch {
	case o.Version == "2.1.0" && o.Runs != nil:
		for _, run := range o.Runs {
			found = append(found, run.findings()...)
		}
	case o.PluginsUsed != nil && o.Results != nil:
		for _, path := range slices.Sorted(maps.Keys(o.Results)) {
			for _, result := range o.Results[path] {
				if result.IsSecret == nil || *result.IsSecret {
					found = append(found, finding{rule: result.Type, path: path, line: result.LineNumber})
				}
			}
		}
	case o.TotalIncidents != nil:
		found = o.ggshieldScan.findings()
	case o.DetectorName != nil:
		found = []finding{o.truffleHog()}
	case o.SecretType != nil:
		found = []finding{{rule: *o.SecretType + " " + o.DisplayName, path: cmp.Or(o.First.Path, o.HTMLURL), commit: o.First.CommitSHA, line: o.First.StartLine}}
		if o.Secret != nil {
			found[0].secrets = []string{*o.Secret}
		}
	case o.Secret != nil && o.File != nil:
		found = []finding{{rule: o.RuleID, secrets: []string{*o.Secret}, context: []string{o.Match}, path: *o.File, commit: o.Commit, line: o.StartLine}}
	case o.Key != nil && o.ID != nil && o.Destination == "":
		found = []finding{{secrets: []string{*o.Key}, path: o.Path, commit: o.Commit, line: o.Line}}
	case o.Key != nil && o.ID != nil:
	default:
		return nil, o.ExecutionSuccessful != nil || o.Level != nil && o.TS != nil && o.Msg != nil
	}
	return found, true
}

func (o *object) truffleHog() finding {
	f := finding{rule: *o.DetectorName + " " + o.ExtraData["name"], secrets: []string{o.Raw, o.RawV2}, context: []string{o.Redacted}}
	for _, data := range o.SourceMetadata.Data { // of one source
		var at struct {
			Commit, File, Link string
			Line               int
		}
		_ = json.Unmarshal(data, &at) // some sources have other fields
		f.path, f.commit, f.line = cmp.Or(at.File, at.Link), at.Commit, at.Line
	}
	return f
}

func (run *sarifRun) findings() (found []finding) {
	for _, result := range run.Results {
		rule, rules := result.RuleID, run.Tool.Driver.Rules
		if i := result.RuleIndex; rule == "" && i != nil && *i >= 0 && *i < len(rules) {
			rule = rules[*i].ID
		}
		if len(result.Locations) == 0 {
			result.Locations = make([]sarifLocation, 1)
		}
		for _, location := range result.Locations {
			at := location.PhysicalLocation
			path, _ := url.PathUnescape(at.ArtifactLocation.URI)
			found = append(found, finding{
				rule: rule, secrets: []string{at.Region.Snippet.Text}, context: []string{result.Message.Text, at.ContextRegion.Snippet.Text},
				path: cmp.Or(path, at.ArtifactLocation.URI), commit: result.PartialFingerprints.CommitSHA, line: at.Region.StartLine,
			})
		}
	}
	return found
}

func (s *ggshieldScan) findings() (found []finding) {
	commit := map[bool]string{true: s.ID}[s.Type == "commit"]
	for _, entity := range s.Entities {
		for _, incident := range entity.Incidents {
			for _, at := range incident.Occurrences {
				found = append(found, finding{rule: incident.Type, secrets: []string{at.Match}, path: entity.Filename, commit: commit, line: at.LineStart})
			}
		}
	}
	for _, scan := range s.Scans {
		found = append(found, scan.findings()...)
	}
	return found
}
