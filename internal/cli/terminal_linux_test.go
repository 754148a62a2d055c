package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fobcli/fob/internal/ptytest"
)

// TestASecretOnATerminalIsNotShown: a secret that comes on stdin has a prompt where
// stdin is a terminal, and no echo, however long it is.
func TestASecretOnATerminalIsNotShown(t *testing.T) {
	for name, value := range map[string]string{
		"long": strings.Repeat("s3cret", 1000),
		"PEM":  "-----BEGIN PRIVATE KEY-----\ns3cret\n\n" + strings.Repeat("x", 3000) + "\n-----END PRIVATE KEY-----",
	} {
		t.Run(name, func(t *testing.T) { readsHidden(t, value) })
	}
}

func readsHidden(t *testing.T, value string) {
	person, program := ptytest.Open(t)
	var stderr bytes.Buffer
	a := &IO{In: program, Out: Stream{io.Discard}, Err: Stream{&stderr}, Getenv: func(string) string { return "" }}
	typed := make(chan error, 1)
	go func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for deadline := time.Now().Add(10 * time.Second); ptytest.Echoes(t, program) && time.Now().Before(deadline); {
			<-tick.C
		}
		_, err := io.WriteString(person, strings.ReplaceAll(value, "\n", "\r")+"\r")
		typed <- err
	}()
	got, err := a.SecretOnStdin(t.Context(), "Token:")
	if err != nil || got.Reveal() != value {
		t.Errorf("read %d characters: %v", len(got.Reveal()), err)
	}
	if err := <-typed; err != nil {
		t.Error(err)
	}
	if !strings.HasPrefix(stderr.String(), "Token: ") || !ptytest.Echoes(t, program) {
		t.Errorf("prompt %q; the echo is back: %t", stderr.String(), ptytest.Echoes(t, program))
	}
	if _, err := io.WriteString(program, "end"); err != nil {
		t.Fatal(err)
	}
	shown := make([]byte, len(value))
	n, err := io.ReadAtLeast(person, shown, len("end"))
	if err != nil || string(shown[:n]) != "end" {
		t.Errorf("the terminal showed %.40q: %v", shown[:n], err)
	}
}

// Long work says on a terminal how far it has come, and leaves nothing of that behind.
func TestProgressOnATerminal(t *testing.T) {
	person, program := ptytest.Open(t)
	at := time.Unix(1_800_000_000, 0)
	a := &IO{Out: Stream{io.Discard}, Err: Stream{program}, Now: func() time.Time { return at }}
	bar := a.NewProgress("scanning", 4)
	for done := range int64(5) {
		at = at.Add(progressEvery / 2) // half of them come too soon
		bar.At(done, fmt.Sprintf("%d files", done))
	}
	bar.End()
	const want = "\r\x1b[Kscanning [#######.......................] 25 % 1 files\r\x1b[Kscanning [######################........] 75 % 3 files\r\x1b[K"
	shown := make([]byte, len(want))
	if n, err := io.ReadFull(person, shown); err != nil || string(shown[:n]) != want {
		t.Errorf("%v: %q", err, shown[:n])
	}
	a.Err = Stream{io.Discard} // not a terminal: nothing, and no failure
	bar.At(4, "")
	bar.End()
}

// newTerminal returns an IO on a terminal of some columns, and the user's end of it.
func newTerminal(t *testing.T, columns uint16) (s *IO, user *os.File) {
	t.Helper()
	user, program := ptytest.Open(t)
	if err := unix.IoctlSetWinsize(int(user.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: 24}); err != nil {
		t.Fatal(err)
	}
	environ := map[string]string{"HOME": "/home/ada"}
	return &IO{In: program, Out: NewStream(program), Err: NewStream(program), Getenv: func(name string) string { return environ[name] }}, user
}

// shown returns what a terminal shows up to a text, without carriage returns.
func shown(t *testing.T, user *os.File, end string) string {
	t.Helper()
	if err := user.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var text []byte
	for !bytes.HasSuffix(text, []byte(end)) {
		next := make([]byte, 1)
		if _, err := user.Read(next); err != nil {
			t.Fatalf("after %q: %v", text, err)
		}
		text = append(text, next...)
	}
	return strings.ReplaceAll(string(text), "\r", "")
}

func TestConfirm_OnATerminal(t *testing.T) {
	for answer, want := range map[string]bool{"y": true, "Yes": true, "": false, "n": false, "yess": false} {
		s, user := newTerminal(t, 80)
		if _, err := io.WriteString(user, answer+"\n"); err != nil {
			t.Fatal(err)
		}
		if err := s.Confirm(t.Context(), "Revoke 3 keys?", io.EOF); (err == nil) != want || errors.Is(err, io.EOF) {
			t.Errorf("%q: %v", answer, err)
		}
		shown(t, user, "Revoke 3 keys? [y/N] ")
	}
}

