package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The reports of gitleaks itself: a whole key is replaced, and a redacted one is listed and makes
// the incident fail.
func TestIncidentReadsGitleaksReports(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	r.write("deploy.env", "PORT=80\nAPI_KEY=%s\n", r.key("a commit"))
	r.commit("one")
	commit := strings.TrimSpace(r.run("git", "rev-parse", "--short=12", "HEAD"))
	rules := filepath.Join(r.home, "rules.toml")
	if err := os.WriteFile(rules, []byte(r.ok("rules", "--format", "gitleaks")), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name    string
		flags   []string
		status  int
		stderr  string
		revoked bool
	}{
		{"redacted.json", []string{"--redact", "-f", "json"}, 1, "deploy.env:2 in " + commit + " (acme-api-key)", false},
		{"mostly-redacted.json", []string{"--redact=95", "-f", "json"}, 1, "deploy.env:2 in " + commit + " (acme-api-key)", false},
		{"id.json", []string{"--redact=50", "-f", "json"}, 1, "not proven to be leaked", false},
		{"redacted.sarif", []string{"--redact", "-f", "sarif"}, 1, "deploy.env:2 in " + commit + " (acme-api-key)", false},
		{"leaks.csv", []string{"-f", "csv"}, 1, "not a report that fob reads", false},
		{"leaks.sarif", []string{"-f", "sarif"}, 0, "Revoked", true},
		{"leaks.json", []string{"-f", "json"}, 0, "No key is live", true},
	} {
		report := filepath.Join(r.home, test.name)
		r.run(append([]string{gitleaks(t), "git", r.dir, "--no-banner", "--exit-code", "0", "--config", rules, "--report-path", report}, test.flags...)...)
		result := r.fob("", "incident", "--report", report, "--yes", "--output", filepath.Join(r.home, test.name+".md"))
		if result.status != test.status || !strings.Contains(result.stderr, test.stderr) {
			t.Errorf("%s: status %d\n%s", test.name, result.status, result.stderr)
		}
		if verified := r.fob(r.keys["a commit"], "key", "verify"); (verified.status == 8) != test.revoked {
			t.Errorf("%s: verify ends with %d", test.name, verified.status)
		}
	}
}
