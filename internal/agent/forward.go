package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/sanitize"
)

// Forwarder passes the requests of another machine on to the agent, as far as allowed.
type Forwarder struct {
	Profiles []string
	Ask      func(ctx context.Context, r Request) (Answer, error) // asks the agent
	Home     Home
	Confirm  *Confirmer // nil: requests need no confirmation
	Note     func(line string)
	Hint     func(error) string
}

// Answer is an Answerer.
func (f *Forwarder) Answer(ctx context.Context, r Request, _ func(string)) Answer {
	if r.Do == DoStatus {
		return Answer{Status: &Status{Forwarded: true, Profiles: f.Profiles}}
	}
	if r.Do == DoNamed { // the client asks again, with its configuration
		return fallbackAnswer("a forwarded agent has another configuration", "name its socket in FOB_AGENT")
	}
	if err := f.check(r); err != nil {
		f.note("refused: %s", err)
		return f.refusal(err)
	}
	if f.Confirm != nil {
		if err := f.Confirm.Ask(ctx, fmt.Sprintf("Another machine requests a token of profile %q. Allow it?", r.Profile)); err != nil {
			f.note("%s: refused: %s", r.Profile, err)
			return f.refusal(err)
		}
	}
	answer, err := f.Ask(ctx, Request{
		Do: DoToken, Home: f.Home, Profile: r.Profile, Issuer: r.Issuer, ClientID: r.ClientID,
	})
	switch {
	case err != nil:
		f.note("%s: %s", r.Profile, sanitize.Line(err.Error()))
		return fallbackAnswer("the remote agent does not respond", "on the other machine, see 'fob agent status'")
	case answer.Failure != nil:
		f.note("%s: %s", r.Profile, sanitize.Line(answer.Failure.Error))
		return Answer{Failure: withoutDetails(answer.Failure)}
	case answer.Token == nil:
		return fallbackAnswer("the remote agent speaks a different protocol version", "on the other machine, restart it: 'fob agent stop', then 'fob agent --detach'")
	}
	f.note("%s: provided a token.", r.Profile)
	return answer
}

// check is the policy: only access tokens of the named profiles, as they are.
func (f *Forwarder) check(r Request) error {
	switch {
	case r.Do != DoToken || r.IDToken:
		return cli.WithHint(errors.New("a forwarded agent provides only access tokens"), "control the agent on the machine where it runs")
	case !slices.Contains(f.Profiles, r.Profile):
		return cli.WithHint(errors.New("the profile is not forwarded"), "'fob agent status' lists those that are; on the other machine, forward it: 'fob agent forward --profile NAME'")
	case r.Scope != "" || r.Resource != "":
		return cli.WithHint(errors.New("a forwarded agent provides only the login's own tokens"), "omit --scope and --resource")
	case r.ForceRefresh || r.MinTTL != nil:
		return cli.WithHint(errors.New("a forwarded agent does not refresh tokens early"), "omit --force-refresh and --min-ttl, and unset FOB_MIN_TTL")
	}
	return nil
}

// note shows a line here, but not within an open question.
func (f *Forwarder) note(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if f.Confirm != nil {
		f.Confirm.Note(line)
	} else {
		f.Note(line)
	}
}

func (f *Forwarder) refusal(err error) Answer {
	return Answer{Failure: &Failure{Error: err.Error(), Hint: f.Hint(err), Status: cli.ExitRefused, Fallback: true}}
}

// withoutDetails reports what failed, without details of this machine.
func withoutDetails(f *Failure) *Failure {
	text := map[int]string{
		cli.ExitLoginRequired: "the login has ended on the remote machine",
		cli.ExitUnavailable:   "the login's server is unavailable",
		cli.ExitLockTimeout:   "another process is using the login on the remote machine",
	}[f.Status]
	if text == "" {
		text = "the remote agent failed"
	}
	return &Failure{Error: text, Hint: "see the output of 'fob agent forward' on the remote machine", Status: f.Status, Fallback: f.Fallback}
}

// The time limits of a question.
const (
	confirmWait  = time.Minute     // for an answer, and for its turn to be asked
	confirmPause = 2 * time.Second // after a refusal, before the next question
)

// maxWaiting bounds the lines that wait for a question to end: another machine can send any
// number.
const maxWaiting = 100

var (
	errDisagreed = errors.New("not confirmed at the agent")
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
		return cli.WithHint(errDisagreed, "confirm it where 'fob agent forward' runs")
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

// Note prints a line, but not during a question, where it could be mistaken for a part of
// it.
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
