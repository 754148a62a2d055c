package ci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/secret"
)

// canary is a token that must stand in no error.
const canary = "eyJ.canary.x"

func environment(pairs ...string) func(string) string {
	values := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		values[pairs[i]] = pairs[i+1]
	}
	return func(name string) string { return values[name] }
}

// check compares what IdentityToken gave with a token, or with an error that shows
// no part of one.
func check(t *testing.T, name string, got secret.Secret, err error, want string, wantErr error) {
	t.Helper()
	if got.Reveal() != want || !errors.Is(err, wantErr) {
		t.Errorf("%s: %q, %v; want %v", name, got.Reveal(), err, wantErr)
	}
	if err != nil && strings.Contains(err.Error(), "canary") {
		t.Errorf("%s: the error shows what was read: %v", name, err)
	}
}

func TestParseSource(t *testing.T) {
	file := "file:" + filepath.Join(t.TempDir(), "token")
	for _, text := range []string{"", "github", "gitlab", "command", "env:ID_TOKEN", "env:_x1", file} {
		if s, err := ParseSource(text); string(s) != text || err != nil {
			t.Errorf("%q: %q, %v", text, s, err)
		}
	}
	for text, want := range map[string]string{
		"GitHub":       "choose github, gitlab, env:NAME, file:PATH or command",
		"circle":       "choose",
		"env:":         "invalid variable name",
		"env:1A":       "invalid variable name",
		"env:A B":      "invalid variable name",
		"env:A=B":      "invalid variable name",
		"env:\x1b[31m": "invalid variable name",
		"file:":        "not an absolute path",

		"env:FOB_SEAL_KEY":                   "cannot be used as an identity", // I71
		"env:FOB_ID_TOKEN":                   "cannot be used as an identity",
		"env:fob_token_work":                 "cannot be used as an identity",
		"env:ACTIONS_ID_TOKEN_REQUEST_TOKEN": "cannot be used as an identity",
		"env:ACTIONS_RUNTIME_TOKEN":          "cannot be used as an identity",
		"file:token":                         "not an absolute path",
		"file:../token":                      "not an absolute path",
		"\x1b]52;c;x\a":                      "choose",
	} {
		s, err := ParseSource(text)
		if s != "" || err == nil || !strings.Contains(err.Error(), want) || strings.ContainsAny(err.Error(), "\x1b\a") {
			t.Errorf("%q: %q, %v", text, s, err)
		}
	}
}

func TestSourceIsFound(t *testing.T) {
	for _, test := range []struct {
		name   string
		getenv func(string) string
		source Source
		want   string
		err    error
	}{
		{"GitLab", environment("GITLAB_CI", "true", GitLabVariable, "gl"), Detect, "gl", nil},
		{"GitHub without permission", environment("GITHUB_ACTIONS", "true", GitLabVariable, "gl"), Detect, "", ErrNotPermitted},
		{"neither", environment(GitLabVariable, "gl"), Detect, "", ErrUnknownPlace},
		{"no", environment("GITHUB_ACTIONS", "false", "GITLAB_CI", "1"), Detect, "", ErrUnknownPlace},
		{"named, though this is GitLab", environment("GITLAB_CI", "true", GitLabVariable, "gl", "MINE", "mine"), "env:MINE", "mine", nil},
		{"GitLab without id_tokens", environment("GITLAB_CI", "true"), Detect, "", ErrAbsent},
		{"an empty variable", environment(), "env:MINE", "", ErrAbsent},
	} {
		got, err := Machine{Getenv: test.getenv}.IdentityToken(t.Context(), test.source, "", nil)
		check(t, test.name, got, err, test.want, test.err)
	}
	if _, err := (Machine{Getenv: environment()}).IdentityToken(t.Context(), "circle", "", nil); err == nil {
		t.Error("a source that is none is accepted")
	}
}

// texts are what a source may hold, and the token in it; "" is none.
var texts = map[string]string{
	canary:                            canary,
	canary + "\n":                     canary,
	canary + "\r\n":                   canary,
	"opaque/+=~":                      "opaque/+=~",
	strings.Repeat("x", maxToken):     strings.Repeat("x", maxToken),
	strings.Repeat("x", maxToken+1):   "",
	strings.Repeat("canary", 1<<20/6): "",
	"\n":                              "",
	canary + "\n\n":                   "",
	"\n" + canary:                     "",
	canary + " ":                      "",
	canary + "\x00":                   "",
	canary + "\r\nX-Evil: 1":          "",
	canary + "\x1b[31m":               "",
	canary + "é":                      "",
	canary + "\xff":                   "",
	"<html>canary sign in</html>":     "",
}

func TestB22OnlyWhatLooksLikeATokenIsOne(t *testing.T) {
	for text, want := range texts {
		name := fmt.Sprintf("%.30q", text)
		got, err := Machine{Getenv: environment("T", text)}.IdentityToken(t.Context(), "env:T", "", nil)
		check(t, "variable "+name, got, err, want, malformedUnless(want != ""))

		path := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		got, err = Machine{}.IdentityToken(t.Context(), Source("file:"+path), "", nil)
		if want != "" || len(text) <= maxToken {
			check(t, "file "+name, got, err, want, malformedUnless(want != ""))
		} else if err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("file %s: %v", name, err)
		}
	}
}

