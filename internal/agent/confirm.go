package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fobcli/fob/internal/cli"
)

// The time limits of a question.
const (
	confirmWait  = time.Minute     // for an answer, and for its turn to be asked
	confirmPause = 2 * time.Second // after a refusal, before the next question
)

// maxWaiting is how many lines wait for the end of a question: another machine can make more.
const maxWaiting = 100

var (
	errDisagreed = cli.WithHint(errors.New("not confirmed at the agent"), "confirm it where 'fob agent forward' runs")
	errWithdrawn = errors.New("the request was withdrawn, or not confirmed in time")
)

// Confirmer asks the user, one question at a time.
type Confirmer struct {
	asking chan struct{}
	put    func(ctx context.Context, question string) bool
	show   func(line string)

	mu      sync.Mutex
	open    bool     // a question is open
	waiting []string // lines to show after it
	dropped int      // lines that are not shown
}

// NewConfirmer returns a Confirmer that asks with put, and shows other lines with show.
func NewConfirmer(put func(ctx context.Context, question string) bool, show func(line string)) *Confirmer {
	return &Confirmer{asking: make(chan struct{}, 1), put: put, show: show}
}

// Ask returns nil once the user confirms. A question whose ctx has ended is not asked.
func (c *Confirmer) Ask(ctx context.Context, question string) error {
	ctx, cancel := context.WithTimeout(ctx, confirmWait)
	defer cancel()
	select {
	case c.asking <- struct{}{}:
	case <-ctx.Done():
		return errWithdrawn
	}
	c.setOpen(true)
	agreed := c.put(ctx, question)
	c.setOpen(false)
	if ctx.Err() == nil && !agreed {
		time.AfterFunc(confirmPause, func() { <-c.asking })
		return errDisagreed
	}
	<-c.asking
	if ctx.Err() != nil {
		return errWithdrawn
	}
	return nil
}

// setOpen begins or ends a question, after which it shows the lines that came meanwhile.
func (c *Confirmer) setOpen(open bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open = open
	if open {
		return
	}
	for _, line := range c.waiting {
		c.show(line)
	}
	if c.dropped > 0 {
		c.show(fmt.Sprintf("Not shown: %d more such lines.", c.dropped))
	}
	c.waiting, c.dropped = nil, 0
}

// Note shows a line, but not within an open question, as part of which it could be read.
func (c *Confirmer) Note(line string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.open:
		c.show(line)
	case len(c.waiting) < maxWaiting:
		c.waiting = append(c.waiting, line)
	default:
		c.dropped++
	}
}
