package agent

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/cli"
)

// forwarder forwards the profile work, and records what reaches the agent and the screen.
type forwarder struct {
	*Forwarder
	sent  []Request
	shown []string
}

func newForwarder(answer Answer, err error) *forwarder {
	f := &forwarder{}
	f.Forwarder = &Forwarder{
		Profiles: []string{"work"},
		Home:     Home{Config: "/c", Data: "/d", Cache: "/e"},
		Note:     func(line string) { f.shown = append(f.shown, line) },
		Hint:     cli.CarriedHint,
		Ask: func(_ context.Context, r Request) (Answer, error) {
			f.sent = append(f.sent, r)
			return answer, err
		},
	}
	return f
}

func (f *forwarder) answer(t *testing.T, r Request) Answer {
	t.Helper()
	return f.Answer(t.Context(), r, func(line string) { t.Errorf("the other machine is shown %q", line) })
}

var granted = Answer{Token: &Token{AccessToken: "token"}}

// Whatever else the other machine's request holds, only its profile, as it is known there,
// reaches the agent.
func TestForwarder_PassesOnlyTheProfile(t *testing.T) {
	f := newForwarder(granted, nil)
	got := f.answer(t, Request{
		Do: DoToken, Home: Home{Data: "/elsewhere"}, Profile: "work", Issuer: "https://sso.example.com", ClientID: "fob", Key: []byte("key"),
	})
	if got.Token == nil || got.Token.AccessToken != "token" {
		t.Errorf("%+v", got)
	}
	want := Request{Do: DoToken, Home: f.Home, Profile: "work", Issuer: "https://sso.example.com", ClientID: "fob"}
	if len(f.sent) != 1 || !reflect.DeepEqual(f.sent[0], want) {
		t.Errorf("sent %q, not %q", f.sent, want)
	}
}

// The other machine's configuration is another one: its client asks again, and the user is
// asked only then.
func TestForwarder_LeavesOwnRequests(t *testing.T) {
	f := newForwarder(granted, nil)
	got := f.answer(t, Request{Do: DoNamed, Home: f.Home, Profile: "work"})
	if got.Failure == nil || !got.Failure.Fallback || len(f.sent)+len(f.shown) != 0 {
		t.Errorf("%+v; sent %q, shown %q", got.Failure, f.sent, f.shown)
	}
}

func TestForwarder_RefusesEverythingElse(t *testing.T) {
	ttl := time.Duration(0)
	for name, r := range map[string]Request{
		"another profile":       {Do: DoToken, Profile: "home"},
		"no profile":            {Do: DoToken},
		"an id_token":           {Do: DoToken, Profile: "work", IDToken: true},
		"other scopes":          {Do: DoToken, Profile: "work", Scope: "admin"},
		"another API":           {Do: DoToken, Profile: "work", Resource: "https://api.example.com"},
		"a refresh":             {Do: DoToken, Profile: "work", ForceRefresh: true},
		"a lifetime, even 0":    {Do: DoToken, Profile: "work", MinTTL: &ttl},
		"to lock the agent":     {Do: DoLock, Profile: "work"},
		"to unlock it":          {Do: DoUnlock, Profile: "work", Key: []byte("key")},
		"to stop it":            {Do: DoStop, Profile: "work"},
		"an unknown request":    {Do: "export", Profile: "work"},
		"a request in capitals": {Do: "TOKEN", Profile: "work"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newForwarder(granted, nil)
			f.Confirm = NewConfirmer(func(context.Context, string) bool { t.Error("a refused request is asked about"); return true }, f.Note)
			got := f.answer(t, r)
			if got.Token != nil || got.Failure == nil || got.Failure.Status != cli.ExitRefused || !got.Failure.Fallback || got.Failure.Hint == "" {
				t.Errorf("%+v, %+v", got, got.Failure)
			}
			if len(f.sent) != 0 || len(f.shown) != 1 || !strings.HasPrefix(f.shown[0], "refused: ") {
				t.Errorf("sent %q, shown %q", f.sent, f.shown)
			}
		})
	}
}

func TestForwarder_AnswersStatusItself(t *testing.T) {
	f := newForwarder(granted, nil)
	got := f.answer(t, Request{Do: DoStatus})
	if want := (&Status{Forwarded: true, Profiles: []string{"work"}}); !reflect.DeepEqual(got.Status, want) || len(f.sent) != 0 {
		t.Errorf("%+v, sent %q", got.Status, f.sent)
	}
}

func TestForwarder_AsksForConfirmation(t *testing.T) {
	for _, yes := range []bool{true, false} {
		f := newForwarder(granted, nil)
		var question string
		f.Confirm = NewConfirmer(func(_ context.Context, text string) bool { question = text; return yes }, f.Note)
		got := f.answer(t, Request{Do: DoToken, Profile: "work"})
		if (got.Token != nil) != yes || (len(f.sent) == 1) != yes || !strings.Contains(question, `"work"`) {
			t.Errorf("%v to %q: %+v", yes, question, got)
		}
		if !yes && (got.Failure.Status != cli.ExitRefused || got.Failure.Hint == "") {
			t.Errorf("%+v", got.Failure)
		}
	}
}

// The other machine learns what failed, and nothing about this one.
func TestForwarder_KeepsDetailsHere(t *testing.T) {
	const detail = "/home/me/.config/fob: keyring \x1b[31mlocked"
	failure := func(status int) Answer {
		return Answer{Failure: &Failure{Error: detail, Hint: detail, Status: status, Fallback: status == cli.ExitUsage}}
	}
	for _, test := range []struct {
		answer Answer
		err    error
		status int
	}{
		{failure(cli.ExitLoginRequired), nil, cli.ExitLoginRequired},
		{failure(cli.ExitUnavailable), nil, cli.ExitUnavailable},
		{failure(cli.ExitLockTimeout), nil, cli.ExitLockTimeout},
		{failure(cli.ExitStorage), nil, cli.ExitStorage},
		{failure(cli.ExitUsage), nil, cli.ExitUsage},
		{Answer{}, errors.New(detail), cli.ExitFailed},
		{Answer{Status: &Status{}}, nil, cli.ExitFailed},
	} {
		f := newForwarder(test.answer, test.err)
		got := f.answer(t, Request{Do: DoToken, Profile: "work"})
		if got.Token != nil || got.Failure == nil || got.Failure.Status != test.status {
			t.Errorf("%+v: %+v", test, got.Failure)
			continue
		}
		if text := fmt.Sprintf("%+v", *got.Failure); strings.Contains(text, "home") || strings.Contains(text, "keyring") || got.Failure.Error == "" || got.Failure.Hint == "" {
			t.Errorf("the other machine is told %s", text)
		}
		for _, line := range f.shown {
			if strings.Contains(line, "\x1b") {
				t.Errorf("shown raw: %q", line)
			}
		}
	}
}
