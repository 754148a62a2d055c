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

// Progress shows on a terminal how far long work has come; elsewhere nothing.
type Progress struct {
	s     *IO
	verb  string
	total int64 // 0: not known
	shown time.Time
}

// NewProgress starts a progress bar; end it.
func (s *IO) NewProgress(verb string, total int64) *Progress {
	return &Progress{s: s, verb: verb, total: total, shown: s.Now()}
}

const (
	progressEvery = 100 * time.Millisecond
	progressBar   = 30 // characters
)

// At shows that done of the total is done, and what.
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
	_ = p.s.Err.Printf("%s%s", Painted("\r\x1b[K"), Painted(Cut(line, width)))
}

// End wipes the line away.
func (p *Progress) End() {
	if IsTerminal(p.s.Err) {
		_ = p.s.Err.Print("\r\x1b[K")
	}
}

// Progress tells a person at the terminal what takes a while.
func (s *IO) Progress(format string, args ...any) {
	if IsTerminal(s.Err) {
		s.Note(format, args...)
	}
}

// counted is a reader that knows how much was read, and how much there is if it is
// a file.
type counted struct {
	io.Reader
	ctx         context.Context // its end ends the waiting for input, too
	Count, Size int64
}

// NewCounted counts what is read from r, until ctx ends.
func NewCounted(ctx context.Context, r io.Reader) *counted {
	c := &counted{Reader: r, ctx: ctx}
	if f, ok := r.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			c.Size = info.Size()
		}
	}
	return c
}

func (c *counted) Read(p []byte) (int, error) {
	text, err := Await(c.ctx, func() (string, error) {
		own := make([]byte, len(p)) // p is the caller's again once the waiting has ended
		n, err := c.Reader.Read(own)
		return string(own[:n]), err
	})
	n := copy(p, text)
	c.Count += int64(n)
	return n, err
}
