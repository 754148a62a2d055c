package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestH64CanariesAreNowhere runs fob through all that handles a secret and looks for
// each secret where it must not be: in the arguments and the environment of every
// process that it starts, on stderr, on the wrong stdout, and in every file that is
// left, temporary ones included.
func TestH64CanariesAreNowhere(t *testing.T) {
	t.Parallel()
	i := startIssuer(t, "-registration", "-par", "-device-interval", "1")
	sealKey := strings.Repeat("5a", 32)
	trace, temp := filepath.Join(t.TempDir(), "trace"), t.TempDir()
	const inEnviron, setFirst, setNext = "canary-secret-in-environ", "canary-secret-first", "canary-secret-next"
	m := newMachineAt(t, "FOB_STORAGE=file", "FOB_SEAL_KEY="+sealKey, "TMPDIR="+temp, "FOB_SECRET_OTHER="+inEnviron, "FOB_REGISTRY=sqlite:"+temp+"/keys.db")
	plain := m.program
	// -v and -s show each environment and each argument whole.
	m.program = append([]string{"strace", "-f", "-qq", "-v", "-s", "65536", "-A", "-o", trace, "-e", "trace=execve", "--"}, plain...)

	key := privateKey(t)
	canaries := []string{sealKey, key, "s3cret +%:ä", inEnviron, setFirst, setNext}
	var shown strings.Builder // what people and logs see
	run := func(stdin string, args ...string) string {
		t.Helper()
		r := m.fob(stdin, args...)
		if r.status != 0 {
			t.Fatalf("fob %v: exit status %d\n%s", args, r.status, r.stderr)
		}
		shown.WriteString(r.stderr)
		return strings.TrimSpace(r.stdout)
	}
	at := []string{"--issuer", i.url}
	run("", slices.Concat([]string{"login", "work", "--client-id", "fob-test", "--dpop"}, at)...)
	canaries = append(canaries, run("", "token", "work"), run("", "token", "work", "--force-refresh"))
	run("", "token", "work", "--id-token", "--inspect")
	run("", "status", "--check")
	run("", slices.Concat([]string{"login", "own"}, at)...) // registers
	canaries = append(canaries, run("", "token", "own"))
	run("s3cret +%:ä", slices.Concat([]string{"login", "svc", "--client-id", "fob-service", "--grant", "client_credentials", "--client-secret-stdin"}, at)...)
	canaries = append(canaries, run("", "token", "svc", "--force-refresh"))
	if r := m.fob(key, slices.Concat([]string{"login", "key", "--client-id", "fob-key", "--private-key-stdin"}, at)...); r.status == 0 {
		t.Fatal("the issuer takes a key that it does not know")
	} else {
		shown.WriteString(r.stderr)
	}
	rotateWithCommands(t, filepath.Join(m.home, ".config/fob/config.toml"), setNext)
	run(setFirst, "secret", "set", "stripe/prod", "--to", "exec:swallow", "--retire-with", "swallow", "--expires", "2d")
	run("", "secret", "push", "stripe/prod")
	run("", "secret", "rotate", "stripe/prod", "--with", "mint", "--yes")
	if run("", "secret", "get", "stripe/prod") != setNext || run("", "secret", "get", "other") != inEnviron {
		t.Error("the secrets are not those that were given")
	}
	run("", "secret", "list", "--json")
	minted := run("", "key", "create", "--owner", "shop", "--to", "exec:swallow")
	rotated := run("", "key", "rotate", "--owner", "shop", "--yes")
	run(rotated, "key", "push", strings.Split(rotated, "_")[2])
	if r := m.fob(minted+" "+rotated, "scan", "--stdin"); r.status != 3 {
		t.Errorf("a scan: %d, %s", r.status, r.stderr)
	} else {
		shown.WriteString(r.stdout + r.stderr)
	}
	shown.WriteString(run(minted, "incident", "--yes", "--output", temp+"/incident.md"))
	shown.WriteString(run("", "key", "audit"))
	canaries = append(canaries, minted, rotated)
	run("", "profile", "set", "own", "--git-host", "https://git.example.com", "--docker-registry", "registry.example.com")
	run("", "helper", "install", "git")
	run("protocol=https\nhost=git.example.com\n", "helper", "git", "get")
	run("protocol=https\nhost=git.example.com\nusername=x\npassword="+canaries[len(canaries)-1]+"\n", "helper", "git", "erase")
	run("registry.example.com", "helper", "docker", "get")
	canaries = append(canaries, run("", "token", "own", "--id-token"))
	run("", "helper", "kubectl", "own")
	sts := startSTS(t, time.Hour, func(string) bool { return true })
	role := run("", "helper", "aws", "own", "--role-arn", roleARN, "--endpoint", sts.URL)
	canaries = append(canaries, partsOf(t, role)...)
	run("", "proxy", "own", "--allow", i.url, "--base-url", "API="+i.url+"/userinfo", "--", "curl", "-sSf", i.url+"/userinfo")
	run("", "storage", "check")
	run("", "doctor")
	canaries = append(canaries, i.secrets()...)
	if len(canaries) < 12 {
		t.Fatalf("only %d secrets to look for", len(canaries))
	}
	look := func(where, text string) {
		for _, canary := range canaries {
			if strings.Contains(text, canary) || strings.Contains(text, base64.StdEncoding.EncodeToString([]byte(canary))) {
				t.Errorf("H64: a secret of %d characters (%.16s…) is in %s", len(canary), canary, where)
			}
		}
	}
	look("what people see", shown.String())
	for line := range strings.Lines(readText(t, trace)) {
		if !strings.Contains(line, `execve("`+plain[0]+`"`) { // fob itself is given what it is given
			look("a child's arguments or environment: "+line[:min(len(line), 80)], line)
		}
		if arguments, _, ok := strings.Cut(line, "], ["); ok {
			look("the arguments of a process", arguments)
		}
	}
	for _, dir := range []string{m.home, temp} {
		walk(t, dir, func(path, text string) { look(path, text) })
	}
	run("", "logout", "--all", "--purge", "--yes")
	look("what people see of a logout", shown.String())
	for _, folder := range []string{".local/share/fob", ".cache/fob", ".config/fob/config.toml"} {
		if _, err := os.Stat(filepath.Join(m.home, folder)); err == nil {
			t.Errorf("%s is left after a purge", folder)
		}
	}
}

