//go:build unix

package agent

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/seal"
)

// fakeTokens answers from a list, one result a call, and then with a token.
type fakeTokens struct {
	errs     []error
	calls    []Request
	needsKey bool
	before   func() // runs within Token
}

func (f *fakeTokens) Token(_ context.Context, r Request, note func(string)) (*Token, error) {
	f.calls = append(f.calls, r)
	if f.before != nil {
		f.before()
	}
	note("note for " + r.Profile)
	if len(f.errs) > 0 {
		err := f.errs[0]
		f.errs = f.errs[1:]
		if err != nil {
			return nil, err
		}
	}
	return &Token{AccessToken: "token of " + r.Profile}, nil
}

func (f *fakeTokens) Failure(r Request, err error) *Failure {
	return &Failure{Error: r.Profile + ": " + err.Error(), Status: cli.ExitStorage}
}

func (f *fakeTokens) NeedsKey() bool { return f.needsKey }

var home = Home{Config: "/config", Data: "/data", Cache: "/cache"}

func newTestHandler(t *testing.T, tokens *fakeTokens) (*Handler, *Memory) {
	t.Helper()
	memory, _ := newMemory(t, time.Hour)
	t.Cleanup(func() { _ = memory.Close() })
	return NewHandler(home, tokens, memory, time.Hour, func() {}), memory
}

func request(profile string) Request { return Request{Do: DoToken, Home: home, Profile: profile} }

func ignore(string) {}

func TestHandler_Token(t *testing.T) {
	errOther := errors.New("other")
	for name, test := range map[string]struct {
		r       Request
		errs    []error
		failure string // a part of it; empty: a token
		calls   int
		status  int
	}{
		"a token":                 {r: request("work"), calls: 1},
		"another home":            {r: Request{Do: DoToken, Home: Home{Config: "/other", Data: "/data", Cache: "/cache"}, Profile: "work"}, failure: "another folder", status: cli.ExitFailed},
		"another storage":         {r: Request{Do: DoToken, Home: Home{Config: "/config", Data: "/data", Cache: "/cache", Storage: "file"}, Profile: "work"}, failure: "another folder", status: cli.ExitFailed},
		"no home":                 {r: Request{Do: DoToken, Profile: "work"}, failure: "another folder", status: cli.ExitFailed},
		"another profile":         {r: request("work"), errs: []error{ErrOtherProfile}, failure: "another profile of this name", calls: 1, status: cli.ExitFailed},
		"a failure":               {r: request("work"), errs: []error{errOther}, failure: "work: other", calls: 1, status: cli.ExitStorage},
		"a wrong key, then right": {r: request("work"), errs: []error{fmt.Errorf("opening: %w", seal.ErrWrongKey)}, calls: 2},
		"a wrong key twice":       {r: request("work"), errs: []error{seal.ErrWrongKey, seal.ErrWrongKey}, failure: "work: " + seal.ErrWrongKey.Error(), calls: 2, status: cli.ExitStorage},
		"unknown":                 {r: Request{Do: "export", Home: home}, failure: "a different protocol version", status: cli.ExitFailed},
	} {
		t.Run(name, func(t *testing.T) {
			tokens := &fakeTokens{errs: test.errs}
			h, memory := newTestHandler(t, tokens)
			memory.PutSealKey(seal.NewKey().Bytes())
			var notes []string
			got := h.Answer(t.Context(), test.r, func(line string) { notes = append(notes, line) })
			if len(tokens.calls) != test.calls || len(notes) != test.calls {
				t.Errorf("%d calls, notes %q", len(tokens.calls), notes)
			}
			if wrong := slices.ContainsFunc(test.errs, func(err error) bool { return errors.Is(err, seal.ErrWrongKey) }); (memory.Get(SealKey) == nil) != wrong {
				t.Errorf("the key of the files is cached: %v", !wrong)
			}
			if test.failure == "" {
				if got.Failure != nil || got.Token == nil || got.Token.AccessToken != "token of work" {
					t.Errorf("%+v, %+v", got, got.Failure)
				}
				return
			}
			if got.Token != nil || got.Failure == nil || !strings.Contains(got.Failure.Error, test.failure) || got.Failure.Status != test.status {
				t.Fatalf("%+v, %+v", got, got.Failure)
			}
			// What the agent cannot do, the process that asked may do by itself.
			if got.Failure.Fallback != (test.status == cli.ExitFailed) {
				t.Errorf("fallback: %v", got.Failure.Fallback)
			}
		})
	}
}