func TestConfirm_IsNotAskedInCI(t *testing.T) {
	for name, change := range map[string]func(*IO){
		"CI":         func(s *IO) { s.Getenv = func(name string) string { return map[string]string{"CI": "1"}[name] } },
		"unattended": func(s *IO) { s.Unattended = true },
		"stdin":      func(s *IO) { s.In = strings.NewReader("y\n") },
		"stderr":     func(s *IO) { s.Err = NewStream(io.Discard) },
	} {
		s, _ := newTerminal(t, 80)
		if !s.Interactive() {
			t.Fatal("a terminal is not interactive")
		}
		change(s)
		if err := s.Confirm(t.Context(), "Sure?", io.EOF); !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestConfirm_ReadsLinesThatAreTypedElsewhere(t *testing.T) {
	s, _ := newTerminal(t, 80)
	typed := make(chan string, 1)
	s.Typed = typed
	typed <- " y "
	if err := s.Confirm(t.Context(), "Sure?", io.EOF); err != nil {
		t.Error(err)
	}
}

func TestAskFor_OnATerminal(t *testing.T) {
	s, user := newTerminal(t, 80)
	check := func(answer string) error {
		if answer != "right" {
			return Usagef("%q is wrong", answer)
		}
		return nil
	}
	typed := make(chan string, 3) // no echo between the prompts
	s.Typed = typed
	typed <- ""
	typed <- "left"
	typed <- "right"
	if answer, err := s.AskFor(t.Context(), "Which way?", check); err != nil || answer != "right" {
		t.Errorf("%q, %v", answer, err)
	}
	want := "Which way? Try again: nothing was entered.\nWhich way? Try again: \"left\" is wrong.\nWhich way? "
	if got := shown(t, user, "is wrong.\r\nWhich way? "); got != want {
		t.Errorf("%q", got)
	}
}

func TestAskPath_ExpandsHome(t *testing.T) {
	s, user := newTerminal(t, 80)
	if _, err := io.WriteString(user, "~/fob.key\n"); err != nil {
		t.Fatal(err)
	}
	checked := ""
	path, err := s.AskPath(t.Context(), "Key file:", func(path string) error { checked = path; return nil })
	if err != nil || path != "/home/ada/fob.key" || checked != path {
		t.Errorf("%q, %q was checked: %v", path, checked, err)
	}
}

func TestAskFor_EndsWithItsContext(t *testing.T) {
	s, _ := newTerminal(t, 80)
	s.Typed = make(chan string)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.AskFor(ctx, "Name:", AnyAnswer); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestNote_WrapsAtTheTerminal(t *testing.T) {
	for columns, want := range map[uint16]string{
		80: "The login of work expires in 3 days.\n",
		20: "The login of work\nexpires in 3 days.\n",
		7:  "The\nlogin\nof work\nexpires\nin 3\ndays.\n",
	} {
		s, user := newTerminal(t, columns)
		s.Note("The login of %s expires in %d days.", "work", 3)
		if got := shown(t, user, "days.\r\n"); got != want {
			t.Errorf("%d columns: %q", columns, got)
		}
	}
}

func TestPrintTable_AtSeveralWidths(t *testing.T) {
	rows := [][]string{{"NAME", "SERVER", "PROBLEM"}, {"work", "https://sso.example.com", "the server is unavailable"}}
	for columns, want := range map[uint16]string{
		80: "NAME  SERVER                   PROBLEM\nwork  https://sso.example.com  the server is unavailable\n",
		60: "NAME  SERVER                   PROBLEM\nwork  https://sso.example.com  the server is unavailable\n",
		52: "NAME  SERVER                   PROBLEM\nwork  https://sso.example.com  the server is\n                               unavailable\n",
		34: "NAME  PROBLEM\nwork  the server is unavailable\nNot shown at this width: SERVER.\n--json shows everything.\n",
		26: "NAME  PROBLEM\nwork  the server is\n      unavailable\nNot shown at this width:\nSERVER. --json shows\neverything.\n",
	} {
		s, user := newTerminal(t, columns)
		if err := s.PrintTable(rows, "SERVER"); err != nil {
			t.Fatal(err)
		}
		_ = s.Err.Print("end")
		if got := shown(t, user, "end"); got != want+"end" {
			t.Errorf("%d columns:\n%s", columns, got)
		}
	}
}

func TestShowError_HasColoursOnATerminal(t *testing.T) {
	for variable, want := range map[string]string{
		"":         "\x1b[1;31merror:\x1b[0m EOF\n\x1b[36mhint:\x1b[0m try again\n",
		"NO_COLOR": "error: EOF\nhint: try again\n",
	} {
		s, user := newTerminal(t, 80)
		s.Getenv = func(name string) string { return map[string]string{variable: "1"}[name] }
		s.ShowError(io.EOF, "try again")
		if got := shown(t, user, "again\r\n"); got != want {
			t.Errorf("%q: %q", variable, got)
		}
	}
}

func TestReadPasted_OnATerminal(t *testing.T) {
	_, program := ptytest.Open(t)
	lines, restore := ReadPasted(program)
	if ptytest.Echoes(t, program) {
		t.Error("what is pasted is shown")
	}
	restore()
	if !ptytest.Echoes(t, program) {
		t.Error("the terminal is not as it was")
	}
	_ = lines
}
