package authservertest

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestPushedRequests(t *testing.T) {
	s := start(t, Options{RequirePAR: true})
	r := s.post("/par", request())
	if r.status != http.StatusCreated || r.m["expires_in"] != 60.0 {
		t.Fatalf("%+v", r)
	}
	pushed := url.Values{"client_id": {"fob-test"}, "request_uri": {r.text("request_uri")}}
	for name, q := range map[string]url.Values{
		"not pushed":         request(),
		"another client":     {"client_id": {"fob-secret"}, "request_uri": pushed["request_uri"]},
		"no client":          {"request_uri": pushed["request_uri"]},
		"a made-up URI":      {"client_id": {"fob-test"}, "request_uri": {requestURIPrefix + "x"}},
		"more parameters":    {"client_id": {"fob-test"}, "request_uri": pushed["request_uri"], "scope": {"all"}},
		"the request itself": request("request_uri", r.text("request_uri")),
	} {
		if back, err := Redirect(t.Context(), s.Issuer()+"/authorize?"+q.Encode(), http.DefaultClient); err == nil {
			t.Errorf("%s: %s", name, back)
		}
	}
	if tokens := s.post("/token", redemption(s.code(t, pushed).Get("code"))); tokens.status != http.StatusOK {
		t.Errorf("%+v", tokens)
	}
	if back, err := Redirect(t.Context(), s.Issuer()+"/authorize?"+pushed.Encode(), http.DefaultClient); err == nil {
		t.Errorf("twice: %s", back)
	}
	late := s.post("/par", request()).text("request_uri")
	s.mu.Lock()
	s.pushed[late].expires = time.Now()
	s.mu.Unlock()
	if page := fetch(t, http.DefaultClient, s.Issuer()+"/authorize?client_id=fob-test&request_uri="+url.QueryEscape(late), ""); !strings.HasPrefix(page, "400") {
		t.Errorf("late: %s", page)
	}
}

func TestPushesThatAreRefused(t *testing.T) {
	s := start(t, Options{PAR: true})
	for _, test := range []struct {
		want  string
		pairs []string
	}{
		{"invalid_request", []string{"code_challenge", "-"}},
		{"invalid_request", []string{"redirect_uri", "https://evil.example/"}},
		{"invalid_request", []string{"request_uri", "urn:x"}},
		{"invalid_target", []string{"resource", "https://evil.example/"}},
		{"invalid_client", []string{"client_id", "fob-secret"}},
	} {
		if r := s.post("/par", request(test.pairs...)); r.text("error") != test.want {
			t.Errorf("%v: %+v", test.pairs, r)
		}
	}
	if r := start(t, Options{}).post("/par", request()); r.status != http.StatusNotFound {
		t.Errorf("where it is not offered: %+v", r)
	}
	if q := s.code(t, request()); q.Get("code") == "" {
		t.Error("where it is not required, nothing need be pushed")
	}
}
