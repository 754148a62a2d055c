package app

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/authservertest"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/discovery"
	"github.com/fobcli/fob/internal/session"
)

// scriptedAPI is an API whose metadata name these servers.
func scriptedAPI(t *testing.T, servers string) *authservertest.Scripted {
	t.Helper()
	return authservertest.StartScripted(t, map[string][]authservertest.Response{
		"/api": {{Status: http.StatusUnauthorized, Header: http.Header{"Www-Authenticate": {`Bearer scope="read"`}}}},
		"/.well-known/oauth-protected-resource/api": {{Body: `{"resource":"ISSUER/api","authorization_servers":[` + servers + `]}`}},
	})
}

// What one server issued is never sent to another: a client that fob chose is replaced, and
// one that the user named is not used elsewhere.
func TestFollowAPI(t *testing.T) {
	server := scriptedAPI(t, `"https://new.example","https://other.example"`)
	api, document := server.URL+"/api", "https://fob.example/client.json"
	none := func(string) bool { return false }
	for _, test := range []struct {
		name, issuer, client, wantIssuer, wantClient, note string
		given                                              func(string) bool
	}{
		{"a new profile", "", "", "https://new.example", "", "names 1 more", none},
		{"a new profile with a client", "", "fob", "https://new.example", "fob", "uses the authorization server https://new.example", none},
		{"a listed server", "https://other.example", "fob", "https://other.example", "fob", "", none},
		{"a client that fob chose", "https://old.example", document, "https://new.example", "", "uses the authorization server https://new.example", none},
		{"the user's client", "https://old.example", "fob", "https://old.example", "fob", "no longer lists https://old.example", none},
		{"a server by flag", "https://old.example", document, "https://old.example", document, "", func(flag string) bool { return flag == "issuer" }},
	} {
		f := newFixture(t, "")
		p := config.Profile{Name: "api", Issuer: test.issuer, ClientID: test.client, Resources: []string{api}, Scopes: []string{"old"}}
		got, err := FollowAPI(t.Context(), f.App, &p, nil, test.given)
		if err != nil || p.Issuer != test.wantIssuer || p.ClientID != test.wantClient || !strings.Contains(f.err.String(), test.note) || test.note == "" && f.err.Len() > 0 {
			t.Errorf("%s: %+v, %v, %s", test.name, p, err, f.err)
		}
		if moved := test.issuer != p.Issuer && test.issuer != ""; moved != (len(p.Scopes) == 0) || moved && (got == nil || got.Scopes()[0] != "read" || !strings.Contains(p.RedirectURI, config.IssuerMark)) {
			t.Errorf("%s: %+v, scopes %q", test.name, got, p.Scopes)
		}
	}
}

func TestTokenFor_NamesTheLoginAfterAMove(t *testing.T) {
	server := scriptedAPI(t, `"https://new.example"`)
	f := newFixture(t, "")
	p := config.Profile{Name: "api", Issuer: "https://old.example", ClientID: "https://fob.example/client.json", Resources: []string{server.URL + "/api"}}
	challenge := &discovery.Challenge{ResourceMetadata: server.URL + "/.well-known/oauth-protected-resource/api", MaxAge: -1}
	_, err := TokenFor(t.Context(), f.App, p, session.TokenOptions{}, challenge)
	if !errors.Is(err, session.ErrLoginRequired) || !strings.Contains(err.Error(), "trusts https://new.example now") || cli.CarriedHint(err) != "pass the same response to 'fob login api --challenge -'" {
		t.Errorf("%v, hint %q", err, cli.CarriedHint(err))
	}
	_, err = TokenFor(t.Context(), f.App, p, session.TokenOptions{}, &discovery.Challenge{MaxAge: time.Hour})
	if !errors.Is(err, session.ErrLoginRequired) {
		t.Error(err)
	}
}
