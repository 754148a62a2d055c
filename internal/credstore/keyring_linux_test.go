package credstore

import (
	"bytes"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/seal"
)

var login = seal.Context{Kind: "login", Profile: "work", Issuer: "https://sso.example.com", ClientID: "fob"}

// onBus is a keyring store on the test's bus, with short deadlines and the lines
// that it showed.
func onBus(t *testing.T) (*Store, *[]string) {
	t.Helper()
	var lines []string
	s := NewKeyring(KeyringOptions{
		DataDir: t.TempDir(),
		Getenv:  os.Getenv,
		Notify:  func(line string) { lines = append(lines, line) },
	})
	k := s.items.(tracedItems).items.(*keyringItems)
	k.limits.slow, k.limits.wait, k.limits.unlock = 200*time.Millisecond, 2*time.Second, 3*time.Second
	return s, &lines
}

func TestE41NoBus(t *testing.T) {
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "")
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	started := fakeLauncher(t)
	s, _ := onBus(t)
	if err := s.Probe(t.Context(), 8); !errors.Is(err, ErrAbsent) || !strings.Contains(err.Error(), "no D-Bus") {
		t.Errorf("Probe() = %v", err)
	}
	if err := KeyringReachable(os.Getenv); !errors.Is(err, ErrAbsent) {
		t.Errorf("E41: KeyringReachable() = %v", err)
	}
	if _, err := os.Stat(started); err == nil {
		t.Error("dbus-launch was started")
	}
}

