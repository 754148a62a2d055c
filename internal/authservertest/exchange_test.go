package authservertest

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func exchanging(identity string, pairs ...string) url.Values {
	return change(url.Values{
		"grant_type": {grantExchange}, "client_id": {"fob-ci"}, "subject_token": {identity}, "subject_token_type": {tokenType + "jwt"},
	}, pairs)
}

func TestIdentitiesAreExchanged(t *testing.T) {
	s := start(t, Options{})
	good := s.IdentityToken(s.Issuer())
	for _, test := range []struct {
		want string
		form url.Values
	}{
		{"", exchanging(good)},
		{"", exchanging(good, "subject_token_type", tokenType+"id_token", "scope", "reports:read", "requested_token_type", tokenType+"access_token")},
		{"", exchanging(good, "resource", "https://api.example.com/x")},
		{"", exchanging(good, "audience", "acme-api")},
		{"", url.Values{"grant_type": {grantAssertion}, "client_id": {"fob-ci"}, "assertion": {good}}},
		{"invalid_request", exchanging("x")},
		{"invalid_request", exchanging(good[:len(good)-8] + "AAAAAAAA")},
		{"invalid_request", exchanging(s.IdentityToken("https://evil.example"))},
		{"invalid_request", exchanging(good, "subject_token_type", "-")},
		{"invalid_request", exchanging(good, "subject_token_type", "jwt")},
		{"invalid_request", exchanging(good, "actor_token", good)},
		{"invalid_request", exchanging(good, "requested_token_type", tokenType+"refresh_token")},
		{"invalid_target", exchanging(good, "audience", "somebody")},
		{"invalid_target", exchanging(good, "resource", "https://evil.example/")},
		{"unauthorized_client", exchanging(good, "client_id", "fob-test")},
		{"invalid_grant", url.Values{"grant_type": {grantAssertion}, "client_id": {"fob-ci"}, "assertion": {"x"}}},
	} {
		r := s.post("/token", test.form)
		if r.text("error") != test.want || (test.want == "") != s.Introspect(r.text("access_token")) || r.m["refresh_token"] != nil {
			t.Errorf("%v: %+v", test.form, r)
		}
		if test.want == "" && test.form.Has("subject_token") && r.text("issued_token_type") != tokenType+"access_token" {
			t.Errorf("%+v", r)
		}
	}
	if s.Count("token/exchange") != 14 || s.Count("token/jwt-bearer") != 2 {
		t.Errorf("%d and %d", s.Count("token/exchange"), s.Count("token/jwt-bearer"))
	}
}

func TestTheCIKnowsItsJob(t *testing.T) {
	s := start(t, Options{Path: "/realms/acme"})
	target := s.IdentityURL() + "&audience=" + url.QueryEscape(s.Issuer())
	r := send(http.DefaultClient, http.MethodGet, target, http.Header{"Authorization": {"bearer " + TestRequestToken}}, "")
	if subject, problem := s.checkIdentity(r.text("value")); problem != "" || subject != identitySubject {
		t.Errorf("%q %q", subject, problem)
	}
	if page := fetch(t, http.DefaultClient, target, "another"); !strings.HasPrefix(page, "401") {
		t.Error(page)
	}
}