func TestHandler_LockedServesNoToken(t *testing.T) {
	tokens := &fakeTokens{}
	h, memory := newTestHandler(t, tokens)
	memory.Put("work", []byte("record"))
	if got := h.Answer(t.Context(), Request{Do: DoLock}, ignore); !got.Status.Locked || len(got.Status.Profiles) != 0 {
		t.Errorf("locked: %+v", got.Status)
	}
	got := h.Answer(t.Context(), request("work"), ignore)
	if got.Failure == nil || !got.Failure.Fallback || len(tokens.calls) != 0 {
		t.Errorf("while locked: %+v, %d calls", got, len(tokens.calls))
	}
	if got := h.Answer(t.Context(), Request{Do: DoUnlock}, ignore); got.Status.Locked {
		t.Errorf("unlocked: %+v", got.Status)
	}
	if got := h.Answer(t.Context(), request("work"), ignore); got.Token == nil {
		t.Errorf("after unlocking: %+v", got.Failure)
	}
}

// A token that was on its way when the agent was locked is not returned.
func TestHandler_LockedMeanwhile(t *testing.T) {
	tokens := &fakeTokens{}
	h, memory := newTestHandler(t, tokens)
	tokens.before = memory.Lock
	if got := h.Answer(t.Context(), request("work"), ignore); got.Token != nil || got.Failure == nil || !strings.Contains(got.Failure.Error, "locked") {
		t.Errorf("%+v", got)
	}
}

// However many requests for tokens wait, the agent can be locked; one too many is refused
// at once.
func TestHandler_Busy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		h, _ := newTestHandler(t, &fakeTokens{})
		h.tokens = blockedTokens{release}
		done := make(chan Answer, tokenPlaces)
		for range tokenPlaces {
			go func() { done <- h.Answer(t.Context(), request("work"), ignore) }()
		}
		synctest.Wait()
		if got := h.Answer(t.Context(), request("work"), ignore); got.Failure == nil || !got.Failure.Fallback || !strings.Contains(got.Failure.Error, "busy") {
			t.Errorf("one too many: %+v", got)
		}
		if got := h.Answer(t.Context(), Request{Do: DoStatus}, ignore); got.Status == nil {
			t.Errorf("status: %+v", got)
		}
		close(release)
		for range tokenPlaces {
			if got := <-done; got.Token == nil {
				t.Errorf("%+v", got.Failure)
			}
		}
		if got := h.Answer(t.Context(), request("work"), ignore); got.Token == nil {
			t.Errorf("afterwards: %+v", got.Failure)
		}
	})
}

type blockedTokens struct{ release chan struct{} }

func (b blockedTokens) Token(context.Context, Request, func(string)) (*Token, error) {
	<-b.release
	return &Token{}, nil
}
func (blockedTokens) Failure(Request, error) *Failure { return nil }
func (blockedTokens) NeedsKey() bool                  { return false }

