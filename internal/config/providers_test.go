package config

import (
	"net/url"
	"slices"
	"strings"
	"testing"
)

// The providers that fob promises to know.
var promised = []string{"atlassian", "auth0", "bitbucket", "digitalocean", "github", "gitlab", "google", "keycloak", "linear", "microsoft", "okta", "slack"}

func TestPresetsAreComplete(t *testing.T) {
	var names []string
	for _, p := range Providers() {
		names = append(names, p.Name)
		t.Run(p.Name, func(t *testing.T) {
			if CheckName(p.Name) != nil || p.Title == "" || len(p.Scopes) == 0 {
				t.Error("it has no name, title or scopes")
			}
			if p.Issuer == "" && (p.AuthorizationEndpoint == "" || p.TokenEndpoint == "") {
				t.Error("it needs an issuer, or both endpoints")
			}
			if !slices.Contains([]string{RevokesToken, RevokesGrant, RevokesNothing}, p.Revocation) {
				t.Errorf("revocation %q", p.Revocation)
			}
			if p.TokenEndpoint != "" && (p.RevocationEndpoint == "") != (p.Revocation == RevokesNothing) {
				t.Error("its revocation and its revocation endpoint do not fit")
			}
			if p.Device == (p.DeviceNote == "") || p.DevicePublic && !p.SecretRequired {
				t.Error("the device flow and what to set up for it do not fit")
			}
			if p.SecretRequired == (p.TokenEndpointAuthMethod == "") {
				t.Error("a secret goes with an authentication method")
			}
			if !strings.HasPrefix(p.Verified, "from documentation, 20") && !strings.HasPrefix(p.Verified, "checked, 20") {
				t.Errorf("verified: %q", p.Verified)
			}
			for name, raw := range map[string]string{
				"issuer": p.Issuer, "authorization": p.AuthorizationEndpoint, "token": p.TokenEndpoint,
				"revocation": p.RevocationEndpoint, "userinfo": p.UserinfoEndpoint,
				"page to register": p.RegisterAt, "page to revoke": p.RevokeAt,
			} {
				if raw == "" && !strings.HasPrefix(name, "page") {
					continue
				}
				u, err := url.Parse(strings.NewReplacer("{", "", "}", "").Replace(raw))
				if err != nil || u.Scheme != "https" || u.Host == "" || u.Fragment != "" {
					t.Errorf("%s: %q", name, raw)
				}
			}
			u, err := url.Parse(p.RedirectURI)
			if err != nil || u.Scheme != "http" || u.Path != "/callback/{issuer}" || !slices.Contains([]string{"127.0.0.1", "localhost"}, u.Hostname()) {
				t.Errorf("redirect %q", p.RedirectURI)
			}
		})
	}
	if !slices.Equal(names, promised) {
		t.Errorf("the presets are %v", names)
	}
}

// Each profile of config.toml looks up its preset.
func TestFindProvider_BuildsNothing(t *testing.T) {
	if n := testing.AllocsPerRun(10, func() { FindProvider("slack") }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
