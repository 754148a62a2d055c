package credstore

import (
	"bytes"
	"errors"
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
	k := s.items.(*keyringItems)
	k.slow, k.wait, k.unlock = 200*time.Millisecond, 2*time.Second, 3*time.Second
	return s, &lines
}

func TestE41NoBus(t *testing.T) {
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "")
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	marker := filepath.Join(t.TempDir(), "started")
	launcher := filepath.Join(t.TempDir(), "dbus-launch")
	if err := os.WriteFile(launcher, []byte("#!/bin/sh\ntouch "+marker+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", filepath.Dir(launcher)+":"+os.Getenv("PATH"))
	s, _ := onBus(t)
	if err := s.Probe(t.Context()); !errors.Is(err, ErrAbsent) {
		t.Errorf("Probe() = %v", err)
	}
	if _, err := os.Stat(marker); err == nil {
		t.Error("dbus-launch was started")
	}
}

func TestE41BusWithoutSecretService(t *testing.T) {
	privateBus(t)
	s, _ := onBus(t)
	if err := s.Probe(t.Context()); !errors.Is(err, ErrAbsent) {
		t.Errorf("Probe() = %v", err)
	}
}

func TestE41BusThatIsGone(t *testing.T) {
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path="+filepath.Join(t.TempDir(), "gone"))
	s, _ := onBus(t)
	if err := s.Probe(t.Context()); !errors.Is(err, ErrAbsent) {
		t.Errorf("Probe() = %v", err)
	}
}

func TestE42PromptNobodyAnswers(t *testing.T) {
	f := startSecretService(t)
	s, lines := onBus(t)
	if err := s.Set(t.Context(), login, []byte("x")); err != nil {
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
	if err := s.Set(t.Context(), login, []byte("x")); err != nil {
		t.Fatal(err)
	}
	f.set(func() { f.Locked, f.answer = true, true })
	if _, err := s.Get(t.Context(), login); !errors.Is(err, ErrLocked) {
		t.Errorf("Get() = %v", err)
	}
}

func TestE43DismissedWrite(t *testing.T) {
	f := startSecretService(t)
	s, _ := onBus(t)
	if err := s.Set(t.Context(), login, []byte("old")); err != nil {
		t.Fatal(err)
	}
	f.set(func() { f.dismiss = true })
	if err := s.Set(t.Context(), login, []byte("new")); !errors.Is(err, ErrNotWritten) {
		t.Errorf("E43: Set() = %v", err)
	}
	if got, err := s.Get(t.Context(), login); err != nil || string(got) != "old" {
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
	if err := s.Set(t.Context(), login, make([]byte, 200)); err != nil {
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
		{"two thousand MB lines", bytes.Repeat([]byte("\n"), 2000), ErrCorrupt},
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
	if err := s.Set(t.Context(), login, []byte("canary-refresh-token")); err != nil {
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
	if err := other.Set(t.Context(), login, []byte("of another data folder")); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get(t.Context(), login); err != nil || string(got) != "canary-refresh-token" {
		t.Errorf("another data folder shares the item: %q, %v", got, err)
	}
}

func TestProbeLeavesNothing(t *testing.T) {
	f := startSecretService(t)
	s, _ := onBus(t)
	if err := s.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.set(func() {
		if len(f.items) != 0 {
			t.Errorf("the probe left %v", f.items)
		}
	})
}
