package authservertest

import (
	"net/http"
	"strings"
	"testing"
)

const nativeClient = `{"client_name":"fob","redirect_uris":["http://127.0.0.1/callback"],"token_endpoint_auth_method":"none",` +
	`"grant_types":["authorization_code","refresh_token"],"response_types":["code"],"application_type":"native"}`

func (s *Server) register(metadata string) reply {
	return send(http.DefaultClient, http.MethodPost, s.Issuer()+"/register", http.Header{"Content-Type": {"application/json"}}, metadata)
}

func TestRegistrationsThatAreRefused(t *testing.T) {
	s := start(t, Options{Registration: true})
	for _, test := range []struct{ want, old, new string }{
		{"invalid_redirect_uri", "http://127.0.0.1/callback", "http://evil.example/callback"},
		{"invalid_redirect_uri", "http://127.0.0.1/callback", "https://127.0.0.1/callback"},
		{"invalid_redirect_uri", "http://127.0.0.1/callback", "http://127.0.0.1/callback#x"},
		{"invalid_redirect_uri", `"http://127.0.0.1/callback"`, ""},
		{"invalid_client_metadata", `"none"`, `"private_key_jwt"`},
		{"invalid_client_metadata", `"refresh_token"`, `"implicit"`},
		{"invalid_client_metadata", `"code"`, `"token"`},
		{"invalid_client_metadata", `"native"`, `"web"`},
		{"invalid_client_metadata", `,"application_type":"native"`, ""},
		{"invalid_client_metadata", `{"client_name"`, `{{"client_name"`},
	} {
		if r := s.register(strings.Replace(nativeClient, test.old, test.new, 1)); r.status != http.StatusBadRequest || r.text("error") != test.want {
			t.Errorf("%s: %+v", test.new, r)
		}
	}
	if r := s.post("/register", nil); r.status != http.StatusBadRequest {
		t.Errorf("a form: %+v", r)
	}
}

func TestAClientComesAndGoes(t *testing.T) {
	s := start(t, Options{Registration: true})
	r := s.register(nativeClient)
	id := r.text("client_id")
	if r.status != http.StatusCreated || id == "" || r.text("client_name") != "fob" || r.m["client_secret"] != nil {
		t.Fatalf("%+v", r)
	}
	if basic := s.register(strings.Replace(nativeClient, `"none"`, `"client_secret_basic"`, 1)); basic.text("client_secret") == "" {
		t.Errorf("%+v", basic)
	}
	tokens := s.post("/token", redemption(s.code(t, request("client_id", id)).Get("code"), "client_id", id))
	if !s.Introspect(tokens.text("access_token")) {
		t.Fatalf("%+v", tokens)
	}
	remove := func(token string) int {
		return send(http.DefaultClient, http.MethodDelete, r.text("registration_client_uri"), http.Header{"Authorization": {"Bearer " + token}}, "").status
	}
	if got := remove("another"); got != http.StatusUnauthorized {
		t.Errorf("another token: %d", got)
	}
	if got := remove(r.text("registration_access_token")); got != http.StatusNoContent {
		t.Errorf("%d", got)
	}
	if got := remove(r.text("registration_access_token")); got != http.StatusUnauthorized || s.Introspect(tokens.text("access_token")) {
		t.Errorf("it lives on: %d", got)
	}
	if r := s.post("/token", change(refreshing(tokens.text("refresh_token")), []string{"client_id", id})); r.text("error") != "invalid_client" {
		t.Errorf("%+v", r)
	}
}
