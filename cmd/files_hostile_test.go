//go:build unix

package cmd

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/hostiletest"
)

func TestI75_SharedFilesAreInert(t *testing.T) {
	run, _ := fobOf(t)
	key, _ := run("", "key", "create", "--owner", "shop", "--env", "live")
	for i, text := range hostiletest.Texts() {
		quoted, err := json.Marshal(text) // for TOML, too, but for what is no UTF-8
		if err != nil {
			t.Fatal(err)
		}
		text, key := text, strings.TrimSpace(key)
		dir := t.TempDir()
		t.Chdir(dir)
		check := func(what string, args ...string) {
			t.Helper()
			stdout, stderr := run("", args...)
			if stdout+stderr == "" {
				t.Errorf("%s, %q: %q printed nothing", what, text, args)
			}
			for _, out := range []string{stdout, stderr} {
				if bad := hostiletest.Recognised(out); bad != "" {
					t.Errorf("%s, %q: %q printed %s", what, text, args, bad)
				}
			}
		}
		write := func(name, content string) {
			t.Helper()
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for _, content := range []string{text, "profile = " + string(quoted), string(quoted) + " = 1"} {
			write(".fob.toml", content)
			for _, args := range [][]string{{"token"}, {"status"}, {"profile", "show"}, {"ci", "status"}} {
				check(".fob.toml", args...)
			}
		}
		os.Remove(filepath.Join(dir, ".fob.toml"))

		contents := []string{
			text, string(quoted) + " = 1", "[profile." + string(quoted) + "]\nissuer = \"https://x\"",
			fmt.Sprintf("[profile.work]\nissuer = %[1]s\nclient_id = %[1]s\nscopes = [%[1]s]\nresources = [%[1]s]\nstorage = \"file\"", quoted),
			fmt.Sprintf("[profile.work]\nprovider = %s", quoted), fmt.Sprintf("[profile.work]\nissuer = \"https://x\"\nstorage = %s", quoted),
			fmt.Sprintf("[secret.a]\nto = [%[1]s]\nrotate_with = %[1]s\nstorage = %[1]s", quoted), "[secret." + string(quoted) + "]",
			fmt.Sprintf("[commands]\n%s = [%[1]s]", quoted),
		}
		if i%6 != 0 { // the first text has something of all others
			contents = contents[3:4]
		}
		for _, content := range contents {
			write("config.toml", content)
			t.Setenv("FOB_CONFIG", filepath.Join(dir, "config.toml"))
			for _, args := range [][]string{
				{}, {"status"}, {"status", "work"}, {"profile", "show", "work"}, {"profile", "list"}, {"secret", "list"}, {"secret", "list", "--json"}, {"secret", "push", "a"},
				{"secret", "rotate", "a"}, {"token", "work"}, {"doctor"}, {"storage", "status"}, {"__complete", "token", ""}, {"__complete", "secret", "get", ""},
			} {
				check("config.toml", args...)
			}
		}
		t.Setenv("FOB_CONFIG", "")

		for _, content := range []string{text, "A" + text, "A=fob://secret/" + text, "A=fob://" + text} {
			write("env", content)
			check("an env file", "ci", "export", "--format", "dotenv", "--file", "out", "--env-file", "env", "--env", "B=secret/absent")
		}

		write("report.json", fmt.Sprintf(`[{"Secret":%q,"File":%s,"StartLine":7,"Commit":%[2]s},{"Match":%[2]s,"File":%[2]s}]`, key, quoted))
		check("a report", "incident", "--report", "report.json", "--dry-run")
		write("broken.json", text)
		check("a broken report", "incident", "--report", "broken.json", "--dry-run")

		name := strings.NewReplacer("/", "_").Replace(text)
		write(name, key)
		for _, format := range []string{"text", "json", "sarif"} {
			check("a file's name", "scan", dir, "--format", format)
		}
		check("a file that is absent", "scan", filepath.Join(dir, "absent"+name))
	}
}

// What a program prints to which a key is delivered, and the report of an incident.
func TestI75_DeliveriesAndReportsAreInert(t *testing.T) {
	t.Setenv("CI", "") // the working folder would count as a job's workspace
	run, db := fobOf(t)
	for i, text := range hostiletest.Texts() {
		dir := t.TempDir()
		t.Chdir(dir)
		if err := os.WriteFile("says", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("config.toml", []byte("[commands]\nput = [\"sh\", \"-c\", \"cat >/dev/null; cat says >&2; test -e works\"]\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("FOB_CONFIG", filepath.Join(dir, "config.toml"))
		check := func(args ...string) (stdout string) {
			t.Helper()
			stdout, stderr := run("", args...)
			for _, out := range []string{stdout, stderr} {
				if bad := hostiletest.Recognised(out); bad != "" {
					t.Errorf("%q: %q printed %s", text, args, bad)
				}
			}
			return stdout
		}
		owner := fmt.Sprintf("shop%d", i)
		key := strings.TrimSpace(check("key", "create", "--owner", owner, "--to", "exec:put"))
		if key == "" {
			t.Fatal("no key was made")
		}
		id := strings.Split(key, "_")[2]
		if _, err := db.Exec("UPDATE api_key SET note = ?1, scopes = ?1 WHERE id = ?2", text, id); err != nil {
			t.Fatal(err)
		}
		quoted, _ := json.Marshal(text)
		report := fmt.Sprintf(`[{"Secret":%q,"File":%s,"StartLine":7,"Commit":%[2]s}]`, key, quoted)
		if err := os.WriteFile("report.json", []byte(report), 0o600); err != nil {
			t.Fatal(err)
		}
		check("incident", "--report", "report.json", "--yes", "--output", "incident.md")
		check("key", "show", id)
		check("key", "audit", id)
		markdown, err := os.ReadFile("incident.md")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(markdown)) { // fob's own headings
			if bad := hostiletest.Recognised(strings.TrimPrefix(line, "## ")); bad != "" {
				t.Errorf("%q: the report holds %s", text, bad)
			}
		}
		if !strings.Contains(string(markdown), owner) {
			t.Errorf("the report names no key: %s", markdown)
		}
	}
}
