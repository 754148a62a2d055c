package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// The main job, the whole way on real parts: Chromium, gnome-keyring, a certified
// provider with rotation and reuse detection.
func TestStoryInChromium(t *testing.T) {
	t.Parallel()
	p := startProvider(t, 3600)
	m := newMachine(t)
	m.startKeyring()
	login, err := filepath.Abs("login.mjs")
	if err != nil {
		t.Fatal(err)
	}
	m.env = append(m.env, "BROWSER=node "+login)
	for _, name := range []string{"SHOTS", "SCHEME", "WIDTH"} { // for pictures to look at
		if value := os.Getenv(name); value != "" {
			m.env = append(m.env, name+"="+value)
		}
	}

	r := m.fob("", "login", "work", "--issuer", p.issuer, "--client-id", "fob-e2e", "--scope", "openid profile email offline_access")
	if r.status != 0 || !strings.Contains(r.stderr, "Logged in to work as Ada Lovelace <ada@example.com>") || !strings.Contains(r.stderr, "You are logged in") {
		t.Fatalf("exit status %d\n%s", r.status, r.stderr)
	}
	if got := p.last("authorized"); got.Method != "S256" || p.count("authorization_code") != 1 {
		t.Errorf("PKCE %q, %d codes redeemed", got.Method, p.count("authorization_code"))
	}

	first := strings.TrimSpace(m.ok("token", "work"))
	if again := strings.TrimSpace(m.ok("token", "work")); again != first || p.count("refresh_token") != 0 {
		t.Error("a cached token cost a request")
	}
	if !p.active(first) {
		t.Error("the server does not know the printed token")
	}
	if header := m.ok("token", "work", "--header"); header != "Authorization: Bearer "+first+"\n" {
		t.Errorf("header %q", header)
	}

	second := strings.TrimSpace(m.ok("token", "work", "--force-refresh"))
	if second == first || !p.active(second) || p.count("refresh_token") != 1 {
		t.Errorf("after a refresh: same token %v, %d refreshes", second == first, p.count("refresh_token"))
	}
	third := strings.TrimSpace(m.ok("token", "work", "--force-refresh"))
	if p.count("refresh_token") != 2 {
		t.Error("the rotated refresh token was not kept")
	}

	var status struct {
		State   string
		Account struct{ Email string }
		Storage string
	}
	if err := json.Unmarshal([]byte(m.ok("status", "work", "--json")), &status); err != nil || status.State != "valid" || status.Account.Email != "ada@example.com" || status.Storage != "keyring" {
		t.Errorf("status %+v, %v", status, err)
	}
	if items := m.items(); !strings.Contains(items, "login/work") || strings.Contains(items, "probe") {
		t.Errorf("the keyring holds\n%s", items)
	}
	m.noTokenInTheClear(p)

	if r := m.fob("", "logout", "work"); r.status != 0 || !strings.Contains(r.stderr, "refresh token revoked") {
		t.Errorf("logout: %d\n%s", r.status, r.stderr)
	}
	for _, token := range []string{second, third} {
		if p.active(token) {
			t.Error("a token is active after the logout")
		}
	}
	if items := m.items(); strings.Contains(items, "login/work") {
		t.Errorf("after the logout the keyring holds\n%s", items)
	}
	if r := m.fob("", "token", "work"); r.status != 4 || r.stdout != "" || !strings.Contains(r.stderr, "hint: run 'fob login work'") {
		t.Errorf("token after logout: %d\n%s", r.status, r.stderr)
	}
}

func TestF53HundredProcessesAtExpiry(t *testing.T) {
	p := startProvider(t, 15) // long enough for a hundred slow processes
	m := newMachine(t)
	m.startKeyring()
	m.ok("login", "work", "--issuer", p.issuer, "--client-id", "fob-e2e")
	old := m.ok("token", "work")
	m.waitForExpiry()

	results := make([]result, 100)
	var wg sync.WaitGroup
	for i := range results {
		wg.Go(func() { results[i] = m.fob("", "token", "work", "--min-ttl", "0s") })
	}
	wg.Wait()
	for i, r := range results {
		if r.status != 0 || r.stdout != results[0].stdout || r.stdout == old {
			t.Fatalf("process %d: status %d, same token %v\n%s", i, r.status, r.stdout == results[0].stdout, r.stderr)
		}
	}
	if n := p.count("refresh_token"); n != 1 {
		t.Errorf("%d refreshes at the server", n)
	}
}

