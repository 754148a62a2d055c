package leakreport

import (
	"cmp"
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

// value is a value in a report. One that is missing or null is empty.
type value struct {
	json  any
	wrong *bool // set if a value does not have the type that a format requires
}

func as[T any](v value) T {
	typed, ok := v.json.(T)
	*v.wrong = *v.wrong || !ok && v.json != nil
	return typed
}

func (v value) members() map[string]any { return as[map[string]any](v) }

func (v value) at(path ...string) value {
	for _, name := range path {
		v.json = v.members()[name]
	}
	return v
}

func (v value) text(path ...string) string { return as[string](v.at(path...)) }

func (v value) number(path ...string) int { return int(as[float64](v.at(path...))) }

func (v value) list(path ...string) []value {
	elements := as[[]any](v.at(path...))
	values := make([]value, len(elements))
	for i := range elements {
		values[i] = value{elements[i], v.wrong}
	}
	return values
}

func (v value) has(names ...string) bool {
	return !slices.ContainsFunc(names, func(name string) bool { return v.at(name).json == nil })
}

// findings returns what an object reports: a finding, or a document of findings, if it is of
// a known format.
func (v value) findings() (found []finding, known bool) {
	switch {
	case v.has("version", "runs") && v.text("version") == "2.1.0":
		for _, run := range v.list("runs") {
			found = append(found, run.sarif()...)
		}
	case v.has("plugins_used", "results"):
		found = v.detectSecrets()
	case v.has("total_incidents"):
		found = v.ggshield()
	case v.has("DetectorName"):
		found = []finding{v.truffleHog()}
	case v.has("secret_type"): // GitHub's alerts
		at := v.at("first_location_detected")
		found = []finding{{
			rule: v.text("secret_type") + " " + v.text("secret_type_display_name"), secrets: []string{v.text("secret")},
			path: cmp.Or(at.text("path"), v.text("html_url")), commit: at.text("commit_sha"), line: at.number("start_line"),
		}}
	case v.has("Secret", "File"): // gitleaks and betterleaks
		found = []finding{{
			rule: v.text("RuleID"), secrets: []string{v.text("Secret")}, context: []string{v.text("Match")},
			path: v.text("File"), commit: v.text("Commit"), line: v.number("StartLine"),
		}}
	case v.has("key", "id") && v.text("destination") == "": // fob; a key at its destination is not a leak
		found = []finding{{secrets: []string{v.text("key")}, path: v.text("path"), commit: v.text("commit"), line: v.number("line")}}
	default: // keys at their destinations, what fob did not scan, and TruffleHog's log
		return nil, v.has("key", "id") || v.has("executionSuccessful") || v.has("level", "ts", "msg")
	}
	return found, true
}

func (v value) detectSecrets() (found []finding) {
	for _, path := range slices.Sorted(maps.Keys(v.at("results").members())) {
		for _, result := range v.list("results", path) {
			if result.at("is_secret").json != false { // marked as a false positive
				found = append(found, finding{rule: result.text("type"), path: path, line: result.number("line_number")})
			}
		}
	}
	return found
}

func (v value) truffleHog() finding {
	f := finding{
		rule:    v.text("DetectorName") + " " + v.text("ExtraData", "name"),
		secrets: []string{v.text("Raw"), v.text("RawV2")}, context: []string{v.text("Redacted")},
	}
	for _, source := range v.at("SourceMetadata", "Data").members() { // there is one
		at := value{source, new(bool)} // some sources have other members
		f.path, f.commit, f.line = cmp.Or(at.text("file"), at.text("link")), at.text("commit"), at.number("line")
	}
	return f
}

func (v value) sarif() (found []finding) {
	rules := v.list("tool", "driver", "rules")
	for _, result := range v.list("results") {
		rule := result.text("ruleId")
		if i := result.number("ruleIndex"); rule == "" && result.has("ruleIndex") && i >= 0 && i < len(rules) {
			rule = rules[i].text("id")
		}
		locations := result.list("locations")
		if len(locations) == 0 {
			locations = []value{{wrong: v.wrong}}
		}
		for _, location := range locations {
			at := location.at("physicalLocation")
			address := at.text("artifactLocation", "uri")
			path, _ := url.PathUnescape(address)
			found = append(found, finding{
				rule: rule, secrets: []string{at.text("region", "snippet", "text")},
				context: []string{result.text("message", "text"), at.text("contextRegion", "snippet", "text")},
				path:    cmp.Or(path, address), commit: result.text("partialFingerprints", "commitSha"), line: at.number("region", "startLine"),
			})
		}
	}
	return found
}

func (v value) ggshield() (found []finding) {
	commit := map[bool]string{true: v.text("id")}[v.text("type") == "commit"]
	for _, entity := range v.list("entities_with_incidents") {
		for _, incident := range entity.list("incidents") {
			for _, at := range incident.list("occurrences") {
				found = append(found, finding{
					rule: incident.text("type"), secrets: []string{at.text("match")},
					path: entity.text("filename"), commit: commit, line: at.number("line_start"),
				})
			}
		}
	}
	for _, scan := range v.list("scans") {
		found = append(found, scan.ggshield()...)
	}
	return found
}
