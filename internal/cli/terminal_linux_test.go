package cli

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

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
