//go:build unix

package scripttest

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/authservertest"
)

// TestReadme runs every command of the README. Those in blocks are run as they
// stand, but for the servers, which are the test issuer; those in running text
// have other people's files in them, and are checked for commands and flags that
// are there.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	env := readmeMachine(t)
	commands := 0
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		for line := range strings.Lines(block[1]) {
			commands++
			env.run(t, strings.TrimSpace(line))
		}
	}
	prose := regexp.MustCompile("(?s)```.*?```").ReplaceAllString(string(text), "")
	for _, inline := range regexp.MustCompile("`(fob [a-z][^`]*)`").FindAllStringSubmatch(prose, -1) {
		commands++
		command, _, _ := strings.Cut(inline[1], "<")
		if !strings.HasPrefix(command, "fob help COMMAND") {
			env.sh(t, command+" --help")
		}
	}
	if commands < 20 {
		t.Errorf("only %d commands found in the README", commands)
	}
}

// TestReadmeKeepsSecretsOutOfArguments: what stands in a command's arguments,
// every process on the machine can read.
func TestReadmeKeepsSecretsOutOfArguments(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "$(fob") && !regexp.MustCompile(`\b[A-Z]+=\$\(fob [^)]*\) \|\| exit`).MatchString(line) {
			t.Errorf("a token in a command's arguments: %s", line)
		}
	}
}

// TestReadmeLinks: the table of contents has every section, in order, and each link of
// the page leads to a section or a file that is there.
func TestReadmeLinks(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	page := regexp.MustCompile("(?s)```.*?```").ReplaceAllString(string(text), "")
	var contents, sections []string
	for _, link := range regexp.MustCompile(`\]\(#([^)]+)\)`).FindAllStringSubmatch(page, -1) {
		contents = append(contents, link[1])
	}
	for _, title := range regexp.MustCompile(`(?m)^## (.+)$`).FindAllStringSubmatch(page, -1) {
		plain := regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(title[1]), "")
		sections = append(sections, strings.ReplaceAll(plain, " ", "-"))
	}
	if !slices.Equal(contents, sections) {
		t.Errorf("the table of contents is\n%q, the sections are\n%q", contents, sections)
	}
	const most = 150_000
	files := regexp.MustCompile(`(?:src|srcset)="([^"]+)"|\]\(([^#:)]+)\)`).FindAllStringSubmatch(page, -1)
	if len(files) < 5 {
		t.Errorf("only %d files are linked", len(files))
	}
	for _, file := range files {
		info, err := os.Stat(file[1] + file[2])
		if err != nil || info.Size() > most {
			t.Errorf("%s: %v", file[0], err)
		}
	}
}

// readme is a machine on which the README's reader has registered applications.
type readme struct {
	issuer string
	dir    string
	env    []string
}

func readmeMachine(t *testing.T) *readme {
	t.Helper()
	server, err := authservertest.Start(authservertest.Options{Registration: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	r := &readme{issuer: server.Issuer(), dir: t.TempDir(), env: append(os.Environ(),
		"PATH="+withProgram(t), "BROWSER=approve", "GORACE=atexit_sleep_ms=0",
		"HOME="+t.TempDir(), "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		"FOB_HOME="+t.TempDir(), "FOB_STORAGE=file", "FOB_SEAL_KEY="+strings.Repeat("ab", 32), "CI=")} // it is a reader's machine
	// The presets' servers are the test issuer here, with clients that have logged
	// in once before, so that nothing is left to ask.
	for _, name := range []string{"github", "google"} {
		r.sh(t, "printf %s '"+authservertest.ClientSecret+"' | fob login "+name+" --provider "+name+" --issuer "+r.issuer+" --client-id fob-post --client-secret-stdin")
	}
	return r
}

// run runs one line of a block.
func (r *readme) run(t *testing.T, line string) {
	t.Helper()
	switch program, _, _ := strings.Cut(line, " "); program {
	case "make":
		target := strings.Fields(line)[1]
		makefile, err := os.ReadFile("Makefile")
		if err != nil || !bytes.Contains(makefile, []byte("\n"+target+":")) {
			t.Errorf("%s: the Makefile has no such target", line)
		}
	case "go":
		module, err := os.ReadFile("go.mod")
		if err != nil || !strings.Contains(line, strings.Fields(string(module))[1]+"@latest") {
			t.Errorf("%s: it names another module", line)
		}
	case "gh":
		// There is no release here; TestI76_ReadmeVerifiesAsTheActionDoes compares the command.
		if !strings.HasPrefix(line, "gh attestation verify fob_1.2.3_") {
			t.Errorf("%s: it verifies something else", line)
		}
	default:
		r.sh(t, strings.NewReplacer(
			"https://sso.example.com/realms/acme", r.issuer, "--client-id fob", "--client-id fob-test",
			"--allow api.example.com", "--allow "+r.issuer, "http://api.example.com/me", r.issuer+"/userinfo",
			"https://api.example.com/me", r.issuer+"/userinfo", "https://api.example.com/v1", r.issuer+"/api",
		).Replace(line))
	}
}

func (r *readme) sh(t *testing.T, line string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	shell := exec.CommandContext(ctx, "sh", "-c", line)
	shell.Env, shell.Dir = r.env, r.dir
	if out, err := shell.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", line, err, out)
	}
}
