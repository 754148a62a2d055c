package agent

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// person answers the questions of a Confirmer, one by one.
type person struct {
	answers chan bool
	asked   []string
	shown   []string
}

func newPerson() (*person, *Confirmer) {
	p := &person{answers: make(chan bool)}
	ask := func(ctx context.Context, question string) bool {
		p.asked = append(p.asked, question)
		select {
		case yes := <-p.answers:
			return yes
		case <-ctx.Done():
			return false
		}
	}
	return p, NewConfirmer(ask, func(line string) { p.shown = append(p.shown, line) })
}

func TestConfirmer_AsksOneQuestionAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, c := newPerson()
		results := make(chan error, 3)
		for range 3 {
			go func() { results <- c.Ask(t.Context(), "once more?") }()
		}
		for i := range 3 {
			synctest.Wait()
			if len(p.asked) != i+1 {
				t.Fatalf("%d questions are open after %d answers", len(p.asked)-i, i)
			}
			p.answers <- true
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
	})
}

func TestConfirmer_PausesAfterANo(t *testing.T) {
	for _, test := range []struct {
		answer bool
		err    error
		pause  time.Duration
	}{{true, nil, 0}, {false, errDisagreed, confirmPause}} {
		synctest.Test(t, func(t *testing.T) {
			p, c := newPerson()
			go func() { p.answers <- test.answer }()
			if err := c.Ask(t.Context(), "first?"); !errors.Is(err, test.err) {
				t.Errorf("%v: %v", test.answer, err)
			}
			start := time.Now()
			go func() { p.answers <- true }()
			if err := c.Ask(t.Context(), "second?"); err != nil || time.Since(start) != test.pause {
				t.Errorf("after %v the next question came after %s: %v", test.answer, time.Since(start), err)
			}
		})
	}
}

func TestConfirmer_WithdrawsQuestions(t *testing.T) {
	for name, test := range map[string]struct {
		ask   func(t *testing.T, p *person, c *Confirmer) error
		asked int
	}{
		"the client is gone while it is asked about": {func(t *testing.T, _ *person, c *Confirmer) error {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			return c.Ask(ctx, "?")
		}, 1},
		"no answer within the time": {func(t *testing.T, _ *person, c *Confirmer) error {
			start := time.Now()
			err := c.Ask(t.Context(), "?")
			if time.Since(start) != confirmWait {
				t.Errorf("withdrawn after %s", time.Since(start))
			}
			return err
		}, 1},
		"the client is gone while another question is open": {func(t *testing.T, p *person, c *Confirmer) error {
			first := make(chan error, 1)
			go func() { first <- c.Ask(t.Context(), "first?") }()
			synctest.Wait()
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			err := c.Ask(ctx, "second?")
			p.answers <- true
			if err := <-first; err != nil {
				t.Error(err)
			}
			return err
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, c := newPerson()
				if err := test.ask(t, p, c); !errors.Is(err, errWithdrawn) || len(p.asked) != test.asked {
					t.Errorf("%v, asked %q", err, p.asked)
				}
				start := time.Now()
				go func() { p.answers <- true }()
				if err := c.Ask(t.Context(), "next?"); err != nil || time.Since(start) != 0 {
					t.Errorf("the next question: %v after %s", err, time.Since(start))
				}
			})
		})
	}
}

// A line within a question could be read as part of it.
func TestConfirmer_HoldsLinesBackDuringAQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, c := newPerson()
		c.Note("before")
		result := make(chan error, 1)
		go func() { result <- c.Ask(t.Context(), "?") }()
		synctest.Wait()
		c.Note("during")
		c.Note("during, too")
		if want := []string{"before"}; !slices.Equal(p.shown, want) {
			t.Errorf("shown within the question: %q", p.shown)
		}
		p.answers <- true
		if err := <-result; err != nil {
			t.Error(err)
		}
		c.Note("after")
		if want := []string{"before", "during", "during, too", "after"}; !slices.Equal(p.shown, want) {
			t.Errorf("shown: %q", p.shown)
		}
	})
}

// Another machine can make any number of lines while a question is open.
func TestI75_ConfirmerLimitsTheLinesOfAnotherMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, c := newPerson()
		result := make(chan error, 1)
		go func() { result <- c.Ask(t.Context(), "?") }()
		synctest.Wait()
		for range 5 * maxWaiting {
			c.Note("refused")
		}
		p.answers <- true
		if err := <-result; err != nil {
			t.Error(err)
		}
		if last := p.shown[len(p.shown)-1]; len(p.shown) != maxWaiting+1 || last != "Not shown: 400 more such lines." {
			t.Errorf("%d lines, the last is %q", len(p.shown), last)
		}
		c.Note("after")
		if last := p.shown[len(p.shown)-1]; last != "after" {
			t.Errorf("shown last: %q", last)
		}
	})
}
