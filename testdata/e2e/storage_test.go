package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// longest is the longest secret of fob's keyring items, and how many there are.
func (m *machine) longest() (characters, items int) {
	m.t.Helper()
	for line := range strings.Lines(m.items()) {
		if secret, ok := strings.CutPrefix(strings.TrimSpace(line), "secret = "); ok {
			characters = max(characters, len(secret))
			items++
		}
	}
	return characters, items
}

func TestE45ARecordOfSixKilobytesInTheKeyring(t *testing.T) {
	t.Parallel()
	i := startIssuer(t, "-token-size", "6000")
	m := newMachineAt(t)
	m.startKeyring()
	m.loginAt(i)
	for range 3 {
		m.ok("token", "work", "--force-refresh")
	}
	if characters, items := m.longest(); characters > 2000 || items < 5 {
		t.Errorf("E45: %d items, the longest of %d characters", items, characters)
	}
	if out := m.ok("storage", "status"); !strings.Contains(out, "ok") {
		t.Errorf("E45: %s", out)
	}
	m.ok("logout", "work")
	if items := m.items(); items != "" {
		t.Errorf("E45: logout leaves\n%s", items)
	}
}

func TestAnySizeMovesBetweenTheStorages(t *testing.T) {
	t.Parallel()
	for _, size := range []string{"100", "6000"} {
		i := startIssuer(t, "-token-size", size)
		m := newMachineAt(t, "FOB_SEAL_KEY="+strings.Repeat("5a", 32))
		m.startKeyring()
		m.loginAt(i)
		before := m.ok("token", "work")
		m.ok("storage", "migrate", "--to", "file", "work")
		if items := m.items(); items != "" {
			t.Errorf("the keyring still holds\n%s", items)
		}
		if m.ok("token", "work") != before || i.count("token/refresh") != 0 {
			t.Error("the cached token was lost on the way")
		}
		m.ok("token", "work", "--force-refresh")
		m.ok("storage", "migrate", "--to", "keyring")
		if _, err := os.Stat(filepath.Join(m.home, ".local/share/fob/records/login/work")); err == nil {
			t.Error("the file is still there")
		}
		m.ok("token", "work", "--force-refresh")
		m.ok("storage", "rekey", "--storage", "keyring")
		m.ok("token", "work", "--force-refresh")
		m.ok("storage", "check")
	}
}

// A copy that a move left behind is found, and the login that the profile names
// stays.
func TestACopyLeftBehindIsSwept(t *testing.T) {
	t.Parallel()
	i := startIssuer(t)
	m := newMachineAt(t, "FOB_SEAL_KEY="+strings.Repeat("5a", 32))
	m.startKeyring()
	m.loginAt(i)
	m.ok("storage", "migrate", "--to", "file", "work")
	record := filepath.Join(m.home, ".local/share/fob/records/login/work")
	copied, err := os.ReadFile(record)
	if err != nil {
		t.Fatal(err)
	}
	m.ok("storage", "migrate", "--to", "keyring", "work")
	if err := os.WriteFile(record, copied, 0o600); err != nil {
		t.Fatal(err)
	}
	r := m.fob("", "storage", "check")
	if r.status != 0 || !strings.Contains(r.stderr, `old copy in "file" is deleted`) {
		t.Errorf("exit status %d\n%s", r.status, r.stderr)
	}
	if _, err := os.Stat(record); err == nil {
		t.Error("the copy is still there")
	}
	m.ok("token", "work", "--force-refresh")
}

// A completion reads the keyring, and never has it ask for its password.
func TestE42ALockedKeyringIsNotAskedWhileSomebodyTypes(t *testing.T) {
	t.Parallel()
	m := newMachineAt(t)
	m.startKeyring()
	m.loginAt(startIssuer(t))
	typed := []string{"__complete", "token", "work", "--scope", ""}
	if offered := m.ok(typed...); !strings.Contains(offered, "openid\n") {
		t.Errorf("E42: the scopes of the login are not offered: %q", offered)
	}
	m.lockKeyring()
	if r := m.fob("", typed...); strings.Contains(r.stdout, "openid") || strings.Contains(r.stderr, "keyring") {
		t.Errorf("E42: %q, %q", r.stdout, r.stderr)
	}
}

func TestE42ALockedKeyringNamesTheWayOut(t *testing.T) {
	t.Parallel()
	i := startIssuer(t)
	m := newMachineAt(t, "FOB_SEAL_KEY="+strings.Repeat("5a", 32))
	m.startKeyring()
	m.loginAt(i)
	m.lockKeyring()
	r := m.fob("", "storage", "migrate", "--to", "file", "work")
	if r.status != 6 || !strings.Contains(r.stderr, "locked") {
		t.Errorf("exit status %d\n%s", r.status, r.stderr)
	}
	if m.fob("", "storage", "status").status != 6 {
		t.Error("storage status takes a locked keyring for a healthy one")
	}
}

// As long as the keyring has a login, no command replaces a lost seal.key; and the login
// survives the loss of config.toml.
func TestLostSealKeyAndConfiguration(t *testing.T) {
	t.Parallel()
	i := startIssuer(t)
	m := newMachineAt(t)
	m.startKeyring()
	m.loginAt(i)
	key := filepath.Join(m.home, ".local/share/fob/seal.key")
	good, err := os.ReadFile(key)
	if err == nil {
		err = os.Remove(key)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"token", "work", "--force-refresh"}, {"storage", "check"}, {"login", "play", "--issuer", i.url, "--client-id", "fob-e2e"}, {"storage", "rekey", "--storage", "keyring"}} {
		if r := m.fob("", args...); r.status != 6 || !strings.Contains(r.stderr, "the seal key is missing") {
			t.Errorf("%q: exit status %d\n%s", args, r.status, r.stderr)
		}
	}
	if r := m.fob("", "doctor"); r.status != 1 || !strings.Contains(r.stdout, "the seal key is missing") {
		t.Errorf("doctor: exit status %d\n%s", r.status, r.stdout)
	}
	if _, err := os.Stat(key); err == nil {
		t.Fatal("there is a new key")
	}
	if err := os.WriteFile(key, good, 0o600); err != nil {
		t.Fatal(err)
	}
	m.ok("token", "work", "--force-refresh")

	if err := os.Remove(filepath.Join(m.home, ".config/fob/config.toml")); err != nil {
		t.Fatal(err)
	}
	if r := m.fob("", "status"); !strings.Contains(r.stderr, "1 login stored without settings in config.toml") {
		t.Errorf("status: %s", r.stderr)
	}
	m.fob("", "doctor", "--fix", "--yes")
	m.ok("token", "work", "--force-refresh")

	// A purge deletes what config.toml does not name from the keyring, too.
	if err := os.Remove(filepath.Join(m.home, ".config/fob/config.toml")); err != nil {
		t.Fatal(err)
	}
	if r := m.fob(""); !strings.Contains(r.stdout, "next: fob doctor") {
		t.Errorf("fob: %s%s", r.stdout, r.stderr)
	}
	if r := m.fob("", "logout", "--all", "--purge", "--yes", "--debug"); r.status != 0 || !strings.Contains(r.stderr, "work: without settings") || !strings.Contains(r.stderr, "delete (1) login/work") {
		t.Errorf("logout: exit status %d\n%s", r.status, r.stderr)
	}
}