func TestHandler_Status(t *testing.T) {
	for name, test := range map[string]struct {
		needsKey bool
		put      []string
		want     Status
	}{
		"nothing cached":           {want: Status{Profiles: []string{}}},
		"logins":                   {put: []string{"work", "ci"}, want: Status{Profiles: []string{"ci", "work"}}},
		"files need a key":         {needsKey: true, want: Status{Profiles: []string{}, NeedsKey: true}},
		"files have their key":     {needsKey: true, put: []string{SealKey, "work"}, want: Status{Profiles: []string{"work"}, Files: true}},
		"a key that nothing needs": {put: []string{SealKey}, want: Status{Profiles: []string{}, Files: true}},
	} {
		t.Run(name, func(t *testing.T) {
			h, memory := newTestHandler(t, &fakeTokens{needsKey: test.needsKey})
			for _, item := range test.put {
				memory.Put(item, []byte("secret"))
			}
			got := h.Status()
			if got.PID == 0 || got.ForgetAfter != time.Hour {
				t.Errorf("%+v", got)
			}
			got.PID, got.ForgetAfter = 0, 0
			if !reflect.DeepEqual(*got, test.want) {
				t.Errorf("%+v, not %+v", *got, test.want)
			}
		})
	}
}

func TestHandler_UnlockTakesOnlyAKey(t *testing.T) {
	for _, test := range []struct {
		key   []byte
		files bool
	}{{nil, false}, {[]byte("short"), false}, {seal.NewKey().Bytes(), true}} {
		h, _ := newTestHandler(t, &fakeTokens{})
		got := h.Answer(t.Context(), Request{Do: DoUnlock, Key: test.key}, ignore)
		if got.Status.Files != test.files {
			t.Errorf("%d bytes: %+v", len(test.key), got.Status)
		}
		if slices.ContainsFunc(test.key, func(b byte) bool { return b != 0 }) {
			t.Errorf("%d bytes of the request are left in memory", len(test.key))
		}
	}
}

func TestHandler_Stop(t *testing.T) {
	stopped := 0
	h, _ := newTestHandler(t, &fakeTokens{})
	h.stop = func() { stopped++ }
	if got := h.Answer(t.Context(), Request{Do: DoStop}, ignore); got.Status == nil || stopped != 1 {
		t.Errorf("%+v, stopped %d times", got, stopped)
	}
}

func TestMemory_OpenSharesOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := newMemory(t, time.Hour)
		release, calls := make(chan struct{}), 0
		open := func(context.Context) ([]byte, error) {
			calls++
			<-release
			return []byte("plain"), nil
		}
		results := make(chan []byte, 10)
		for range 10 {
			go func() {
				plain, err := m.Open(t.Context(), "work", open)
				if err != nil {
					t.Error(err)
				}
				results <- plain
			}()
		}
		synctest.Wait()
		close(release)
		for range 10 {
			plain := <-results
			if string(plain) != "plain" {
				t.Errorf("got %q", plain)
			}
			clear(plain) // each caller has a copy of its own
		}
		if calls != 1 {
			t.Errorf("%d calls", calls)
		}
	})
}

// A caller that gives up ends neither the call nor the others' wait for it.
func TestMemory_OpenOutlivesItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := newMemory(t, time.Hour)
		release := make(chan struct{})
		open := func(ctx context.Context) ([]byte, error) {
			<-release
			return []byte("plain"), ctx.Err()
		}
		ctx, cancel := context.WithCancel(t.Context())
		first, second := make(chan error, 1), make(chan error, 1)
		go func() { _, err := m.Open(ctx, "work", open); first <- err }()
		synctest.Wait()
		go func() { _, err := m.Open(t.Context(), "work", open); second <- err }()
		synctest.Wait()
		cancel()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		close(release)
		if err := <-second; err != nil {
			t.Error(err)
		}
	})
}

func TestMemory_OpenSurvivesAPanic(t *testing.T) {
	m, _ := newMemory(t, time.Hour)
	_, err := m.Open(t.Context(), "work", func(context.Context) ([]byte, error) { panic("canary") })
	if !errors.Is(err, errFault) || strings.Contains(err.Error(), "canary") {
		t.Error(err)
	}
	if plain, err := m.Open(t.Context(), "work", func(context.Context) ([]byte, error) { return []byte("x"), nil }); err != nil || string(plain) != "x" {
		t.Errorf("the next call: %q, %v", plain, err)
	}
}
