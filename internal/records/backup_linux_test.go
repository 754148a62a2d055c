package records

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fobcli/fob/internal/app/apptest"
	"github.com/fobcli/fob/internal/config"
)

// accesses counts how often a file is opened and replaced while run runs.
func accesses(t *testing.T, path string, run func()) (opened, replaced int) {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	if _, err := unix.InotifyAddWatch(fd, filepath.Dir(path), unix.IN_OPEN|unix.IN_CLOSE|unix.IN_MOVED_TO); err != nil {
		t.Fatal(err)
	}
	run()
	buffer := make([]byte, 1<<20)
	n, err := unix.Read(fd, buffer)
	if err != nil {
		t.Fatal(err)
	}
	for events := buffer[:n]; len(events) > 0; {
		mask, end := binary.NativeEndian.Uint32(events[4:]), unix.SizeofInotifyEvent+binary.NativeEndian.Uint32(events[12:])
		if name := strings.TrimRight(string(events[unix.SizeofInotifyEvent:end]), "\x00"); name == filepath.Base(path) {
			opened += int(mask & unix.IN_OPEN / unix.IN_OPEN)
			replaced += int(mask & unix.IN_MOVED_TO / unix.IN_MOVED_TO)
		}
		events = events[end:]
	}
	return opened, replaced
}

// config.toml is changed once, however many records are restored.
func TestRestore_ChangesTheConfigurationOnce(t *testing.T) {
	backed := newMachine(t).backUp()
	for _, n := range []int{10, 40} {
		b := *backed
		b.Logins, b.profiles, b.Secrets, b.secrets = nil, nil, nil, nil
		for i := range n {
			login, profile, sealed, secret := backed.Logins[0], backed.profiles[0], backed.Secrets[0], backed.secrets[0]
			login.Name, sealed.Name = fmt.Sprint("p", i), fmt.Sprint("s", i)
			profile.Name, secret.Name = login.Name, sealed.Name
			b.Logins, b.profiles = append(b.Logins, login), append(b.profiles, profile)
			b.Secrets, b.secrets = append(b.Secrets, sealed), append(b.secrets, secret)
		}
		m := &machine{Machine: apptest.New(t, ""), t: t}
		path := filepath.Join(m.Home, "config.toml")
		all := m.parsed(&b)
		opened, replaced := accesses(t, path, func() { restoreAll(t, m.Machine, all, RestoreOptions{}) })
		if cfg, err := m.Config(); err != nil || len(cfg.Profiles) != n || len(cfg.Secrets) != n {
			t.Fatalf("%d of %d logins have settings: %v", len(cfg.Profiles), n, err)
		}
		if opened > 3 || replaced != 1 {
			t.Errorf("%d records: config.toml was opened %d times and replaced %d times", 2*n, opened, replaced)
		}
	}
}

// Settings that cannot be written do not prevent the others.
func TestSave_EachIfNotAll(t *testing.T) {
	m := newMachine(t)
	cfg, err := m.Config()
	if err != nil {
		t.Fatal(err)
	}
	failed := Save([]Record{
		newLogin(m.App, cfg, config.Profile{Name: "good", Issuer: "https://sso.example.com"}),
		newLogin(m.App, cfg, config.Profile{Name: "bad", Provider: "unknown"}),
	})
	cfg, err = m.Config()
	if _, saved := cfg.Profiles["good"]; err != nil || !saved || failed["good"] != nil || failed["bad"] == nil || len(cfg.Profiles) != 2 {
		t.Errorf("%v, %+v, %v", failed, cfg.Profiles, err)
	}
}
