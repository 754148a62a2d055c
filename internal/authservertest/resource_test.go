package authservertest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestATokenIsForTheResourcesAskedFor(t *testing.T) {
	s := start(t, Options{})
	one, two := s.Issuer()+"/api/orders", "https://api.example.com/x"
	q := request()
	q["resource"] = []string{one, two}
	r := s.post("/token", redemption(s.code(t, q).Get("code"), "resource", one))
	audience := func(r reply) []string { return s.access[r.text("access_token")].audience }
	if got := audience(r); !slices.Equal(got, []string{one}) {
		t.Errorf("%v", got)
	}
	refresh := refreshing(r.text("refresh_token"))
	refresh["resource"] = []string{s.Issuer() + "/api"}
	if r := s.post("/token", refresh); r.text("error") != "invalid_target" {
		t.Errorf("not granted: %+v", r)
	}
	refresh.Del("resource")
	r = s.post("/token", refresh)
	if got := audience(r); !slices.Equal(got, []string{one, two}) {
		t.Errorf("%v", got)
	}
	if got := audience(s.login(t)); !slices.Equal(got, []string{s.Issuer() + "/api"}) {
		t.Errorf("%v", got)
	}
	for _, wrong := range []string{"/api", "https://api.example.com/#x", "https://evil.example/", s.Issuer() + "/apis", "urn:x"} {
		if back := s.code(t, request("resource", wrong)); back.Get("error") != "invalid_target" || back.Has("code") {
			t.Errorf("%s: %v", wrong, back)
		}
		if r := s.post("/token", asService("fob-service", "resource", wrong), "fob-service", ClientSecret); r.text("error") != "invalid_target" {
			t.Errorf("%s: %+v", wrong, r)
		}
	}
}

func TestARefreshNarrowsTheScope(t *testing.T) {
	s := start(t, Options{})
	r := s.login(t)
	for _, wrong := range []string{"reports:read", "openid admin"} {
		if r := s.post("/token", change(refreshing(r.text("refresh_token")), []string{"scope", wrong})); r.text("error") != "invalid_scope" {
			t.Errorf("%+v", r)
		}
	}
	narrow := s.post("/token", change(refreshing(r.text("refresh_token")), []string{"scope", "email"}))
	if narrow.text("scope") != "email" || narrow.m["id_token"] != nil {
		t.Errorf("%+v", narrow)
	}
	if whole := s.post("/token", refreshing(narrow.text("refresh_token"))); whole.text("scope") != "openid email offline_access" {
		t.Errorf("%+v", whole)
	}
}

func TestTheAPISaysWhoseTokensItTakes(t *testing.T) {
	s := start(t, Options{Path: "/realms/acme"})
	api := s.Issuer() + "/api/orders"
	bare := send(http.DefaultClient, http.MethodGet, api, http.Header{}, "")
	_, rest, found := strings.Cut(bare.header.Get("WWW-Authenticate"), `Bearer resource_metadata="`)
	if bare.status != http.StatusUnauthorized || !found {
		t.Fatalf("%+v", bare)
	}
	metadata := send(http.DefaultClient, http.MethodGet, strings.TrimSuffix(rest, `"`), http.Header{}, "")
	if metadata.text("resource") != api || !slices.Equal(metadata.m["authorization_servers"].([]any), []any{s.Issuer()}) {
		t.Errorf("%+v", metadata)
	}
	q := request("resource", api)
	for token, want := range map[string]string{
		s.post("/token", redemption(s.code(t, q).Get("code"))).text("access_token"): "200",
		s.login(t).text("access_token"):                                             "200", // the whole API's
		s.post("/token", redemption(s.code(t, request("resource", "https://api.example.com/x")).Get("code"))).text("access_token"): "401",
		s.post("/token", redemption(s.code(t, request("resource", api+"/1")).Get("code"))).text("access_token"):                    "401",
		"guessed": "401",
	} {
		if page := fetch(t, http.DefaultClient, api, token); !strings.HasPrefix(page, want) {
			t.Errorf("not %s: %s", want, page)
		}
	}
	var answer map[string]any
	page := fetch(t, http.DefaultClient, api, s.login(t).text("access_token"))
	if err := json.Unmarshal([]byte(page[4:strings.Index(page, "\n")]), &answer); err != nil || answer["scope"] != "openid email offline_access" {
		t.Errorf("%v %v", answer, err)
	}
}
