package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/fobcli/fob/internal/sanitize"
)

// Progress shows the progress of long work on a terminal.
type Progress struct {
	s     *IO
	verb  string
	total int64 // 0: unknown
	shown time.Time
}

// NewProgress starts a progress bar; call End.
func (s *IO) NewProgress(verb string, total int64) *Progress {
	return &Progress{s: s, verb: verb, total: total, shown: s.Now()}
}

const (
	progressEvery = 100 * time.Millisecond
	progressBar   = 30 // characters
)

// At shows how much is done.
func (p *Progress) At(done int64, what string) {
	now := p.s.Now()
	if !IsTerminal(p.s.Err) || now.Sub(p.shown) < progressEvery {
		return
	}
	p.shown = now
	what = sanitize.Part(what)
	line := fmt.Sprintf("%s %s", p.verb, what)
	if p.total > 0 {
		full := int(min(done, p.total) * progressBar / p.total)
		line = fmt.Sprintf("%s [%s%s] %d %% %s", p.verb, strings.Repeat("#", full), strings.Repeat(".", progressBar-full), min(done, p.total)*100/p.total, what)
	}
	width, _ := SizeOf(p.s.Err)
	_ = p.s.Err.Printf("%s%s", Painted("\r\x1b[K"), Painted(Truncate(line, width)))
}

// End clears the line.
func (p *Progress) End() {
	if IsTerminal(p.s.Err) {
		_ = p.s.Err.Print("\r\x1b[K")
	}
}

// Progress prints a line about slow work, only on a terminal.
func (s *IO) Progress(format string, args ...any) {
	if IsTerminal(s.Err) {
		s.Note(format, args...)
	}
}

// CountingReader counts what is read. Size is the size of a file, and 0 otherwise.
type CountingReader struct {
	io.Reader
	ctx         context.Context // its end also interrupts a Read
	Count, Size int64
}

// NewCountingReader counts what is read from r. The end of ctx also ends a blocked Read.
func NewCountingReader(ctx context.Context, r io.Reader) *CountingReader {
	c := &CountingReader{Reader: r, ctx: ctx}
	if f, ok := r.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			c.Size = info.Size()
		}
	}
	return c
}

func (c *CountingReader) Read(p []byte) (int, error) {
	text, err := Await(c.ctx, func() (string, error) {
		buffer := make([]byte, len(p)) // p must not be written to after Read has returned
		n, err := c.Reader.Read(buffer)
		return string(buffer[:n]), err
	})
	n := copy(p, text)
	c.Count += int64(n)
	return n, err
}

// CountDown prints format on the terminal every second, with the time left until end. stop
// removes the line.
func (s *IO) CountDown(ctx context.Context, format string, end time.Time) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			_ = s.Err.Printf("\r\x1b[K"+format, max(end.Sub(s.Now()), 0).Round(time.Second))
			select {
			case <-ctx.Done():
				_ = s.Err.Print("\r\x1b[K")
				return
			case <-tick.C:
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}
