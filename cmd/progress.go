package cmd

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/fobcli/fob/internal/safetext"
)

// progress shows on a terminal how far long work has come; elsewhere nothing.
type progress struct {
	s     *streams
	verb  string
	total int64 // 0: not known
	shown time.Time
}

// newProgress starts a progress bar; end it.
func (s *streams) newProgress(verb string, total int64) *progress {
	return &progress{s: s, verb: verb, total: total, shown: s.now()}
}

const (
	progressEvery = 100 * time.Millisecond
	progressBar   = 30 // characters
)

// at shows that done of the total is done, and what.
func (p *progress) at(done int64, what string) {
	now := p.s.now()
	if !isTerminal(p.s.stderr) || now.Sub(p.shown) < progressEvery {
		return
	}
	p.shown = now
	what = safetext.Part(what)
	line := fmt.Sprintf("%s %s", p.verb, what)
	if p.total > 0 {
		full := int(min(done, p.total) * progressBar / p.total)
		line = fmt.Sprintf("%s [%s%s] %d %% %s", p.verb, strings.Repeat("#", full), strings.Repeat(".", progressBar-full), min(done, p.total)*100/p.total, what)
	}
	width, _ := sizeOf(p.s.stderr)
	_ = p.s.stderr.printf("%s%s", painted("\r\x1b[K"), painted(cut(line, width)))
}

// end wipes the line away.
func (p *progress) end() {
	if isTerminal(p.s.stderr) {
		_ = p.s.stderr.write("\r\x1b[K")
	}
}

// progress tells a person at the terminal what takes a while.
func (s *streams) progress(format string, args ...any) {
	if isTerminal(s.stderr) {
		s.note(format, args...)
	}
}

// counted is a reader that knows how much was read, and how much there is if it is
// a file.
type counted struct {
	io.Reader
	ctx        context.Context // its end ends the waiting for input, too
	read, size int64
}

func newCounted(ctx context.Context, r io.Reader) *counted {
	c := &counted{Reader: r, ctx: ctx}
	if f, ok := r.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			c.size = info.Size()
		}
	}
	return c
}

func (c *counted) Read(p []byte) (int, error) {
	text, err := await(c.ctx, func() (string, error) {
		own := make([]byte, len(p)) // p is the caller's again once the waiting has ended
		n, err := c.Reader.Read(own)
		return string(own[:n]), err
	})
	n := copy(p, text)
	c.read += int64(n)
	return n, err
}