// partsOf are the secret parts of a role's credentials.
func partsOf(t testing.TB, credentials string) []string {
	t.Helper()
	var parts struct{ SecretAccessKey, SessionToken string }
	if err := json.Unmarshal([]byte(credentials), &parts); err != nil || parts.SecretAccessKey == "" || parts.SessionToken == "" {
		t.Fatalf("%v: no credentials of a role", err)
	}
	return []string{parts.SecretAccessKey, parts.SessionToken}
}

// rotateWithCommands lets config.toml name programs that make a value and take one.
func rotateWithCommands(t testing.TB, config, value string) {
	t.Helper()
	next := filepath.Join(t.TempDir(), "next")
	if err := os.WriteFile(next, []byte(value+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	commands := "[commands]\nswallow = [\"sh\", \"-c\", \"cat >/dev/null\"]\nmint = [\"cat\", \"" + next + "\"]\n"
	if err := os.WriteFile(config, []byte(readText(t, config)+commands), 0o600); err != nil {
		t.Fatal(err)
	}
}

func walk(t testing.TB, dir string, see func(path, text string)) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			see(path, readText(t, path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func privateKey(t testing.TB) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// secrets are all that the issuer has given out.
func (i *issuer) secrets() []string {
	i.t.Helper()
	text, err := read(http.Get(i.url + "/test/issued"))
	if err != nil {
		i.t.Fatal(err)
	}
	return slices.DeleteFunc(strings.Fields(text), func(s string) bool {
		return strings.HasPrefix(s, "authservertest-request") // a reference, for the browser to carry (RFC 9126)
	})
}
