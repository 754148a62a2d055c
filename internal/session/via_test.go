package session

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/authservertest"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/secret"
)

// via is a profile at an API's server, whose tokens a login at the company's server gets.
func via(t *testing.T, company, api authservertest.Response) (f *fixture, atCompany, atAPI *authservertest.Scripted) {
	t.Helper()
	work, atCompany := atOddServer(t, company)
	f, atAPI = atOddServer(t, api)
	r := f.stored()
	r.Grant, r.RefreshToken, r.Scope, r.Resource = config.GrantIDJAG, sealedSecret{}, "read", "https://api.example.com"
	if err := f.save(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	f.Profile.Via, f.Profile.AuthorizationDetails = "work", `[{"type":"x"}]`
	f.Assert = func(ctx context.Context, issuer string, want oauth.Target) (secret.Secret, error) {
		want.Audience, want.Details = issuer, ""
		return work.IDJAG(ctx, secret.New("the.id.token"), want)
	}
	return f, atCompany, atAPI
}

const idJAG = `{"access_token":"the.id.jag","issued_token_type":"urn:ietf:params:oauth:token-type:id-jag","token_type":"N_A"}`

func TestVia_EachTokenTakesBothLegs(t *testing.T) {
	f, company, api := via(t, authservertest.Response{Body: idJAG}, authservertest.Response{Body: `{"access_token":"good","token_type":"Bearer","expires_in":3600}`})
	for range 2 { // the second is cached
		token, err := f.Token(t.Context(), TokenOptions{})
		if err != nil || token.Value.Reveal() != "good" || token.Scope != "read" {
			t.Fatalf("%+v, %v", token, err)
		}
	}
	if _, err := f.Token(t.Context(), TokenOptions{ForceRefresh: true}); err != nil {
		t.Fatal(err)
	}
	first, second := company.Forms("/token"), api.Forms("/token")
	if len(first) != 2 || len(second) != 2 {
		t.Fatalf("%d and %d requests", len(first), len(second))
	}
	for name, want := range map[string]string{
		"audience": api.URL, "resource": "https://api.example.com", "scope": "read", "subject_token": "the.id.token",
		"subject_token_type":   "urn:ietf:params:oauth:token-type:id_token",
		"requested_token_type": "urn:ietf:params:oauth:token-type:id-jag", "authorization_details": "",
	} {
		if got := first[0].Get(name); got != want {
			t.Errorf("company: %s is %q, not %q", name, got, want)
		}
	}
	if second[0].Get("assertion") != "the.id.jag" || second[0].Get("authorization_details") != `[{"type":"x"}]` || second[0].Has("audience") {
		t.Errorf("api: %v", second[0])
	}
}

// An error says which leg failed, and only an ID-JAG is sent on.
func TestVia_ErrorsNameTheLeg(t *testing.T) {
	refused := authservertest.Response{Status: 400, Body: `{"error":"invalid_grant"}`}
	for _, test := range []struct {
		name         string
		company, api authservertest.Response
		says         string
		sent         int
	}{
		{"the company refuses", refused, refused, `from profile "work"`, 0},
		{"an access token instead", authservertest.Response{Body: `{"access_token":"x","issued_token_type":"urn:ietf:params:oauth:token-type:access_token"}`}, refused, "it issued no ID-JAG", 0},
		{"the API refuses", authservertest.Response{Body: idJAG}, refused, `exchange the assertion of profile "work" at http://127.0.0.1`, 1},
	} {
		f, _, api := via(t, test.company, test.api)
		_, err := f.Token(t.Context(), TokenOptions{})
		if err == nil || !strings.Contains(err.Error(), test.says) || len(api.Forms("/token")) != test.sent || errors.Is(err, ErrLoginRequired) {
			t.Errorf("%s: %v, %d requests", test.name, err, len(api.Forms("/token")))
		}
	}
}
