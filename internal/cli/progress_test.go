package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestCountingReader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "input")
	if err := os.WriteFile(path, []byte("twelve bytes"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for name, test := range map[string]struct {
		in   io.Reader
		size int64
	}{"a file": {file, 12}, "a stream": {strings.NewReader("twelve bytes"), 0}} {
		r := NewCountingReader(t.Context(), test.in)
		first := make([]byte, 5)
		if n, err := r.Read(first); err != nil || string(first[:n]) != "twelv" || r.Count != 5 || r.Size != test.size {
			t.Errorf("%s: %q, %v, %d of %d", name, first[:n], err, r.Count, r.Size)
		}
		if rest, err := io.ReadAll(r); err != nil || string(rest) != "e bytes" || r.Count != 12 {
			t.Errorf("%s: %q, %v, %d", name, rest, err, r.Count)
		}
	}
}

func TestCountingReader_EndsWithItsContext(t *testing.T) {
	in, out := io.Pipe() // nothing is ever written
	defer out.Close()
	ctx, cancel := context.WithCancel(t.Context())
	r := NewCountingReader(ctx, in)
	done := make(chan error, 1)
	go func() {
		_, err := r.Read(make([]byte, 1))
		done <- err
	}()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestProgress_IsSilentWithoutATerminal(t *testing.T) {
	s, stdout, stderr := newIO()
	s.Now = func() (at time.Time) { return noon }
	bar := s.NewProgress("scanning", 0)
	s.Now = func() time.Time { return noon.Add(time.Hour) }
	bar.At(1, "a file")
	bar.End()
	s.Progress("waiting for %s", "the server")
	if stdout.Len()+stderr.Len() > 0 {
		t.Errorf("%q, %q", stdout, stderr)
	}
}
