//go:build !windows

package destination

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/secret"
)

func TestH64ACommandGetsTheValueOnStdinAlone(t *testing.T) {
	m := machine(t)
	dir := t.TempDir()
	m.Commands = map[string][]string{"put": {"/bin/sh", "-c", `cat >"$0/value"; env >"$0/env"; tr '\0' ' ' </proc/$$/cmdline >"$0/argv" 2>/dev/null || :`, dir}}
	m.Environ = []string{"PATH=/usr/bin:/bin"}
	d, err := Parse("exec:put", m)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Deliver(t.Context(), secret.New("canary-value\nof two lines")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{"value": 1, "env": 0, "argv": 0} {
		text, _ := os.ReadFile(filepath.Join(dir, name))
		if strings.Count(string(text), "canary-value") != want {
			t.Errorf("%s: %q", name, text)
		}
	}
}

func TestH64ACommandsComplaintHasNoValue(t *testing.T) {
	m := machine(t)
	m.Environ = []string{"PATH=/usr/bin:/bin"}
	m.Commands = map[string][]string{"put": {"/bin/sh", "-c", `cat >&2; printf '\033[31mno\n' >&2; exit 3`}, "loud": {"/bin/sh", "-c", "read v; echo refused $v >&2; exit 1"}}
	for name, want := range map[string]string{"put": "/bin/sh ended with status 3: ***[31mno", "loud": "/bin/sh ended with status 1: refused ***"} {
		d, err := Parse("exec:"+name, m)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Deliver(t.Context(), secret.New("canary-value\n")); err == nil || err.Error() != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Also where what is kept of the complaints ends within the value, and where a program
// writes UTF-16.
func TestH64NoPartOfAValueIsInAComplaint(t *testing.T) {
	m := machine(t)
	m.Environ = []string{"PATH=/usr/bin:/bin"}
	m.Commands = map[string][]string{
		"cut":  {"/bin/sh", "-c", `head -c 65500 /dev/zero | tr '\0' x >&2; cat >&2; exit 1`},
		"long": {"/bin/sh", "-c", `echo refused: >&2; cat >&2; exit 1`},
		"wide": {"/bin/sh", "-c", `sed 's/./&\x00/g' >&2; exit 1`},
	}
	for name, value := range map[string]string{"cut": strings.Repeat("canary-", 9), "long": strings.Repeat("canary-", 10_000), "wide": "canary-value"} {
		d, err := Parse("exec:"+name, m)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Deliver(t.Context(), secret.New(value)); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestACommandThatHangsIsEnded(t *testing.T) {
	m := machine(t)
	m.Environ = []string{"PATH=/usr/bin:/bin"}
	m.Commands = map[string][]string{"put": {"/bin/sleep", "60"}}
	d, err := Parse("exec:put", m)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	started := time.Now()
	if err := d.Deliver(ctx, secret.New("v")); err == nil || !strings.Contains(err.Error(), "did not end in time") {
		t.Error(err)
	}
	if time.Since(started) > 20*time.Second {
		t.Error("it was waited for")
	}
}
