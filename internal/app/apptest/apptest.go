// Package apptest is a machine for tests of commands: a home folder, streams in memory, a
// clock that stands still, and encrypted files as storage.
package apptest

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/app"
)

// Machine is an App with what a test looks at.
type Machine struct {
	*app.App
	Home     string
	Out, Err bytes.Buffer
	Time     time.Time
}

// New returns a machine with the text of config.toml; dotenv destinations may be anywhere
// below its home folder.
func New(t testing.TB, config string) *Machine {
	t.Helper()
	m := &Machine{Home: t.TempDir(), Time: time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)}
	if !strings.Contains(config, "[destination]") {
		config += "\n[destination]\n"
	}
	config = strings.Replace(config, "[destination]\n", "[destination]\ndotenv_roots = ['"+m.Home+"']\n", 1)
	if err := os.WriteFile(filepath.Join(m.Home, "config.toml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	m.App = app.New(strings.NewReader(""), &m.Out, &m.Err, map[string]string{
		"FOB_HOME": m.Home, "FOB_STORAGE": "file", "FOB_SEAL_KEY": strings.Repeat("ab", 32),
	})
	m.Clock.Now = func() time.Time { return m.Time }
	return m
}

// Dotenv returns the name of a destination on this machine.
func (m *Machine) Dotenv(variable string) string {
	return "dotenv:" + filepath.ToSlash(filepath.Join(m.Home, ".env")) + "#" + variable
}

// Env returns the text of the file that Dotenv names.
func (m *Machine) Env() string {
	text, _ := os.ReadFile(filepath.Join(m.Home, ".env"))
	return string(text)
}

// Reset forgets what was printed.
func (m *Machine) Reset() {
	m.Out.Reset()
	m.Err.Reset()
}