// fakeLauncher puts a dbus-launch first in PATH, and returns the file that it
// leaves when it is started.
func fakeLauncher(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	started := filepath.Join(dir, "started")
	if err := os.WriteFile(filepath.Join(dir, "dbus-launch"), []byte("#!/bin/sh\n: >'"+started+"'\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return started
}

// godbus looks for the bus elsewhere than fob did once, and then starts dbus-launch.
func TestE41BusInTheRuntimeDirAlone(t *testing.T) {
	for _, absent := range []string{"", "autolaunch:"} {
		t.Run("address "+absent, func(t *testing.T) {
			startSecretService(t)
			address, _, _ := strings.Cut(os.Getenv("DBUS_SESSION_BUS_ADDRESS"), ",")
			runtimeDir := t.TempDir()
			if err := os.Symlink(strings.TrimPrefix(address, "unix:path="), filepath.Join(runtimeDir, "bus")); err != nil {
				t.Fatal(err)
			}
			t.Setenv("DBUS_SESSION_BUS_ADDRESS", absent)
			t.Setenv("XDG_RUNTIME_DIR", runtimeDir)
			started := fakeLauncher(t)
			s, _ := onBus(t)
			if err := s.Probe(t.Context(), 8); err != nil {
				t.Errorf("E41: Probe() = %v", err)
			}
			if _, err := os.Stat(started); err == nil {
				t.Error("E41: dbus-launch was started")
			}
		})
	}
}

// A machine that one reaches over SSH alone: the service starts when it is asked,
// and nobody ever made a keyring in it.
func TestE41ServiceWithoutKeyring(t *testing.T) {
	f := startSecretService(t)
	f.set(func() { f.none = true })
	s, lines := onBus(t)
	if err := s.Probe(t.Context(), 8); !errors.Is(err, ErrAbsent) || !strings.Contains(err.Error(), "no default keyring") || len(*lines) != 0 {
		t.Errorf("E41: Probe() = %v, the person was told %q", err, *lines)
	}
}

// A bus that takes the call and says nothing hangs the question whether the
// keyring is locked, too.
func TestE42SilentBus(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "bus")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path="+socket)
	s, lines := onBus(t)
	if err := s.Probe(t.Context(), 8); !errors.Is(err, ErrTimeout) || len(*lines) != 0 {
		t.Errorf("E42: Probe() = %v, the person was told %q", err, *lines)
	}
}

func TestE41BusWithoutSecretService(t *testing.T) {
	privateBus(t)
	s, _ := onBus(t)
	if err := s.Probe(t.Context(), 8); !errors.Is(err, ErrAbsent) {
		t.Errorf("Probe() = %v", err)
	}
}

func TestE41BusThatIsGone(t *testing.T) {
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path="+filepath.Join(t.TempDir(), "gone"))
	s, _ := onBus(t)
	if err := s.Probe(t.Context(), 8); !errors.Is(err, ErrAbsent) {
		t.Errorf("Probe() = %v", err)
	}
}

func TestE42PromptNobodyAnswers(t *testing.T) {
	f := startSecretService(t)
	s, lines := onBus(t)
	if err := s.Set(t.Context(), login, Record{Body: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	f.set(func() { f.Locked = true })
	for range 2 {
		if _, err := s.Get(t.Context(), login); !errors.Is(err, ErrLocked) {
			t.Errorf("Get() = %v", err)
		}
	}
	f.set(func() {
		if f.prompts != 1 {
			t.Errorf("E42: %d prompts", f.prompts)
		}
	})
	if len(*lines) != 1 || !strings.Contains((*lines)[0], "unlock it") {
		t.Errorf("the person was told %q", *lines)
	}
}

func TestE42DismissedUnlock(t *testing.T) {
	f := startSecretService(t)
	s, _ := onBus(t)
	if err := s.Set(t.Context(), login, Record{Body: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	f.set(func() { f.Locked, f.answer = true, true })
	for range 3 {
		if _, err := s.Get(t.Context(), login); !errors.Is(err, ErrLocked) {
			t.Errorf("Get() = %v", err)
		}
	}
	f.set(func() {
		if f.prompts != 1 {
			t.Errorf("E42: %d prompts after a dismissed one", f.prompts)
		}
	})
}

func TestE42PersonUnlocksWhenTold(t *testing.T) {
	f := startSecretService(t)
	s, _ := onBus(t)
	if err := s.Set(t.Context(), login, Record{Body: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	f.set(func() { f.Locked = true })
	k := s.items.(tracedItems).items.(*keyringItems)
	k.limits.wait, k.limits.unlock = time.Minute, time.Minute
	told := 0
	k.limits.notify = func(string) {
		told++
		f.unlockNow()
	}
	if got, err := s.Get(t.Context(), login); err != nil || string(got.Body) != "x" || told != 1 {
		t.Errorf("Get() = %q, %v, told %d times", got, err, told)
	}
	if err := s.Set(t.Context(), login, Record{Body: []byte("y")}); err != nil || told != 1 {
		t.Errorf("Set() = %v, told %d times", err, told)
	}
}

func TestE43DismissedWrite(t *testing.T) {
	f := startSecretService(t)
	s, _ := onBus(t)
	if err := s.Set(t.Context(), login, Record{Body: []byte("old")}); err != nil {
		t.Fatal(err)
	}
	f.set(func() { f.dismiss = true })
	if err := s.Set(t.Context(), login, Record{Body: []byte("new")}); !errors.Is(err, ErrNotWritten) {
		t.Errorf("E43: Set() = %v", err)
	}
	if got, err := s.Get(t.Context(), login); err != nil || string(got.Body) != "old" {
		t.Errorf("E43: the old record is %q, %v", got, err)
	}
	if err := s.Delete(t.Context(), login); !errors.Is(err, ErrRefused) {
		t.Errorf("a dismissed deletion: %v", err)
	}
}

func TestE44WhatIsInTheItem(t *testing.T) {
	f := startSecretService(t)
	s, _ := onBus(t)
	if _, err := s.Get(t.Context(), login); !errors.Is(err, ErrNotFound) {
		t.Errorf("E44 a fresh install: %v", err)
	}
	if err := s.Set(t.Context(), login, Record{Body: make([]byte, 200)}); err != nil {
		t.Fatal(err)
	}
	var name string
	var good []byte
	f.set(func() {
		for name, good = range f.items {
		}
	})
	for _, test := range []struct {
		name  string
		value []byte
		want  error
	}{
		{"foreign text", []byte("password of somebody else"), ErrCorrupt},
		{"empty", nil, ErrCorrupt},
		{"truncated", good[:len(good)/2&^3], seal.ErrTampered},
		{"truncated in the header", good[:20], ErrCorrupt},
		{"changed", append(bytes.Clone(good[:len(good)-2]), 'A', 'A'), seal.ErrTampered},
		{"empty lines", bytes.Repeat([]byte("\n"), 2000), ErrCorrupt},
	} {
		f.set(func() { f.items[name] = test.value })
		if _, err := s.Get(t.Context(), login); !errors.Is(err, test.want) {
			t.Errorf("E44 %s: %v, want %v", test.name, err, test.want)
		}
		f.set(func() {
			if !bytes.Equal(f.items[name], test.value) {
				t.Errorf("E44 %s: reading has overwritten it", test.name)
			}
		})
	}
	f.set(func() { delete(f.items, name) })
	if _, err := s.Get(t.Context(), login); !errors.Is(err, ErrNotFound) {
		t.Errorf("E44 absent: %v", err)
	}
}

func TestKeyringHoldsSealedTextAlone(t *testing.T) {
	f := startSecretService(t)
	s, _ := onBus(t)
	if err := s.Set(t.Context(), login, Record{Body: []byte("canary-refresh-token")}); err != nil {
		t.Fatal(err)
	}
	f.set(func() {
		for name, value := range f.items {
			if bytes.Contains(value, []byte("canary")) {
				t.Errorf("%s holds the clear text", name)
			}
		}
	})
	other, _ := onBus(t)
	if err := other.Set(t.Context(), login, Record{Body: []byte("of another data folder")}); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get(t.Context(), login); err != nil || string(got.Body) != "canary-refresh-token" {
		t.Errorf("another data folder shares the item: %q, %v", got, err)
	}
}

func TestProbeLeavesNothing(t *testing.T) {
	f := startSecretService(t)
	s, _ := onBus(t)
	if err := s.Probe(t.Context(), 8); err != nil {
		t.Fatal(err)
	}
	f.set(func() {
		if len(f.items) != 0 {
			t.Errorf("the probe left %v", f.items)
		}
	})
}
