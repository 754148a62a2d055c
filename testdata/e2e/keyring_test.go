package e2e

import (
	"bufio"
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// startBus gives the machine a D-Bus of its own.
func (m *machine) startBus() {
	m.t.Helper()
	bus := exec.Command("dbus-daemon", "--session", "--nofork", "--print-address", "--address=unix:dir="+runtimeDir(m.t))
	out, err := bus.StdoutPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	m.startDaemon(bus)
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		m.t.Fatal(err)
	}
	m.env = append(m.env, "DBUS_SESSION_BUS_ADDRESS="+strings.TrimSpace(address))
}

// startKeyring gives the machine an unlocked gnome-keyring.
func (m *machine) startKeyring() {
	m.t.Helper()
	m.startBus()
	log, err := os.Create(m.keyringLog())
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { _ = log.Close() })
	const tries = 3 // on a busy machine it can come up locked, for good
	for range tries {
		daemon := exec.Command("gnome-keyring-daemon", "--foreground", "--unlock", "--components=secrets")
		daemon.Stdin, daemon.Stdout, daemon.Stderr = strings.NewReader("the user's password"), log, log
		m.startDaemon(daemon)
		m.untilOwned(true) // it serves once the bus knows its name
		if m.keyringOpens() {
			return
		}
		_ = daemon.Process.Kill()
		m.untilOwned(false)
	}
	m.t.Fatalf("gnome-keyring does not unlock\n%s", readText(m.t, m.keyringLog()))
}

func (m *machine) keyringLog() string { return filepath.Join(m.home, "gnome-keyring.log") }

// untilOwned waits until somebody, or nobody, is the Secret Service.
func (m *machine) untilOwned(owned bool) {
	for {
		ask := m.command("dbus-send", "--session", "--print-reply", "--dest=org.freedesktop.DBus", "/", "org.freedesktop.DBus.GetNameOwner", "string:org.freedesktop.secrets")
		if (ask.Run() == nil) == owned {
			return
		}
	}
}

// keyringOpens waits a while for the keyring to be unlocked.
func (m *machine) keyringOpens() bool {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		out, _ := m.command("dbus-send", "--session", "--print-reply=literal", "--dest=org.freedesktop.secrets", "/org/freedesktop/secrets/collection/login",
			"org.freedesktop.DBus.Properties.Get", "string:org.freedesktop.Secret.Collection", "string:Locked").Output()
		if strings.Contains(string(out), "boolean false") {
			return true
		}
	}
	return false
}

// lockKeyring locks it as a screen saver would.
func (m *machine) lockKeyring() {
	m.t.Helper()
	lock := m.command("dbus-send", "--session", "--print-reply", "--dest=org.freedesktop.secrets", "/org/freedesktop/secrets",
		"org.freedesktop.Secret.Service.Lock", "array:objpath:/org/freedesktop/secrets/collection/login")
	if out, err := lock.CombinedOutput(); err != nil {
		m.t.Fatalf("locking: %v\n%s", err, out)
	}
}

// items is all that the keyring holds of fob, as secret-tool shows it.
func (m *machine) items() string {
	m.t.Helper()
	out, err := m.command("secret-tool", "search", "--all", "service", "fob").CombinedOutput()
	if err != nil && len(out) > 0 {
		m.t.Fatalf("secret-tool: %v\n%s", err, out)
	}
	return string(out)
}

// noTokenInTheClear looks for every token that the server gave out in all files
// of the home and in the keyring's items.
func (m *machine) noTokenInTheClear(p *provider) {
	m.t.Helper()
	m.noneInTheClear(p.tokens(), m.items())
}

func (m *machine) noneInTheClear(tokens []string, items string) {
	m.t.Helper()
	if len(tokens) < 2 {
		m.t.Fatalf("only %d tokens to look for", len(tokens))
	}
	places := map[string][]byte{"the keyring": []byte(items)}
	err := filepath.WalkDir(m.home, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		places[path], err = os.ReadFile(path)
		return err
	})
	if err != nil || len(places) < 4 {
		m.t.Fatalf("%d places to look at: %v", len(places), err)
	}
	for place, content := range places {
		for _, token := range tokens {
			if bytes.Contains(content, []byte(token)) {
				m.t.Errorf("a token stands in the clear in %s", place)
			}
		}
	}
}

func TestE41NoBus(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	p := startProvider(t, 3600)
	r := m.fob("", "login", "work", "--issuer", p.issuer, "--client-id", "fob-e2e")
	if r.status != 6 || !strings.Contains(r.stderr, "hint: ") || !strings.Contains(r.stderr, "--storage file") {
		t.Errorf("exit status %d\n%s", r.status, r.stderr)
	}
	if p.count("authorized") != 0 {
		t.Error("the browser was opened before the storage was tried")
	}
}

func TestE42LockedKeyring(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.startKeyring()
	p := startProvider(t, 3600)
	m.ok("login", "work", "--issuer", p.issuer, "--client-id", "fob-e2e")
	before := m.ok("token", "work")
	m.lockKeyring()
	r := m.fob("", "token", "work")
	if r.status != 6 || r.stdout != "" || !strings.Contains(r.stderr, "locked") {
		t.Errorf("exit status %d, %q\n%s", r.status, r.stdout, r.stderr)
	}
	if before == "" || p.count("refresh_token") != 0 {
		t.Error("a locked keyring made fob ask the server")
	}
}

func TestANewLoginElsewhereLeavesNothingInTheKeyring(t *testing.T) {
	t.Parallel()
	m := newMachine(t, "FOB_SEAL_KEY="+strings.Repeat("5a", 32))
	m.startKeyring()
	p := startProvider(t, 3600)
	m.ok("login", "work", "--issuer", p.issuer, "--client-id", "fob-e2e")
	if !strings.Contains(m.items(), "login/work") {
		t.Fatal("the login is not in the keyring")
	}
	m.ok("login", "work", "--storage", "file")
	if items := m.items(); strings.Contains(items, "login/work") {
		t.Errorf("the keyring still holds\n%s", items)
	}
	m.ok("token", "work", "--force-refresh")
	m.noTokenInTheClear(p)
}
