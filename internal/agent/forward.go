package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"

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
		return cannot("the remote agent does not respond", "on the other machine, see 'fob agent status'")
	case answer.Failure != nil:
		f.note("%s: %s", r.Profile, sanitize.Line(answer.Failure.Error))
		return Answer{Failure: withoutDetails(answer.Failure)}
	case answer.Token == nil:
		return cannot("the remote agent speaks a different protocol version", "on the other machine, restart it: 'fob agent stop', then 'fob agent --detach'")
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
