package app

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/ptytest"
)

// What a cloned repository's file would give its program is asked about once, with text
// from the file's path made inert; no is not remembered.
func TestI80_EnvFileIsConfirmedOnceOnATerminal(t *testing.T) {
	person, program := ptytest.Open(t)
	dir := filepath.Join(t.TempDir(), "clone\x1b[31m\nAllowed' uses\n  secret/harmless  (A)\n")
	file := filepath.Join(dir, ".env")
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(file, []byte("A=fob://secret/stripe\nB=x fob://token/work\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	var shown bytes.Buffer
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(&shown, person) // ends when the program's side is closed
	}()
	a := New(program, io.Discard, program, map[string]string{"FOB_HOME": t.TempDir()})
	check := func(answer string) error {
		t.Helper()
		if _, err := io.WriteString(person, answer); err != nil {
			t.Fatal(err)
		}
		_, err := a.ReadRefs(t.Context(), nil, []string{file})
		return err
	}
	for _, test := range []struct {
		answer  string
		allowed bool
	}{{"n\n", false}, {"\n", false}, {"y\n", true}, {"", true}} {
		if err := check(test.answer); (err == nil) != test.allowed {
			t.Errorf("after %q: %v", test.answer, err)
		}
	}
	if err := os.WriteFile(file, []byte("A=fob://secret/other\nB=fob://token/work"), 0o600); err != nil {
		t.Fatal(err)
	}
	if check("n\n") == nil {
		t.Error("another secret was not asked about")
	}
	_ = program.Close()
	<-read
	text := strings.ReplaceAll(shown.String(), "\r", "")
	if n := strings.Count(text, "[y/N]"); n != 4 {
		t.Errorf("asked %d times", n)
	}
	for _, want := range []string{"/clone[31m Allowed'\\'' uses secret/harmless (A) /.env' uses\n", "\n  secret/stripe  (A)\n  token/work  (B)\n", "\n  secret/other  (A)\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%q", want, text)
		}
	}
	if strings.Contains(text, "\x1b") || strings.Contains(text, "\n  secret/harmless") {
		t.Errorf("raw: %q", text)
	}
}
