package e2e

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// gitleaks is where `make` has installed it.
func gitleaks(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOPATH").Output()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(strings.TrimSpace(string(out)), "bin", "gitleaks")
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("gitleaks is not installed: run 'make e2e' (%v)", err)
	}
	return path
}

// repository is a git repository in which keys are planted.
type repository struct {
	*machine
	dir  string
	keys map[string]string // by where they are
}

func newRepository(t testing.TB) *repository {
	t.Helper()
	m := newMachine(t, "FOB_STORAGE=file", "FOB_SEAL_KEY="+strings.Repeat("5a", 32), "GIT_CONFIG_SYSTEM=/dev/null",
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.com", "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.com")
	config := filepath.Join(m.home, ".config", "fob", "config.toml")
	if err := errors.Join(os.MkdirAll(filepath.Dir(config), 0o700), os.WriteFile(config, []byte("[keys]\nbrand = \"acme\"\nenvironments = [\"live\"]\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	r := &repository{m, filepath.Join(m.home, "repository"), map[string]string{}}
	r.run("git", "init", "-q", "-b", "main", r.dir)
	return r
}

// run runs a program in the repository.
func (r *repository) run(args ...string) string {
	r.t.Helper()
	cmd := r.command(args...)
	if _, err := os.Stat(r.dir); err == nil {
		cmd.Dir = r.dir
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return string(out)
}

// key makes a key, and remembers what it is for.
func (r *repository) key(where string) string {
	r.t.Helper()
	key := strings.TrimSpace(r.ok("key", "create", "--owner", "shop", "--env", "live", "--yes"))
	r.keys[where] = key
	return key
}

func (r *repository) write(path, format string, args ...any) {
	r.t.Helper()
	path = filepath.Join(r.dir, path)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, fmt.Appendf(nil, format, args...), 0o600)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *repository) commit(message string) {
	r.t.Helper()
	r.run("git", "add", "-A")
	r.run("git", "commit", "-q", "-m", message)
}

// plant makes a history with keys wherever histories have them, and returns one whose
// checksum is wrong.
func (r *repository) plant() (forged string) {
	r.t.Helper()
	r.write("README", "nothing\n")
	r.write("app/config.yml", "name: shop\ntoken: %s\n", r.key("an old commit"))
	r.write("deploy.env", "KEY=%s\n", r.key("a deleted file"))
	r.commit("one")
	r.write("app/config.yml", "name: shop\ntoken: ${TOKEN}\n")
	r.run("git", "rm", "-q", "deploy.env")
	r.write("two.txt", "%s %s\n", r.key("the first on a line"), r.key("the second on a line"))
	r.write("pair.json", `{"a":"%s","b":"%s"}`, r.key("in quotes"), r.key("in quotes, again"))
	r.write("vars.sh", "export API_KEY_%s\nfoo=x%s\n", r.key("behind a prefix"), r.key("behind a letter"))
	r.commit("two")
	r.run("git", "checkout", "-q", "-b", "side")
	r.write("side.txt", "side\n%s", r.key("a branch, without a line break"))
	r.commit("side")
	r.run("git", "checkout", "-q", "main")
	r.write("main.txt", "main\n")
	r.commit("three")
	r.run("git", "merge", "-q", "--no-commit", "side")
	r.write("merged.txt", "made while merging: %s\n", r.key("a merge"))
	r.commit("merge")
	key := r.key("wrong")
	delete(r.keys, "wrong")
	last := byte('0')
	if key[len(key)-1] == last {
		last = '1'
	}
	forged = key[:len(key)-1] + string(last)
	r.write("examples.md", "like `%s`\r\nand (%s).\r\n", forged, r.key("lines of Windows"))
	r.commit("four")
	r.run("git", "branch", "-q", "-D", "side")
	return forged
}

// ids are the public ids of the keys.
func ids(keys ...string) []string {
	all := map[string]bool{}
	for _, key := range keys {
		all[strings.Split(key, "_")[2]] = true
	}
	return slices.Sorted(maps.Keys(all))
}

// findByGitleaks returns what gitleaks finds with the exported rules, by rule.
func (r *repository) findByGitleaks(args ...string) map[string][]string {
	r.t.Helper()
	rules, report := filepath.Join(r.home, "rules.toml"), filepath.Join(r.home, "report.json")
	if err := os.WriteFile(rules, []byte(r.ok("rules", "--format", "gitleaks")), 0o600); err != nil {
		r.t.Fatal(err)
	}
	r.run(append([]string{gitleaks(r.t)}, append(args, "--no-banner", "--exit-code", "0", "--config", rules, "--report-format", "json", "--report-path", report)...)...)
	var found []struct{ Secret, RuleID string }
	if err := json.Unmarshal([]byte(readText(r.t, report)), &found); err != nil {
		r.t.Fatal(err)
	}
	byRule := make(map[string][]string)
	for _, f := range found {
		byRule[f.RuleID] = append(byRule[f.RuleID], f.Secret)
	}
	return byRule
}

func (r *repository) byGitleaks(args ...string) []string {
	r.t.Helper()
	return r.findByGitleaks(args...)["acme-api-key"]
}

// byFob are the ids of the keys that fob finds; all are live.
func (r *repository) byFob(args ...string) []string {
	r.t.Helper()
	result := r.fob("", append([]string{"scan", "--format", "json"}, args...)...)
	var found []struct {
		ID   string
		Live bool
	}
	if err := json.Unmarshal([]byte(result.stdout), &found); err != nil || result.status != 3 {
		r.t.Fatalf("status %d, %v\n%s", result.status, err, result.stderr)
	}
	all := map[string]bool{}
	for _, f := range found {
		all[f.ID] = true
		if !f.Live {
			r.t.Errorf("%s is not live", f.ID)
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// Gitleaks sees what git shows of each commit, so that it must be told to show merges.
// It knows no checksums, and so also takes what only looks like a key.
func TestGitleaksFindsWhatFobFinds(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	forged := r.plant()
	planted := slices.Collect(maps.Values(r.keys))
	want, withForged := ids(planted...), ids(append(planted, forged)...)
	if got := r.byFob("--git", r.dir); !slices.Equal(got, want) {
		t.Errorf("in the history fob finds %v, not %v", got, want)
	}
	if got := ids(r.byGitleaks("git", r.dir, "--log-opts=--all --full-history -m")...); !slices.Equal(got, withForged) {
		t.Errorf("in the history gitleaks finds %v, not %v", got, withForged)
	}
	inFiles := slices.DeleteFunc(slices.Clone(planted), func(key string) bool {
		return key == r.keys["an old commit"] || key == r.keys["a deleted file"]
	})
	if got, want := r.byFob(r.dir), ids(inFiles...); !slices.Equal(got, want) {
		t.Errorf("in the files fob finds %v, not %v", got, want)
	}
	if got, want := ids(r.byGitleaks("dir", r.dir)...), ids(append(inFiles, forged)...); !slices.Equal(got, want) {
		t.Errorf("in the files gitleaks finds %v, not %v", got, want)
	}
}

// The exported rules are used beside gitleaks' own.
func TestGitleaksKeepsItsOwnRules(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	key, other := r.key("ours"), "ghp_"+rand.Text()+"aB3dE6gH9j"
	r.write("config.yml", "token: %s\nkey: %s\n", other, key)
	found := r.findByGitleaks("dir", r.dir)
	if !slices.Equal(found["acme-api-key"], []string{key}) || !slices.Equal(found["github-pat"], []string{other}) {
		t.Errorf("%q", found)
	}
}

// The rules for other scanners capture the same keys.
func TestRulesForOtherScanners(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	key := r.key("x")
	var trufflehog struct {
		Detectors []struct {
			Name     string
			Keywords []string
			Regex    map[string]string
		}
	}
	if err := strictYAML(r.ok("rules", "--format", "trufflehog", "--brand", "other"), &trufflehog); err != nil || len(trufflehog.Detectors) != 2 {
		t.Fatalf("TruffleHog: %v, %+v", err, trufflehog)
	}
	first := trufflehog.Detectors[0]
	text := "API_KEY_" + key + "," + key
	match := regexp.MustCompile(first.Regex["key"]).FindAllString(text, -1)
	if !slices.Equal(match, []string{key, key}) || !slices.Equal(first.Keywords, []string{"acme_"}) || first.Name == "" {
		t.Errorf("TruffleHog: %+v finds %q", first, match)
	}
	field := func(rules, name string) string {
		value := regexp.MustCompile(`(?m)^` + name + `: +(.*)$`).FindStringSubmatch(rules)
		if value == nil {
			t.Fatalf("there is no %q in %s", name, rules)
		}
		return value[1]
	}
	rules := r.ok("rules", "--format", "github")
	github := regexp.MustCompile("(?:" + field(rules, "Before secret") + ")(" + field(rules, "Secret format") + ")(?:" + field(rules, "After secret") + ")")
	if match := github.FindStringSubmatch(text); match == nil || match[1] != key {
		t.Errorf("GitHub: %s finds %q", github, match)
	}
	if same := r.ok("rules", "--format", "betterleaks"); same != r.ok("rules", "--format", "gitleaks") {
		t.Errorf("betterleaks: %s", same)
	}
}
