package config

import (
	"cmp"
	"slices"
	"sync"
)

// What a revocation at a provider ends.
const (
	RevokesToken   = "token" // the token
	RevokesGrant   = "grant" // everything that the user granted the client, other logins too
	RevokesNothing = "none"  // there is no revocation endpoint for terminals
)

// Provider is a preset: what fob knows about an OAuth server in advance. Empty endpoints
// are in the server's metadata, or do not exist.
type Provider struct {
	Name                  string `json:"name"`
	Title                 string `json:"title"`
	Issuer                string `json:"issuer,omitempty"` // may contain {placeholders}
	AuthorizationEndpoint string `json:"authorization_endpoint,omitempty"`
	TokenEndpoint         string `json:"token_endpoint,omitempty"`
	RevocationEndpoint    string `json:"revocation_endpoint,omitempty"`
	UserinfoEndpoint      string `json:"userinfo_endpoint,omitempty"`

	DeviceAuthorizationEndpoint string `json:"device_authorization_endpoint,omitempty"`
	Device                      bool   `json:"device"`                  // whether fob login NAME --device works
	DevicePublic                bool   `json:"device_public,omitempty"` // and needs no client secret
	DeviceNote                  string `json:"device_note,omitempty"`   // what to set up for it, in place of Note

	Scopes                  []string          `json:"scopes,omitempty"`
	AuthParams              map[string]string `json:"authorization_parameters,omitempty"`
	SecretRequired          bool              `json:"secret_required"`
	TokenEndpointAuthMethod string            `json:"token_endpoint_auth_method,omitempty"`
	ClientAssertionAudience string            `json:"client_assertion_audience,omitempty"` // as in Profile
	RedirectURI             string            `json:"redirect_uri"`                        // to register; with IssuerMark
	GitHosts                []string          `json:"git_hosts,omitempty"`                 // as in Profile
	GitUsername             string            `json:"git_username,omitempty"`              // as in Profile
	DockerRegistries        []string          `json:"docker_registries,omitempty"`         // as in Profile
	DockerUsername          string            `json:"docker_username,omitempty"`           // as in Profile
	Revocation              string            `json:"revocation"`                          // RevokesToken, RevokesGrant or RevokesNothing
	RevokeAt                string            `json:"revoke_at"`                           // the page to revoke by hand
	RegisterAt              string            `json:"register_at"`                         // the page to register a client
	Verified                string            `json:"verified"`
	Note                    string            `json:"note,omitempty"`
}

// Server identifies the preset's server, like Profile.Authority.
func (p Provider) Server() string { return cmp.Or(p.Issuer, p.TokenEndpoint) }

// presets are made once per process, not once per profile.
var presets struct {
	sync.Once
	all []Provider
}

// FindProvider returns a preset by its name. All callers share its lists and maps.
func FindProvider(name string) (Provider, bool) {
	if name == "" {
		return Provider{}, false
	}
	presets.Do(func() { presets.all = Providers() })
	all := presets.all
	i := slices.IndexFunc(all, func(p Provider) bool { return p.Name == name })
	if i < 0 {
		return Provider{}, false
	}
	return all[i], true
}