func TestConfidentialClientInFiles(t *testing.T) {
	t.Parallel()
	p := startProvider(t, 3600)
	m := newMachine(t, "FOB_SEAL_KEY="+strings.Repeat("5a", 32), "FOB_STORAGE=file")
	r := m.fob("e2e +%: secret of sufficient length\n", "login", "svc", "--issuer", p.issuer, "--client-id", "fob-secret", "--client-secret-stdin")
	if r.status != 0 {
		t.Fatalf("exit status %d\n%s", r.status, r.stderr)
	}
	token := strings.TrimSpace(m.ok("token", "svc", "--force-refresh"))
	if !p.active(token) || p.count("refresh_token") != 1 {
		t.Error("the refresh of a client with a secret does not work")
	}
	// Logging in again needs neither issuer nor secret.
	m.ok("login", "svc")
	m.ok("logout", "svc")
}

// startLogin runs a login that waits, and returns its authorization URL and the
// way to end it.
func startLogin(t *testing.T, m *machine, p *provider, stdin io.Reader, flags ...string) (string, func() result) {
	t.Helper()
	args := append([]string{"login", "work", "--issuer", p.issuer, "--client-id", "fob-e2e", "--no-browser", "--timeout", "30s"}, flags...)
	cmd := m.fobCommand(args...)
	cmd.Stdin = stdin
	pipe, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var shown bytes.Buffer
	lines := bufio.NewReader(io.TeeReader(pipe, &shown))
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("no URL: %s", shown.String())
		}
		if target := strings.TrimSpace(line); strings.HasPrefix(target, p.issuer) {
			return target, func() result {
				_, _ = io.Copy(io.Discard, lines)
				_ = cmd.Wait()
				return result{stderr: shown.String(), status: cmd.ProcessState.ExitCode()}
			}
		}
	}
}

func TestPastedRedirect(t *testing.T) {
	t.Parallel()
	p := startProvider(t, 3600)
	m := newMachine(t, "FOB_SEAL_KEY="+strings.Repeat("5a", 32), "FOB_STORAGE=file")
	in, typed := io.Pipe()
	target, end := startLogin(t, m, p, in)
	back, err := browse(target)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"http://127.0.0.1:1/callback?code=x&state=y", back} {
		if _, err := io.WriteString(typed, line+"\n"); err != nil {
			t.Fatal(err)
		}
	}
	_ = typed.Close()
	if r := end(); r.status != 0 || !strings.Contains(r.stderr, "Logged in to work") || !strings.Contains(r.stderr, "That URL is not this login's redirect") {
		t.Errorf("exit status %d\n%s", r.status, r.stderr)
	}
}

func TestA1WrongStateAndA8StolenCode(t *testing.T) {
	t.Parallel()
	p := startProvider(t, 3600)
	m := newMachine(t, "FOB_SEAL_KEY="+strings.Repeat("5a", 32), "FOB_STORAGE=file")
	// With the endpoints named, the request is not pushed: the attacker sees all of it.
	open := []string{"--authorization-endpoint", p.issuer + "/auth", "--token-endpoint", p.issuer + "/token", "--scope", "openid"}
	victim, end := startLogin(t, m, p, nil, open...)
	// The attacker logs in too, with a request and a verifier of his own.
	attackerMachine := newMachine(t, "FOB_SEAL_KEY="+strings.Repeat("5a", 32), "FOB_STORAGE=file")
	attacker, endAttacker := startLogin(t, attackerMachine, p, nil, open...)
	stolen, err := browse(attacker)
	if err != nil {
		t.Fatal(err)
	}
	victimURL, _ := url.Parse(victim)
	stolenURL, _ := url.Parse(stolen)
	listener := victimURL.Query().Get("redirect_uri")

	// A1: the attacker's answer as it is: not of this login, which goes on.
	resp, err := http.Get(listener + "?" + stolenURL.RawQuery)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest || p.count("authorization_code") != 0 {
		t.Errorf("A1: %s, %d codes redeemed", resp.Status, p.count("authorization_code"))
	}
	// A8: his code with the victim's state: the server refuses the verifier.
	q := stolenURL.Query()
	q.Set("state", victimURL.Query().Get("state"))
	page, err := read(http.Get(listener + "?" + q.Encode()))
	if err != nil || !strings.Contains(page, "did not work") {
		t.Errorf("A8: the page says %.200s, %v", page, err)
	}
	if r := end(); r.status != 1 || !strings.Contains(r.stderr, "invalid_grant") {
		t.Errorf("A8: exit status %d\n%s", r.status, r.stderr)
	}
	if _, err := os.Stat(filepath.Join(m.home, ".local/share/fob/records/login/work")); err == nil {
		t.Error("A8: something was stored")
	}
	if p.count("authorization_code") != 0 {
		t.Error("A8: the code was redeemed")
	}
	if _, err := read(http.Get(redirectOf(attacker) + "?" + stolenURL.RawQuery)); err != nil {
		t.Error(err)
	}
	endAttacker()
}

func redirectOf(target string) string {
	u, err := url.Parse(target)
	if err != nil {
		return ""
	}
	return u.Query().Get("redirect_uri")
}
