// Package cmdtest runs commands within a test: with buffers, a home and a clock of their own.
package cmdtest

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/session"
)

// Now is the time for all commands.
func Now() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

// App is an App whose storage is sealed files and whose home is a temporary folder.
type App struct {
	*app.App
	t        *testing.T
	Home     string
	out, err output
}

// output is a buffer that a command and its child write to at once.
type output struct {
	mu   sync.Mutex
	text []byte
}

func (o *output) Write(text []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text = append(o.text, text...)
	return len(text), nil
}

// take returns what was written since the last call.
func (o *output) take() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	text := string(o.text)
	o.text = nil
	return text
}

// Stderr returns what was written since the last call or Run.
func (a *App) Stderr() string { return a.err.take() }

// New returns an App with a configuration, which may be empty, and variables NAME=VALUE.
func New(t *testing.T, configuration string, environ ...string) *App {
	t.Helper()
	a := &App{t: t, Home: t.TempDir()}
	variables := map[string]string{"FOB_HOME": a.Home, "FOB_STORAGE": "file", "FOB_SEAL_KEY": strings.Repeat("07", 32), "FOB_AGENT": app.AgentOff}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		variables[name] = value
	}
	a.App = app.New(strings.NewReader(""), &a.out, &a.err, variables)
	a.Clock = session.Clock{Now: Now, Uptime: func() session.Uptime { return session.Uptime{} }}
	if configuration != "" {
		a.Write("config.toml", configuration)
	}
	return a
}

// Write makes a file in the home, and returns its path.
func (a *App) Write(name, text string) string {
	a.t.Helper()
	path := filepath.Join(a.Home, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return path
}

// Run runs a command as the root would, and returns what it has printed.
func (a *App) Run(newCmd func(*app.App) *cobra.Command, args ...string) (stdout, stderr string, err error) {
	a.t.Helper()
	c := newCmd(a.App)
	root := &cobra.Command{Use: "fob", SilenceErrors: true, SilenceUsage: true}
	root.SetFlagErrorFunc(usage.WrongFlag)
	root.SetOut(&a.out)
	root.SetErr(&a.err)
	root.AddCommand(c)
	root.SetArgs(append([]string{c.Name()}, args...))
	err = root.ExecuteContext(a.t.Context())
	return a.out.take(), a.err.take(), err
}
