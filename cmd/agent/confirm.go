package agent

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/process"
)

// The times of a question about what another machine wants.
const (
	confirmWait  = time.Minute            // for an answer, and for the question itself
	confirmPause = 2 * time.Second        // after a no, before the next question
	tooSoon      = 300 * time.Millisecond // nobody has read the question
)

var (
	errDisagreed = cli.WithHint(errors.New("the person at the agent did not agree"), "ask whoever runs 'fob agent forward'")
	errWithdrawn = errors.New("nobody waits for it any more")
)

// confirmer asks a person, one question at a time.
type confirmer struct {
	asking chan struct{}
	put    func(ctx context.Context, question string) bool

	a    *app.App
	mu   sync.Mutex
	open bool     // a question is
	held []string // lines to be shown after it
}

// newConfirmer finds who can be asked: the person at this terminal, else the program that
// ssh asks with (SSH_ASKPASS in ssh(1)). gone is called when the terminal is.
func newConfirmer(a *app.App, gone func()) (*confirmer, error) {
	c := &confirmer{a: a, asking: make(chan struct{}, 1)}
	if a.Interactive() {
		c.put = confirmLines(a, gone)
		return c, nil
	}
	program := a.Getenv("SSH_ASKPASS")
	if program == "" {
		return nil, cli.WithHint(cli.Usagef("nobody can be asked here: there is no terminal, and SSH_ASKPASS names no program"), "run it on a terminal, or leave out --confirm")
	}
	path, err := exec.LookPath(program)
	if err != nil {
		return nil, cli.WithHint(cli.Usagef("the program that SSH_ASKPASS names cannot be run"), "set it to the path of one, such as ssh-askpass")
	}
	c.put = func(ctx context.Context, question string) bool {
		child := process.Command(ctx, path, question)
		child.Env = append(os.Environ(), "SSH_ASKPASS_PROMPT=confirm")
		child.Stderr = a.Err.Raw()
		return child.Run() == nil
	}
	return c, nil
}

// ask is nil where the person agrees. What nobody waits for any more is not asked about.
func (c *confirmer) ask(ctx context.Context, question string) error {
	ctx, cancel := context.WithTimeout(ctx, confirmWait)
	defer cancel()
	select {
	case c.asking <- struct{}{}:
	case <-ctx.Done():
		return errWithdrawn
	}
	c.begin()
	agreed := c.put(ctx, question)
	c.end()
	switch {
	case ctx.Err() != nil:
		<-c.asking
		return errWithdrawn
	case !agreed:
		time.AfterFunc(confirmPause, func() { <-c.asking })
		return errDisagreed
	}
	<-c.asking
	return nil
}

func (c *confirmer) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open = true
}

func (c *confirmer) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open = false
	for _, line := range c.held {
		c.a.Note("%s", line)
	}
	c.held = nil
}

// note shows a line, behind a question that is open: it could be read as part of that.
func (c *confirmer) note(line string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open {
		c.held = append(c.held, line)
		return
	}
	c.a.Note("%s", line)
}

// confirmLines asks on one terminal, again and again. What was typed before a question
// could be read answers none.
func confirmLines(a *app.App, gone func()) func(context.Context, string) bool {
	lines := make(chan string)
	go func() {
		for in := bufio.NewScanner(a.In); in.Scan(); {
			select {
			case lines <- strings.TrimSpace(in.Text()):
			default: // nobody has asked
			}
		}
		a.Note("Nobody can be asked any more.")
		gone()
	}()
	return func(ctx context.Context, question string) bool {
		if tty, ok := a.In.(*os.File); ok {
			cli.ForgetTyped(tty)
		}
		for {
			_ = a.Err.Printf("%s [y/N] ", question)
			asked := time.Now()
			select {
			case answer := <-lines:
				if time.Since(asked) >= tooSoon {
					return cli.IsYes(answer)
				}
			case <-ctx.Done():
				a.Note("")
				return false
			}
		}
	}
}