func malformedUnless(ok bool) error {
	if ok {
		return nil
	}
	return ErrMalformed
}

func TestFileIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "token")
	m := Machine{}
	if got, err := m.IdentityToken(t.Context(), Source("file:"+path), "", nil); !errors.Is(err, ErrAbsent) {
		t.Errorf("a missing file: %q, %v", got.Reveal(), err)
	}
	if got, err := m.IdentityToken(t.Context(), Source("file:"+dir), "", nil); !errors.Is(err, ErrAbsent) {
		t.Errorf("a folder: %q, %v", got.Reveal(), err)
	}
	// Kubernetes makes a new folder and lets the link lead there.
	for _, value := range []string{"one", "two"} {
		if err := os.WriteFile(filepath.Join(dir, value), []byte(value), 0o644); err != nil {
			t.Fatal(err)
		}
		_ = os.Remove(path)
		if err := os.Symlink(value, path); err != nil {
			t.Skip(err) // Windows without the right to make links
		}
		if got, err := m.IdentityToken(t.Context(), Source("file:"+path), "", nil); got.Reveal() != value || err != nil {
			t.Errorf("%q, %v", got.Reveal(), err)
		}
	}
}

// TestMain is also the identity command of the tests.
func TestMain(m *testing.M) {
	switch os.Getenv("FOB_TEST_COMMAND") {
	case "":
		os.Exit(m.Run()) //nolint:forbidigo // a test's main
	case "print":
		_, _ = io.WriteString(os.Stderr, "asking the vault")
		_, _ = io.WriteString(os.Stdout, os.Args[len(os.Args)-1]+"\n")
	case "fail":
		_, _ = io.WriteString(os.Stdout, canary)
		os.Exit(3) //nolint:forbidigo // a test's main
	case "stdin":
		_, _ = io.Copy(os.Stdout, os.Stdin)
	case "endless":
		for {
			if _, err := os.Stdout.WriteString(strings.Repeat("canary", 1<<10)); err != nil {
				return
			}
		}
	case "hang":
		_, _ = io.WriteString(os.Stderr, "ready")
		select {}
	}
}

func TestCommand(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GORACE", "atexit_sleep_ms=0") // or each command would take a second to exit
	for _, test := range []struct {
		does string
		args []string
		want string
		err  error
	}{
		{"print", []string{canary}, canary, nil},
		{"print", []string{"$HOME;`id`"}, "$HOME;`id`", nil}, // no shell
		{"print", []string{""}, "", ErrMalformed},
		{"print", []string{canary + "\n" + canary}, "", ErrMalformed},
		{"fail", nil, "", ErrCommand},
		{"stdin", nil, "", ErrMalformed}, // there is none
		{"endless", nil, "", ErrMalformed},
	} {
		t.Setenv("FOB_TEST_COMMAND", test.does)
		var stderr strings.Builder
		got, err := Machine{Stderr: &stderr}.IdentityToken(t.Context(), Command, "", append([]string{self}, test.args...))
		check(t, test.does, got, err, test.want, test.err)
		if test.does == "print" && stderr.String() != "asking the vault" {
			t.Errorf("stderr is %q", stderr.String())
		}
	}
	for name, argv := range map[string][]string{"none": nil, "an empty one": {""}, "one that is not there": {self + ".none"}} {
		got, err := Machine{}.IdentityToken(t.Context(), Command, "", argv)
		check(t, name, got, err, "", ErrCommand)
	}
}

// stopAtReady cancels once the command has begun.
type stopAtReady struct{ stop func() }

func (s stopAtReady) Write(p []byte) (int, error) {
	s.stop()
	return len(p), nil
}

func TestInterruptedCommand(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("FOB_TEST_COMMAND", "hang")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	got, err := Machine{Stderr: stopAtReady{stop}}.IdentityToken(ctx, Command, "", []string{self})
	check(t, "hang", got, err, "", context.Canceled)
}

func TestMaskCommand(t *testing.T) {
	for _, test := range []struct {
		name   string
		getenv func(string) string
		token  string
		want   string
	}{
		{"GitHub", environment("GITHUB_ACTIONS", "true"), "a.b-c", "::add-mask::a.b-c"},
		{"GitHub, per cent", environment("GITHUB_ACTIONS", "true"), "a%0Ab", "::add-mask::a%250Ab"},
		{"GitHub, a second command", environment("GITHUB_ACTIONS", "true"), "a\r\n::stop-commands::x", "::add-mask::a%0D%0A::stop-commands::x"},
		{"Azure", environment("TF_BUILD", "True"), "a.b-c", "##vso[task.setsecret]a.b-c"},
		{"Azure, per cent", environment("TF_BUILD", "True"), "a%b\n##vso[x]", "##vso[task.setsecret]a%AZP25b%0A##vso[x]"},
		{"GitLab", environment("GITLAB_CI", "true"), "a", ""},
		{"a terminal", environment(), "a", ""},
		{"no token", environment("GITHUB_ACTIONS", "true"), "", ""},
	} {
		if line, known := MaskCommand(test.getenv, secret.New(test.token)); line != test.want || known != (test.want != "") {
			t.Errorf("%s: %q, %t", test.name, line, known)
		}
	}
}
