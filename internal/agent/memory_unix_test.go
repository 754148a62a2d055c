//go:build unix

package agent

import (
	"os"
	"strings"
	"testing"
	"time"
)

func newMemory(t *testing.T, forgetAfter time.Duration) (*Memory, *time.Duration) {
	t.Helper()
	var now time.Duration
	m, err := NewMemory(forgetAfter, func() time.Duration { return now })
	if err != nil {
		t.Fatal(err)
	}
	return m, &now
}

func TestMemoryForgetsWhatIsNotAskedFor(t *testing.T) {
	m, now := newMemory(t, time.Hour)
	m.Put("a", []byte("canary-a"))
	m.Put("b", []byte("canary-b"))
	*now += 40 * time.Minute
	if got := m.Get("a"); string(got) != "canary-a" {
		t.Errorf("a is %q", got)
	}
	*now += 40 * time.Minute
	if m.Get("b") != nil || string(m.Get("a")) != "canary-a" {
		t.Error("b is held, or a is not")
	}
	key := *m.key()
	*now += 61 * time.Minute
	if names := m.Names(); len(names) != 0 || key == *m.key() {
		t.Errorf("%v are held, or the key is", names)
	}
	if m.Drop("a"); m.Get("a") != nil {
		t.Error("dropped and held")
	}
}

// Once it is locked, nothing that was held can be opened: not even by what is left of it.
func TestLockOverwritesTheKey(t *testing.T) {
	m, _ := newMemory(t, time.Hour)
	m.Put("a", []byte("canary"))
	if strings.Contains(string(m.items["a"].sealed), "canary") {
		t.Error("held as it is")
	}
	left, key := m.items["a"], *m.key()
	m.Lock()
	m.Put("a", []byte("canary"))
	if m.Get("a") != nil || !m.Locked() || key == *m.key() {
		t.Error("locked, and it holds something")
	}
	m.Unlock()
	m.items["a"] = left
	if m.Get("a") != nil || m.Locked() {
		t.Error("what was held before opens again")
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}

func TestThePageIsLocked(t *testing.T) {
	newMemory(t, time.Hour)
	status, err := os.ReadFile("/proc/self/status")
	if os.IsNotExist(err) {
		return // not on macOS
	}
	if err != nil || strings.Contains(string(status), "VmLck:\t       0 kB") {
		t.Errorf("no page is locked: %v", err)
	}
}
