//go:build unix

package scripttest

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/fobcli/fob/internal/authservertest"
)

// docMachine is the machine of one page's reader, who is logged in to "work" on every
// page but those about logging in.
type docMachine struct {
	issuer, listen string
	dir, config    string
	env            []string
	output         *output // of the last block
	replace        *strings.Replacer
}

func newDocMachine(t *testing.T, page string) *docMachine {
	t.Helper()
	program(t) // is on the PATH
	server, err := authservertest.Start(authservertest.Options{Registration: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	home := t.TempDir()
	t.Cleanup(func() { stopAgent(home + "/.cache/fob/run/agent.sock") })
	m := &docMachine{output: &output{}, issuer: server.Issuer(), listen: freeAddress(t), dir: filepath.Join(home, "work"), config: filepath.Join(home, ".config/fob/config.toml")}
	m.env = append(os.Environ(),
		"BROWSER=approve", "GORACE=atexit_sleep_ms=0",
		"HOME="+home, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "FOB_HOME=", "FOB_CONFIG=", "FOB_PROFILE=", "FOB_SEAL_KEY=",
		"XDG_CONFIG_HOME="+filepath.Join(home, ".config"), "XDG_DATA_HOME=", "XDG_CACHE_HOME=", "XDG_STATE_HOME=", "XDG_RUNTIME_DIR=",
		"FOB_STORAGE=file", "FOB_AGENT=", "CI=", "GITHUB_ACTIONS=") // a reader's machine, not a CI job
	m.replace = strings.NewReplacer(
		"https://sso.example.com/realms/acme", m.issuer, "https://sso.example.com", m.issuer, "https://sso.other.example", m.issuer,
		"--client-id fob ", "--client-id fob-test ", "--client-id fob\n", "--client-id fob-test\n", "--client-id svc ", "--client-id fob-service ",
		"--allow api.example.com", "--allow "+m.issuer, "=api.example.com", "="+m.issuer, "http://api.example.com/me", m.issuer+"/userinfo",
		"https://api.example.com/me", m.issuer+"/userinfo", "https://api.example.com", m.issuer+"/api",
		"127.0.0.1:8089", m.listen, "/tmp/fob.sock", home+"/.cache/fob/run/forward.sock",
		"postgres://db.example.com/fob", m.registry(t, page),
	)
	m.write(t, m.config, "key_file = \""+home+"/fob.key\"\n")
	m.write(t, filepath.Join(home, "fob.key"), strings.Repeat("ab", 32))
	m.write(t, filepath.Join(m.dir, "client-secret.txt"), authservertest.ClientSecret)
	for name, text := range map[string]string{"stripe-key.txt": "sk_test_example\n", "new-key.txt": "sk_test_new\n", "phrase.txt": "correct horse battery staple\n"} {
		m.write(t, filepath.Join(m.dir, name), text)
	}
	if page == "README.md" || page == "docs/login.md" {
		// The presets' servers are the test issuer here, with clients that have logged in
		// once before, so that nothing has to be asked.
		for _, name := range []string{"github", "google"} {
			m.sh(t, "fob login "+name+" --provider "+name+" --issuer "+m.issuer+" --client-id fob-post --client-secret-file client-secret.txt")
		}
	} else {
		m.sh(t, "fob login work --issuer "+m.issuer+" --client-id fob-test --switch-account")
	}
	return m
}

// registry is a shared registry, for the page that moves to one.
func (m *docMachine) registry(t *testing.T, page string) string {
	t.Helper()
	if page != "docs/api-keys.md" {
		return ""
	}
	needPostgres(t)
	registry, err := freshRegistry("postgres", "")
	if err != nil {
		t.Fatal(err)
	}
	return registry
}

func (m *docMachine) write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (m *docMachine) check(t *testing.T, block docBlock) {
	t.Helper()
	switch block.language {
	case "sh":
		switch {
		case strings.HasPrefix(block.text, "make demo"): // in the clone, with Go's caches
			m.output = &output{all: runScript(t, block.text, root, append(os.Environ(), "CI=1", "FOB_STORAGE=file", "FOB_SEAL_KEY="+strings.Repeat("ab", 32)))}
		case strings.HasPrefix(block.text, "fob serve --listen") || strings.HasPrefix(block.text, "fob agent forward"):
			m.start(t, block.text)
		default:
			m.output = &output{all: m.sh(t, block.text)}
		}
	case "crontab":
		for line := range strings.Lines(block.text) {
			m.sh(t, strings.Join(strings.Fields(line)[5:], " "))
		}
	case "text":
		m.checkOutput(t, block.text)
	case "toml":
		m.checkTOML(t, block.text)
	case "yaml", "json":
		if err := yaml.Unmarshal([]byte(block.text), new(any)); err != nil || block.language == "json" && !json.Valid([]byte(block.text)) {
			t.Errorf("%v\n%s", err, block.text)
		}
	case "", "ini": // a diagram; a configuration of another program
	default:
		t.Errorf("a block of %q, which is not checked:\n%s", block.language, block.text)
	}
}

// checkNames checks a block that is not run: what it names must exist.
func (m *docMachine) checkNames(t *testing.T, block string) {
	t.Helper()
	for line := range strings.Lines(block) {
		switch words := strings.Fields(line); words[0] {
		case "make":
			if !strings.Contains(readAll(t, "Makefile"), "\n"+words[1]+":") {
				t.Errorf("%s: the Makefile has no such target", line)
			}
		case "go":
			if module := strings.Fields(readAll(t, "go.mod"))[1]; !strings.Contains(line, module+"@latest") {
				t.Errorf("%s: it names another module", line)
			}
		case "gh": // there is no release here; TestI76_ReadmeVerifiesAsTheActionDoes compares the command
			if !strings.HasPrefix(line, "gh attestation verify fob_1.2.3_") {
				t.Errorf("%s: it verifies something else", line)
			}
		default:
			t.Errorf("%s: in a block of commands that are not run", line)
		}
	}
}

// checkOutput: each quoted line is in the output of the block before. "…" is any text,
// times and ids are any. A service may take a moment to print it.
func (m *docMachine) checkOutput(t *testing.T, quote string) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for line := range strings.Lines(quote) {
		line = strings.TrimSpace(line)
		pattern := strings.ReplaceAll(regexp.QuoteMeta(line), "…", ".*")
		pattern = regexp.MustCompile(`\d{4}-\d\d-\d\d|\d\d:\d\d:\d\d|1[0-9A-Za-z]{11}|\b\d+ min\b`).ReplaceAllString(pattern, `\S+( min)?`)
		pattern = regexp.MustCompile(` +`).ReplaceAllString(pattern, ` +`)
		expression := regexp.MustCompile(pattern)
		for m.output.isService && !expression.MatchString(m.output.text()) && time.Now().Before(deadline) {
			<-time.After(10 * time.Millisecond)
		}
		if !expression.MatchString(m.output.text()) {
			t.Errorf("the quoted line\n%s\nis not in the output\n%s", line, m.output.text())
		}
	}
}

func (m *docMachine) checkTOML(t *testing.T, text string) {
	t.Helper()
	text = m.replace.Replace(strings.ReplaceAll(text, "/etc/fob/", m.dir+"/"))
	if strings.HasPrefix(text, "[") {
		before, err := os.ReadFile(m.config)
		if err != nil {
			t.Fatal(err)
		}
		m.write(t, m.config, string(before)+"\n"+text)
		m.sh(t, "fob profile list")
		return
	}
	path := filepath.Join(m.dir, "only.toml")
	m.write(t, path, text)
	m.sh(t, "FOB_CONFIG="+path+" fob profile list")
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// checkProse checks the commands in running text and tables.
func (m *docMachine) checkProse(t *testing.T, page string) {
	t.Helper()
	page = regexp.MustCompile("(?s)```.*?```").ReplaceAllString(page, "")
	for _, inline := range regexp.MustCompile("`(fob [a-z][^`]*)`").FindAllStringSubmatch(page, -1) {
		command := strings.NewReplacer("\n", " ", `\|`, "|").Replace(inline[1])
		if strings.Contains(command, "COMMAND") && strings.HasPrefix(command, "fob help") {
			continue
		}
		command = strings.TrimSpace(regexp.MustCompile(` -- .*| *[<>|&;].*`).ReplaceAllString(command, ""))
		if strings.HasPrefix(command, "fob help ") {
			m.sh(t, command)
			continue
		}
		words := strings.Fields(command)
		help := m.sh(t, command+" --help")
		isGroup := strings.Contains(help, "Usage: fob "+words[1]+" COMMAND")
		if !strings.Contains(help, "Usage: fob "+words[1]) || isGroup && len(words) > 2 && !strings.HasPrefix(words[2], "-") {
			t.Errorf("%s: no such command", command)
		}
	}
}

func (m *docMachine) sh(t *testing.T, script string) string {
	t.Helper()
	return runScript(t, m.replace.Replace(script), m.dir, m.env)
}

func runScript(t *testing.T, script, dir string, env []string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute) // scrypt takes its time with the race detector
	defer cancel()
	shell := exec.CommandContext(ctx, "sh", "-euc", script)
	shell.Env, shell.Dir, shell.WaitDelay = env, dir, time.Second
	out, err := shell.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v\n%s", script, err, out)
	}
	return string(out)
}

// output is what a block has printed, or what a service prints.
type output struct {
	isService bool
	mu        sync.Mutex
	all       string // guarded by mu
}

func (o *output) text() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all += string(b)
	return len(b), nil
}

// start runs a service until the page ends, and waits for the line with which it says that
// it is ready.
func (m *docMachine) start(t *testing.T, command string) {
	t.Helper()
	m.output = &output{isService: true}
	service := exec.Command("sh", "-euc", "exec "+strings.TrimSpace(m.replace.Replace(command)))
	service.Env, service.Dir = m.env, m.dir
	service.Stdout, service.Stderr = m.output, m.output
	if err := service.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- service.Wait() }()
	t.Cleanup(func() {
		_ = service.Process.Signal(syscall.SIGTERM)
		<-ended
	})
	for !strings.Contains(m.output.text(), "\n") {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%s: %v\n%s", command, err, m.output.text())
		case <-time.After(10 * time.Millisecond):
		}
	}
}
