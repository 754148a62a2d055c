package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/sanitize"
)

// Forwarder passes on to the agent what another machine may ask it.
type Forwarder struct {
	Profiles []string
	Ask      func(ctx context.Context, r Request) (Answer, error) // asks the agent
	Home     Home
	Confirm  *Confirmer // nil: nobody is asked
	Note     func(line string)
	Hint     func(error) string
}

// Answer is an Answerer.
func (f *Forwarder) Answer(ctx context.Context, r Request, _ func(string)) Answer {
	if r.Do == DoStatus {
		return Answer{Status: &Status{Forwarded: true, Profiles: f.Profiles}}
	}
	if err := f.check(r); err != nil {
		f.note("refused: %s", err)
		return f.refusal(err)
	}
	if f.Confirm != nil {
		if err := f.Confirm.Ask(ctx, fmt.Sprintf("Another machine asks for a token of profile %q. Give it one?", r.Profile)); err != nil {
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
		return cannot("the agent where the login is does not answer", "there: 'fob agent status'")
	case answer.Failure != nil:
		f.note("%s: %s", r.Profile, sanitize.Line(answer.Failure.Error))
		return Answer{Failure: withoutDetails(answer.Failure)}
	case answer.Token == nil:
		return cannot("the agent where the login is is of another version", "there: 'fob agent stop', and start it again")
	}
	f.note("%s: a token was given.", r.Profile)
	return answer
}

// check is the policy: an access token of a profile that is named, as it is, and nothing
// else.
func (f *Forwarder) check(r Request) error {
	switch {
	case r.Do != DoToken || r.IDToken:
		return cli.WithHint(errors.New("a forwarded agent gives out access tokens alone"), "the agent itself obeys where the login is")
	case !slices.Contains(f.Profiles, r.Profile):
		return cli.WithHint(errors.New("the profile is not forwarded"), "'fob agent status' lists those that are; where the login is: 'fob agent forward --profile NAME'")
	case r.Scope != "" || r.Resource != "":
		return cli.WithHint(errors.New("a forwarded agent gives out the login's own tokens alone"), "leave out --scope and --resource")
	case r.ForceRefresh || r.MinTTL != nil:
		return cli.WithHint(errors.New("a forwarded agent refreshes when it has to, and never before"), "leave out --force-refresh, --min-ttl and FOB_MIN_TTL")
	}
	return nil
}

// note shows a line to the person here, but not within an open question.
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

// withoutDetails says what failed, and nothing about this machine.
func withoutDetails(f *Failure) *Failure {
	text := map[int]string{
		cli.ExitLoginRequired: "the login has ended where it is",
		cli.ExitUnavailable:   "the server of the login is unavailable",
		cli.ExitLockTimeout:   "another process there is busy with the login",
	}[f.Status]
	if text == "" {
		text = "the agent where the login is gives no token"
	}
	return &Failure{Error: text, Hint: "there one reads why: see 'fob agent forward', and 'fob agent status'", Status: f.Status, Fallback: f.Fallback}
}
