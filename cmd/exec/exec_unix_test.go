//go:build unix

package exec

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fobcli/fob/cmd/internal/cmdtest"
	"github.com/fobcli/fob/internal/cli"
)

// exitStatus is the exit status that an error carries, or 0.
func exitStatus(err error) int {
	var own *cli.StatusError
	var child *cli.SilentStatus
	switch {
	case errors.As(err, &child):
		return child.Status
	case errors.As(err, &own):
		return own.Status
	}
	return 0
}

func TestExec_OwnFailures(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		args    []string
		status  int
		problem string
	}{
		"no program":               {nil, exitExecFailed, "no program to run"},
		"an unknown program":       {[]string{"--", "no-such-program"}, exitCommandNotFound, `program not found: "no-such-program"`},
		"a file without x":         {[]string{"--", plain}, exitNotExecutable, "cannot be run"},
		"a folder":                 {[]string{"--", dir}, exitCommandNotFound, "program not found"},
		"a wrong variable":         {[]string{"--env", "TOKEN=work", "--", "true"}, exitExecFailed, "--env is not"},
		"a missing file":           {[]string{"--env-file", filepath.Join(dir, "none"), "--", "true"}, exitExecFailed, "env file"},
		"a missing login":          {[]string{"--env", "TOKEN=token/work", "--", "true"}, exitExecFailed, "work"},
		"an unknown flag":          {[]string{"--no-such-flag", "--", "true"}, exitExecFailed, "no-such-flag"},
		"the program's own status": {[]string{"--mask", "--", "sh", "-c", "exit 4"}, 4, ""},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, _, err := cmdtest.New(t, "").Run(New, test.args...)
			if exitStatus(err) != test.status || stdout != "" {
				t.Errorf("status %d, stdout %q: %v", exitStatus(err), stdout, err)
			}
			if test.problem != "" && !strings.Contains(err.Error(), test.problem) {
				t.Error(err)
			}
		})
	}
}

func TestExec_ChildStatus(t *testing.T) {
	for script, want := range map[string]int{
		"exit 0": 0, "exit 1": 1, "exit 125": 125, "kill -TERM $$": 128 + 15, "kill -KILL $$": 128 + 9,
	} {
		_, _, err := cmdtest.New(t, "").Run(New, "--mask", "--", "sh", "-c", script)
		if exitStatus(err) != want || (err == nil) != (want == 0) {
			t.Errorf("%s: %d, %v", script, exitStatus(err), err)
		}
	}
}

func TestExec_MaskAndEnvironment(t *testing.T) {
	t.Setenv("PLAIN_VARIABLE", "plain")
	a := cmdtest.New(t, "", "FOB_TOKEN_WORK=canary-token", "FOB_SECRET_DB=canary-secret", "FOB_SECRET_OTHER=canary-other")
	file := a.Write(".env", "URL=db://fob://secret/db@host\nFIXED=fixed\n")
	if _, _, err := a.Run(NewAllowCmd, file); err != nil {
		t.Fatal(err)
	}
	script := `echo "$TOKEN $URL $FIXED $PLAIN_VARIABLE"; echo "$TOKEN" >&2; env | grep -c canary; cat`
	stdout, stderr, err := a.Run(New, "--mask", "--env", "TOKEN=token/work", "--env-file", file, "--", "sh", "-c", script)
	if err != nil {
		t.Fatal(err)
	}
	if want := "*** db://***@host fixed plain\n2\n"; stdout != want || stderr != "***\n" {
		t.Errorf("stdout %q, stderr %q", stdout, stderr)
	}
}

func TestExec_FlagsBehindTheProgramAreItsOwn(t *testing.T) {
	stdout, _, err := cmdtest.New(t, "").Run(New, "--mask", "echo", "--mask", "--env", "x")
	if err != nil || stdout != "--mask --env x\n" {
		t.Errorf("%q, %v", stdout, err)
	}
}

func TestFindProgram_NotInTheWorkingFolder(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "planted"), []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	t.Setenv("PATH", "."+string(os.PathListSeparator)+os.Getenv("PATH"))
	if path, err := findProgram("planted"); exitStatus(err) != exitCommandNotFound {
		t.Errorf("%s, %v", path, err)
	}
	if path, err := findProgram("./planted"); err != nil || path != "./planted" {
		t.Errorf("named by its path: %s, %v", path, err)
	}
}

func TestAllow(t *testing.T) {
	a := cmdtest.New(t, "")
	uses := a.Write("uses.env", "A=fob://token/work\n")
	for name, test := range map[string]struct {
		args    []string
		problem string
		note    string
	}{
		"a file":          {[]string{uses}, "", "Allowed: '" + uses + "' uses\n  token/work  (A)\n"},
		"no credential":   {[]string{a.Write("plain.env", "A=b\n")}, "", "Nothing to allow: "},
		"a missing file":  {[]string{uses + "x"}, "env file", ""},
		"what is no file": {[]string{a.Home}, "env file", ""},
		"a wrong line":    {[]string{a.Write("wrong.env", "A\n")}, "wrong.env:1: not NAME=VALUE", ""},
		"no argument":     {nil, "one env file", ""},
		"several":         {[]string{uses, uses}, "one env file", ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, stderr, err := a.Run(NewAllowCmd, test.args...)
			if (err != nil) != (test.problem != "") || err != nil && (!strings.Contains(err.Error(), test.problem) || !cli.IsUsage(err)) {
				t.Errorf("%v", err)
			}
			if !strings.Contains(stderr, test.note) {
				t.Errorf("stderr %q", stderr)
			}
		})
	}
	if refs, err := a.ReadRefs(t.Context(), nil, []string{uses}); err != nil || len(refs) != 1 {
		t.Errorf("an allowed file: %q, %v", refs, err)
	}
}
