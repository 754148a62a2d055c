package e2e

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestI66_KeePassXCServesFob: KeePassXC reads /proc/PID/exe of its clients to show who they
// are, and fob's belongs to root. It serves fob all the same.
func TestI66_KeePassXCServesFob(t *testing.T) {
	dir, err := os.MkdirTemp("", "keepassxc") // where another user may pass
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	m := &machine{t: t, home: dir, env: []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "XDG_RUNTIME_DIR=" + dir, "FOB_HOME=" + dir + "/fob-home", "NO_COLOR=1", "GORACE=atexit_sleep_ms=0", "QT_QPA_PLATFORM=offscreen",
	}}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	as := func(argv ...string) *exec.Cmd {
		c := exec.CommandContext(ctx, argv[0], argv[1:]...)
		c.Dir, c.Env = dir, m.env
		if os.Getuid() == 0 { // which could read everything
			c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		}
		return c
	}
	for to, from := range map[string]string{"fob": fob, "bus.conf": "keepassxc/bus.conf", "database.xml": "keepassxc/database.xml", "keepassxc.ini": "keepassxc/keepassxc.ini"} {
		if err := os.WriteFile(filepath.Join(dir, to), []byte(readText(t, from)), 0o755); err != nil {
			t.Fatal(err)
		}
		if os.Getuid() == 0 {
			if err := os.Chown(filepath.Join(dir, to), nobody, nobody); err != nil {
				t.Fatal(err)
			}
		}
	}
	if os.Getuid() == 0 {
		if err := os.Chown(dir, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}

	bus := as("dbus-daemon", "--config-file="+dir+"/bus.conf", "--nofork", "--print-address")
	out, err := bus.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	m.startDaemon(bus)
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	m.env = append(m.env, "DBUS_SESSION_BUS_ADDRESS="+strings.TrimSpace(address))
	run := func(stdin string, argv ...string) string {
		t.Helper()
		c := as(argv...)
		c.Stdin = strings.NewReader(stdin)
		text, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v\n%s", argv, err, text)
		}
		return string(text)
	}
	run("pw\npw\n", "keepassxc-cli", "import", "-p", "database.xml", "database.kdbx")
	keepass := as("keepassxc", "--config", "keepassxc.ini", "--localconfig", "local.ini", "--pw-stdin", "database.kdbx")
	keepass.Stdin = strings.NewReader("pw\n")
	m.startDaemon(keepass)
	open := func() bool {
		text, err := as("dbus-send", "--session", "--print-reply=literal", "--dest=org.freedesktop.secrets", "/org/freedesktop/secrets", "org.freedesktop.Secret.Service.ReadAlias", "string:default").Output()
		return err == nil && strings.Contains(string(text), "/collection/")
	}
	for !open() {
		if ctx.Err() != nil {
			t.Fatal("KeePassXC does not serve its database")
		}
	}

	if said := run("canary", dir+"/fob", "secret", "set", "shop"); !strings.Contains(said, "in the OS keyring") {
		t.Errorf("it is not kept in KeePassXC: %s", said)
	}
	if got := run("", dir+"/fob", "secret", "get", "shop"); strings.TrimSpace(got) != "canary" {
		t.Errorf("KeePassXC returns %q", got)
	}
	long := strings.Repeat("longer than an item. ", 400) // in several pieces
	for _, value := range []string{"second", long, "third"} {
		run(value, dir+"/fob", "secret", "set", "shop")
		if got := run("", dir+"/fob", "secret", "get", "shop"); strings.TrimSpace(got) != strings.TrimSpace(value) {
			t.Errorf("KeePassXC returns %d bytes of %q, not %d", len(got), got[:min(len(got), 40)], len(value))
		}
	}
	run("", dir+"/fob", "secret", "remove", "shop", "--yes")
	if said, err := as(dir+"/fob", "secret", "get", "shop").CombinedOutput(); err == nil {
		t.Errorf("after its removal: %s", said)
	}
	if items := run("", "dbus-send", "--session", "--print-reply=literal", "--dest=org.freedesktop.secrets", "/org/freedesktop/secrets/aliases/default", "org.freedesktop.DBus.Properties.Get", "string:org.freedesktop.Secret.Collection", "string:Items"); strings.Contains(items, "/collection/") {
		t.Errorf("KeePassXC still has %s", items)
	}
}

const nobody = 65534 // whom the bus knows by name
