package cmd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fobcli/fob/internal/apikey"
)

// openPty opens a pseudo-terminal: the end of the person, and that of the program.
func openPty(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = person.Close() })
	if err := unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = program.Close() })
	return person, program
}

func echoes(t *testing.T, tty *os.File) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

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
	person, program := openPty(t)
	var stderr bytes.Buffer
	a := &streams{stdin: program, stdout: stream{io.Discard}, stderr: stream{&stderr}, getenv: func(string) string { return "" }}
	typed := make(chan error, 1)
	go func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for deadline := time.Now().Add(10 * time.Second); echoes(t, program) && time.Now().Before(deadline); {
			<-tick.C
		}
		_, err := io.WriteString(person, strings.ReplaceAll(value, "\n", "\r")+"\r")
		typed <- err
	}()
	got, err := a.secretOnStdin(t.Context(), "Token:")
	if err != nil || got.Reveal() != value {
		t.Errorf("read %d characters: %v", len(got.Reveal()), err)
	}
	if err := <-typed; err != nil {
		t.Error(err)
	}
	if !strings.HasPrefix(stderr.String(), "Token: ") || !echoes(t, program) {
		t.Errorf("prompt %q; the echo is back: %t", stderr.String(), echoes(t, program))
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

// What a cloned repository's file would give its program is asked about once, with text
// from the file's path made inert; no is not remembered.
func TestI80_EnvFileIsConfirmedOnceOnATerminal(t *testing.T) {
	person, program := openPty(t)
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
	a := newApp(program, io.Discard, program, map[string]string{"FOB_HOME": t.TempDir()})
	check := func(answer string) error {
		t.Helper()
		if _, err := io.WriteString(person, answer); err != nil {
			t.Fatal(err)
		}
		_, err := a.readRefs(t.Context(), nil, file)
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

// TestALiveKeyWantsANote: an empty answer, or a key in it, is asked about again.
func TestALiveKeyWantsANote(t *testing.T) {
	person, program := openPty(t)
	a := newApp(program, io.Discard, program, map[string]string{})
	go func() { _, _ = io.Copy(io.Discard, person) }()
	if _, err := io.WriteString(person, "\n"); err != nil {
		t.Fatal(err)
	}
	draft := apikey.Record{Owner: "shop", Environment: "live"}
	asked := make(chan error, 1)
	go func() { asked <- a.askWhereLiveKeyGoes(t.Context(), &draft, keyCreateOptions{}) }()
	answer := time.NewTicker(10 * time.Millisecond)
	defer answer.Stop()
	for {
		select {
		case err := <-asked:
			if err != nil || draft.Note != "rack 1" {
				t.Errorf("the note is %q: %v", draft.Note, err)
			}
			return
		case <-answer.C:
			_, _ = io.WriteString(person, "rack 1\n")
		}
	}
}

// Of keys that a report has the ids of, those are replaced that a person says yes to,
// one by one, also with --yes.
func TestAPersonSaysWhichUnprovenKeyHasLeaked(t *testing.T) {
	dir := t.TempDir()
	environ := map[string]string{"FOB_HOME": dir, "FOB_STORAGE": "file", "FOB_SEAL_KEY": strings.Repeat("ab", 32), "TERM": "dumb"}
	fob := func(stdin io.Reader, stderr io.Writer, args ...string) (stdout string, err error) {
		var out bytes.Buffer
		root := newRootCmd(newApp(stdin, &out, stderr, environ), args)
		root.SetArgs(args)
		err = root.ExecuteContext(t.Context())
		return out.String(), err
	}
	var ids []string
	for range 2 {
		key, err := fob(strings.NewReader(""), io.Discard, "key", "create", "--owner", "shop")
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, strings.Split(key, "_")[2])
	}
	report := filepath.Join(dir, "leaks.json")
	text := fmt.Sprintf(`[{"Match":"fob_test_%s_redacted","File":"a"},{"Match":"fob_test_%s_redacted","File":"b"}]`, ids[0], ids[1])
	if err := os.WriteFile(report, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	person, program := openPty(t)
	answered := make(chan string, 1)
	go func() { // whoever reads the questions
		screen, answers := "", []string{"n\n", "yes\n"}
		for buffer := make([]byte, 4096); ; {
			n, err := person.Read(buffer)
			screen += string(buffer[:n])
			if strings.Count(screen, "[y/N]") == 3-len(answers) {
				_, _ = io.WriteString(person, answers[0])
				answers = answers[1:]
			}
			if err != nil || len(answers) == 0 {
				answered <- screen
				return
			}
		}
	}()
	printed, err := fob(program, program, "incident", "--report", report, "--yes", "--output", filepath.Join(dir, "incident.md"))
	if !strings.HasPrefix(printed, ids[1]+" fob_test_") || strings.Count(printed, "\n") != 1 || err == nil || !strings.Contains(err.Error(), "1 key was left as it is") {
		t.Errorf("%q, %v", printed, err)
	}
	if screen := <-answered; !strings.Contains(screen, "anybody who knows its id can have written that") || !strings.Contains(screen, "Replace key "+ids[0]) {
		t.Error(screen)
	}
	for i, want := range []string{"active", "revoked"} {
		if shown, err := fob(strings.NewReader(""), io.Discard, "key", "show", ids[i], "--json"); err != nil || !strings.Contains(shown, `"state": "`+want+`"`) {
			t.Errorf("%d: %v, %s", i, err, shown)
		}
	}
}

// Long work says on a terminal how far it has come, and leaves nothing of that behind.
func TestProgressOnATerminal(t *testing.T) {
	person, program := openPty(t)
	at := time.Unix(1_800_000_000, 0)
	a := &streams{stdout: stream{io.Discard}, stderr: stream{program}, now: func() time.Time { return at }}
	bar := a.newProgress("scanning", 4)
	for done := range int64(5) {
		at = at.Add(progressEvery / 2) // half of them come too soon
		bar.at(done, fmt.Sprintf("%d files", done))
	}
	bar.end()
	const want = "\r\x1b[Kscanning [#######.......................] 25 % 1 files\r\x1b[Kscanning [######################........] 75 % 3 files\r\x1b[K"
	shown := make([]byte, len(want))
	if n, err := io.ReadFull(person, shown); err != nil || string(shown[:n]) != want {
		t.Errorf("%v: %q", err, shown[:n])
	}
	a.stderr = stream{io.Discard} // not a terminal: nothing, and no failure
	bar.at(4, "")
	bar.end()
}
