package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fobcli/fob/internal/cli"
)

// The times of a question about what another machine wants.
const (
	confirmWait  = time.Minute     // for an answer, and for the question itself
	confirmPause = 2 * time.Second // after a no, before the next question
)

// maxWaiting is how many lines wait for the end of a question: another machine can make more.
const maxWaiting = 100

var (
	errDisagreed = cli.WithHint(errors.New("the person at the agent did not agree"), "ask whoever runs 'fob agent forward'")
	errWithdrawn = errors.New("nobody waits for it any more")
)

// Confirmer asks a person, one question at a time.
type Confirmer struct {
	asking chan struct{}
	put    func(ctx context.Context, question string) bool
	show   func(line string)

	mu      sync.Mutex
	open    bool     // a question is
	waiting []string // lines to be shown after it
	dropped int      // lines that are not
}

// NewConfirmer asks by put, and shows other lines by show.
func NewConfirmer(put func(ctx context.Context, question string) bool, show func(line string)) *Confirmer {
	return &Confirmer{asking: make(chan struct{}, 1), put: put, show: show}
}

// Ask is nil where the person agrees. What nobody waits for any more is not asked about.
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

// setOpen begins or ends a question; what came meanwhile is shown behind it.
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

// Note shows a line, behind a question that is open: it could be read as part of that.
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
