package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// terminal is a real one, of tmux's, in which a program runs.
type terminal struct {
	t      testing.TB
	m      *machine
	socket string
	exit   string // the file that the program's exit status is written to
}

// inTerminal runs a program in a terminal of some columns and rows.
func (m *machine) inTerminal(columns, rows int, program ...string) *terminal {
	m.t.Helper()
	dir := runtimeDir(m.t)
	settings := filepath.Join(dir, "tmux.conf")
	if err := os.WriteFile(settings, []byte("set -g remain-on-exit on\n"), 0o600); err != nil {
		m.t.Fatal(err)
	}
	term := &terminal{t: m.t, m: m, socket: filepath.Join(dir, "tmux"), exit: filepath.Join(dir, "exit")}
	// tmux does not always learn how a program ended.
	program = append([]string{"sh", "-c", `exit=$1; shift; "$@"; echo $? >"$exit.part"; mv "$exit.part" "$exit"`, "sh", term.exit}, program...)
	term.tmux(append([]string{"-u", "-f", settings, "new-session", "-d", "-x", strconv.Itoa(columns), "-y", strconv.Itoa(rows)}, program...)...)
	pid, err := strconv.Atoi(strings.TrimSpace(term.tmux("display-message", "-p", "#{pid}")))
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGTERM) })
	return term
}

func (t *terminal) tmux(args ...string) string {
	t.t.Helper()
	out, err := t.m.command(append([]string{"tmux", "-S", t.socket}, args...)...).CombinedOutput()
	if err != nil {
		t.t.Fatalf("tmux %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// shown is all that stands in the terminal, with lines as they were written.
func (t *terminal) shown() string { return t.tmux("capture-pane", "-p", "-J", "-S", "-") }

// find waits until the terminal shows something, and returns the expression's group.
func (t *terminal) find(expression string) string {
	t.t.Helper()
	wanted := regexp.MustCompile(expression)
	var found string
	eventually(t.t, func() error {
		ended := t.ended() // before the last look
		shown := t.shown()
		if match := wanted.FindStringSubmatch(shown); match != nil {
			found = match[len(match)-1]
			return nil
		}
		if ended {
			t.t.Fatalf("the program has ended, and the terminal does not show %s:\n%s", expression, shown)
		}
		return fmt.Errorf("the terminal does not show %s:\n%s", expression, shown)
	})
	return found
}

func (t *terminal) ended() bool {
	_, err := os.Stat(t.exit)
	return err == nil
}

// status waits for the program's end.
func (t *terminal) status() int {
	t.t.Helper()
	eventually(t.t, func() error {
		if !t.ended() {
			return fmt.Errorf("the program does not end:\n%s", t.shown())
		}
		return nil
	})
	status, err := strconv.Atoi(strings.TrimSpace(readText(t.t, t.exit)))
	if err != nil {
		t.t.Fatal(err)
	}
	return status
}

// inTerminal runs a login as a person does who is logged in to a remote machine.
func (f *flow) inTerminal(columns, rows int, flags ...string) *terminal {
	f.Helper()
	f.m.env = append(f.m.env, "BROWSER=", "SSH_CONNECTION=192.0.2.1 50022 192.0.2.2 22", "LANG=C.UTF-8")
	return f.m.inTerminal(columns, rows, slices.Concat(f.m.program, f.loginArgs("work", flags...))...)
}
