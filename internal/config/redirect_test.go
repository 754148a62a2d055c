package config

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
)

// The hashes are those of: printf %s ISSUER | sha256sum | cut -c 1-20
const (
	hashOfSSO       = "166f46b2b78da2cd5f13" // https://sso.example.com
	hashOfGitHub    = "be900b6daa968c602cb4" // https://github.com/login/oauth
	hashOfAtlassian = "3e9e0511c5cacf44163e" // https://auth.atlassian.com/authorize, where there is no issuer
)

func TestI70_RedirectNamesTheIssuer(t *testing.T) {
	sso := Profile{Issuer: "https://sso.example.com", ClientID: "fob"}
	with := func(p Profile, redirect string) Profile {
		p.RedirectURI = redirect
		return p
	}
	named := func(p Profile) Profile {
		p.NameIssuer()
		return p
	}
	edited := named(sso)
	edited.Issuer = "https://evil.example"
	for name, test := range map[string]struct {
		p    Profile
		want string
	}{
		"new":                     {named(sso), "http://127.0.0.1/callback/" + hashOfSSO},
		"without a client":        {Profile{Issuer: sso.Issuer}, "http://127.0.0.1/callback/" + hashOfSSO},
		"of older versions":       {sso, "http://127.0.0.1/callback"},
		"chosen":                  {with(sso, "http://localhost:1/cb"), "http://localhost:1/cb"},
		"chosen, naming":          {with(sso, "http://[::1]:1/{issuer}/cb"), "http://[::1]:1/" + hashOfSSO + "/cb"},
		"a preset":                {named(Profile{Provider: "github"}), "http://127.0.0.1/callback/" + hashOfGitHub},
		"a preset, older":         {Profile{Provider: "github", ClientID: "x"}, "http://127.0.0.1/callback"},
		"a preset on one port":    {named(Profile{Provider: "atlassian"}), "http://localhost:8976/callback/" + hashOfAtlassian},
		"that preset, older":      {Profile{Provider: "atlassian", ClientID: "x"}, "http://localhost:8976/callback"},
		"a preset elsewhere":      {named(Profile{Provider: "okta", Issuer: sso.Issuer}), "http://localhost:8976/callback/" + hashOfSSO},
		"a server not known yet":  {named(Profile{Provider: "okta"}), "http://localhost:8976/callback/{issuer}"},
		"endpoints in its place":  {named(Profile{AuthorizationEndpoint: "https://auth.atlassian.com/authorize", TokenEndpoint: "https://x/token"}), "http://127.0.0.1/callback/" + hashOfAtlassian},
		"another letter case":     {named(Profile{Issuer: "https://SSO.example.com"}), "http://127.0.0.1/callback/700420c528e7179d7255"},
		"its issuer edited later": {edited, "http://127.0.0.1/callback/e55db36714faa6af7713"},
	} {
		if got := test.p.Redirect(); got != test.want {
			t.Errorf("%s: %s, not %s", name, got, test.want)
		}
	}
}

func TestI70_MachinesHaveNoRedirect(t *testing.T) {
	for _, grant := range Grants()[1:] {
		p := Profile{Issuer: "https://sso.example.com", Grant: grant}
		if p.NameIssuer(); p.RedirectURI != "" {
			t.Errorf("%s: %s", grant, p.RedirectURI)
		}
	}
}

func TestI70_SharedRedirects(t *testing.T) {
	other := Profile{Name: "other", Issuer: "https://other.example", ClientID: "x", RedirectURI: "http://127.0.0.1:1/cb"}
	c := &Config{Profiles: map[string]Profile{"other": other, "machine": {Issuer: "https://m.example", Grant: GrantClientCredentials, RedirectURI: "http://localhost/m"}}}
	for name, test := range map[string]struct{ redirect, better string }{
		"none":                    {"", "http://127.0.0.1/callback/{issuer}"},
		"of all issuers":          {"http://localhost:1/callback", "http://localhost:1/callback/{issuer}"},
		"another profile's":       {"http://127.0.0.1:2/cb", "http://127.0.0.1:2/cb/{issuer}"},
		"another host's":          {"http://localhost:1/cb", ""},
		"another path":            {"http://127.0.0.1:1/cb/", ""},
		"naming the issuer":       {"http://127.0.0.1/callback/{issuer}", ""},
		"that of a machine alone": {"http://localhost/m", ""},
	} {
		p := Profile{Name: "work", Issuer: "https://sso.example.com", ClientID: "fob", RedirectURI: test.redirect}
		if better, shared := c.SharesRedirect(p); better != test.better || shared != (test.better != "") {
			t.Errorf("%s: %q, %v", name, better, shared)
		}
		p.Issuer = other.Issuer
		if _, shared := c.SharesRedirect(p); shared && strings.HasSuffix(test.redirect, "/cb") {
			t.Errorf("%s: shared with a profile of the same issuer", name)
		}
	}
	if _, shared := c.SharesRedirect(Profile{Issuer: "https://sso.example.com"}); shared {
		t.Error("a profile without a client gets a redirect of its own")
	}
	if better, shared := c.SharesRedirect(Profile{Provider: "slack", ClientID: "x"}); !shared || better != fixedPortRedirect {
		t.Errorf("an older profile of a preset: %q, %v", better, shared)
	}
}

// The document lists the redirect URI of every login that uses it.
func TestClientMetadata_ListsTheRedirect(t *testing.T) {
	text, err := os.ReadFile("../../docs/client-metadata.json")
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		ClientID     string   `json:"client_id"`
		RedirectURIs []string `json:"redirect_uris"`
	}
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	p := Profile{Issuer: "https://sso.example.com"}
	p.NameIssuer()
	p.UseMetadataURL(document.ClientID)
	if !IsMetadataURL(p.ClientID) || !slices.Contains(document.RedirectURIs, p.Redirect()) || !p.RequiresIss() {
		t.Errorf("%+v does not list %s", document, p.Redirect())
	}
	typed := Profile{ClientID: p.ClientID, RedirectURI: issuerRedirect}
	if typed.RequiresIss() {
		t.Error("iss is required although the redirect URI names the issuer")
	}
}

func TestIsMetadataURL(t *testing.T) {
	for id, want := range map[string]bool{
		"https://x.example/client.json": true, "https://x.example": false, "https://x.example/": false, "http://x.example/c": false,
		"https://u@x.example/c": false, "https://x.example/c#f": false, "https://x.example/../c": false, "fob": false,
	} {
		if IsMetadataURL(id) != want {
			t.Errorf("%s: %v", id, !want)
		}
	}
}
