package authservertest

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestEverySecretIsRecorded(t *testing.T) {
	s := start(t, Options{})
	code := s.code(t, request()).Get("code")
	first := s.post("/token", redemption(code))
	second := s.post("/token", refreshing(first.text("refresh_token")))
	want := []string{code, first.text("access_token"), first.text("refresh_token"), first.text("id_token"), second.text("access_token"), second.text("refresh_token")}
	for i, secret := range want {
		if secret == "" || !slices.Contains(s.IssuedTokens(), secret) {
			t.Errorf("secret %d of %d is not recorded", i+1, len(want))
		}
	}
}

func TestOtherProcessesArmAndCount(t *testing.T) {
	s := start(t, Options{})
	inject := func(fault string) int {
		return s.post("/test/arm", url.Values{"fault": {fault}}).status
	}
	if inject("token-503") != http.StatusOK || inject("no such fault") != http.StatusBadRequest {
		t.Error("a known fault is refused, or an unknown one accepted")
	}
	if r := s.post("/token", refreshing("x")); r.status != http.StatusServiceUnavailable {
		t.Errorf("%+v", r)
	}
	if page := fetch(t, http.DefaultClient, s.Issuer()+"/test/count?endpoint=token/refresh", ""); !strings.HasPrefix(page, "200 1\n") {
		t.Errorf("count: %q", page)
	}
}

func TestTLS(t *testing.T) {
	s := start(t, Options{TLS: true})
	hc := trusting(t, s)
	if page := fetch(t, hc, s.Issuer()+"/.well-known/openid-configuration", ""); !strings.Contains(page, `"issuer":"https://127.0.0.1:`) {
		t.Errorf("%q", page)
	}
	if _, err := http.Get(s.Issuer()); err == nil {
		t.Error("a client that does not know the CA gets in")
	}
}

func TestClosingDoesNotWaitForSlowAnswers(t *testing.T) {
	s := start(t, Options{})
	if err := s.InjectFault("token-slow", 1); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.Issuer()+"/token", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(io.LimitReader(resp.Body, 2)); err != nil || string(text) != "  " {
		t.Errorf("%q, %v", text, err)
	}
	s.Close()
}

func TestAHeldAnswerWaits(t *testing.T) {
	s := start(t, Options{})
	login := s.login(t)
	if err := s.InjectFault("token-held", 1); err != nil {
		t.Fatal(err)
	}
	answered := make(chan reply)
	go func() { answered <- s.post("/token", refreshing(login.text("refresh_token"))) }()
	for s.Introspect(login.text("refresh_token")) {
		runtime.Gosched()
	}
	select {
	case r := <-answered:
		t.Errorf("not held: %+v", r)
	case <-time.After(50 * time.Millisecond):
	}
	if r := s.post("/test/release", nil); r.status != http.StatusOK {
		t.Errorf("%+v", r)
	}
	r := <-answered
	if r.status != http.StatusOK || r.text("refresh_token") == "" {
		t.Errorf("%+v", r)
	}

	// Let go before it comes there, an answer is not held.
	if err := s.InjectFault("token-held", 1); err != nil {
		t.Fatal(err)
	}
	s.Release()
	if r := s.post("/token", refreshing(r.text("refresh_token"))); r.status != http.StatusOK {
		t.Errorf("%+v", r)
	}
}

func TestOriginNumbersLoginsAndRotations(t *testing.T) {
	s := start(t, Options{})
	s.login(t)
	first := s.login(t)
	second := s.post("/token", refreshing(first.text("refresh_token")))
	for generation, r := range []reply{first, second} {
		got := s.post("/test/origin", url.Values{"token": {r.text("access_token")}})
		if got.m["family"] != 2.0 || got.m["generation"] != float64(generation) {
			t.Errorf("%+v, not login 2, generation %d", got, generation)
		}
	}
	if s.post("/test/origin", url.Values{"token": {"x"}}).status != http.StatusNotFound {
		t.Error("a token of nobody's has an origin")
	}
	s.post("/token", refreshing(first.text("refresh_token")))
	if s.Count("token/refused") != 1 {
		t.Errorf("%d refused refreshes", s.Count("token/refused"))
	}
}
