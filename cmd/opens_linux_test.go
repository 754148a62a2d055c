package cmd

import (
	"encoding/binary"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fobcli/fob/internal/authservertest"
)

// opens counts how often a file is opened while run runs, whoever opens it. The events of
// one file are merged if they follow each other and are alike, so that opens and closes are
// both asked for.
func opens(t *testing.T, path string, run func()) (count int) {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	if _, err := unix.InotifyAddWatch(fd, path, unix.IN_OPEN|unix.IN_CLOSE); err != nil {
		t.Fatal(err)
	}
	run()
	buffer := make([]byte, 64<<10)
	for {
		n, err := unix.Read(fd, buffer)
		if errors.Is(err, unix.EAGAIN) {
			return count
		}
		if err != nil {
			t.Fatal(err)
		}
		for events := buffer[:n]; len(events) > 0; events = events[unix.SizeofInotifyEvent+binary.NativeEndian.Uint32(events[12:]):] {
			if binary.NativeEndian.Uint32(events[4:])&unix.IN_OPEN != 0 {
				count++
			}
		}
	}
}

func TestConfig_IsOpenedOnce(t *testing.T) {
	issuer, err := authservertest.Start(authservertest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer issuer.Close()
	home := t.TempDir()
	for name, value := range map[string]string{
		"FOB_HOME": home, "FOB_STORAGE": "file", "FOB_SEAL_KEY": strings.Repeat("07", 32), "FOB_AGENT": "off", "CI": "", "GITHUB_ACTIONS": "", "GITLAB_CI": "",
	} {
		t.Setenv(name, value)
	}
	t.Chdir(home)
	fob := func(input string, args ...string) {
		t.Helper()
		t.Setenv("FOB_SEAL_KEY", strings.Repeat("07", 32)) // which each run takes out of the environment
		var stderr strings.Builder
		if status := Main(args, strings.NewReader(input), io.Discard, &stderr); status != 0 {
			t.Fatalf("fob %s: status %d\n%s", strings.Join(args, " "), status, stderr.String())
		}
	}
	for _, name := range []string{"one", "two"} {
		fob(authservertest.ClientSecret, "login", name, "--issuer", issuer.Issuer(), "--client-id", "fob-service", "--client-secret-stdin", "--grant", "client_credentials")
	}
	fob("", "profile", "set", "one", "--default")
	for _, command := range []string{"token", "token two", "status", "status --json", "refresh --all", "storage check", "token --force-refresh"} {
		t.Run(command, func(t *testing.T) {
			if n := opens(t, filepath.Join(home, "config.toml"), func() { fob("", strings.Fields(command)...) }); n != 1 {
				t.Errorf("config.toml was opened %d times", n)
			}
		})
	}
}
