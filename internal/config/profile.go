package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Profile is one login's settings: a table [profile.NAME]. An empty field is a
// setting that is not there.
type Profile struct {
	Name                    string   `toml:"-"`
	Provider                string   `toml:"provider"` // the name of a preset
	Issuer                  string   `toml:"issuer"`
	ClientID                string   `toml:"client_id"`
	Scopes                  []string `toml:"scopes"`
	RedirectURI             string   `toml:"redirect_uri"` // may hold IssuerMark; see Redirect
	AuthorizationEndpoint   string   `toml:"authorization_endpoint"`
	TokenEndpoint           string   `toml:"token_endpoint"`
	RevocationEndpoint      string   `toml:"revocation_endpoint"`
	UserinfoEndpoint        string   `toml:"userinfo_endpoint"`
	TokenEndpointAuthMethod string   `toml:"token_endpoint_auth_method"`
	Storage                 string   `toml:"storage"`
	CAFile                  string   `toml:"ca_file"`

	DeviceAuthorizationEndpoint string   `toml:"device_authorization_endpoint"`
	Grant                       string   `toml:"grant"`                     // as ParseGrant gives it; empty: a person logs in
	Resources                   []string `toml:"resources"`                 // RFC 8707; the first is that of 'fob token'
	DPoP                        bool     `toml:"dpop"`                      // bind tokens to a key (RFC 9449)
	PrivateKeyFile              string   `toml:"private_key_file"`          // of private_key_jwt: PEM or JWK
	ClientAssertionAudience     string   `toml:"client_assertion_audience"` // who the client's JWTs are for: issuer (also if empty) or endpoint
	CertificateFile             string   `toml:"certificate_file"`          // of a client that shows one (RFC 8705): PEM
	CertificateKeyFile          string   `toml:"certificate_key_file"`      // PEM

	// Of a machine that shows its own identity, with the grants token-exchange and
	// jwt-bearer.
	Identity         string   `toml:"identity"`           // where it comes from: github, gitlab, env:NAME, file:PATH, command
	IdentityCommand  []string `toml:"identity_command"`   // prints it
	IdentityAudience string   `toml:"identity_audience"`  // who it is for; empty: the issuer
	SubjectTokenType string   `toml:"subject_token_type"` // what the server calls it; empty: a JWT
	Audience         string   `toml:"audience"`           // of the access token (RFC 8693 §2.1)

	// Where other programs may show the tokens: see package helper.
	GitHosts    []string `toml:"git_hosts"`    // https://HOST, maybe with a port and a path
	GitUsername string   `toml:"git_username"` // that goes with a token there; empty: any will do

	DockerRegistries []string `toml:"docker_registries"` // HOST, maybe with a port
	DockerUsername   string   `toml:"docker_username"`   // as GitUsername; <token>: the token is an identity token

	KubernetesServers []string `toml:"kubernetes_servers"` // URLs of clusters; empty: any that a kubeconfig names
}

// Authority names the server that a login belongs to: its issuer, or its token
// endpoint where it has none.
func (p Profile) Authority() string { return cmp.Or(p.Issuer, p.TokenEndpoint) }

// ShowsJWT reports whether what a machine shows of itself must be a JWT.
func (p Profile) ShowsJWT() bool {
	const kind = "urn:ietf:params:oauth:token-type:" // RFC 8693 §3
	return p.Grant == GrantJWTBearer || slices.Contains([]string{"", kind + "jwt", kind + "id_token"}, p.SubjectTokenType)
}

// WithProvider fills what the profile leaves open from its provider's preset. A
// profile that names a server of its own takes no endpoint and no host from it.
func (p Profile) WithProvider() Profile {
	preset, ok := FindProvider(p.Provider)
	if !ok {
		return p
	}
	if p.Issuer == "" && p.AuthorizationEndpoint == "" && p.TokenEndpoint == "" {
		p.Issuer = preset.Issuer
		p.AuthorizationEndpoint = preset.AuthorizationEndpoint
		p.TokenEndpoint = preset.TokenEndpoint
		p.RevocationEndpoint = cmp.Or(p.RevocationEndpoint, preset.RevocationEndpoint)
		p.UserinfoEndpoint = cmp.Or(p.UserinfoEndpoint, preset.UserinfoEndpoint)
		p.DeviceAuthorizationEndpoint = cmp.Or(p.DeviceAuthorizationEndpoint, preset.DeviceAuthorizationEndpoint)
		if len(p.GitHosts) == 0 {
			p.GitHosts = preset.GitHosts
		}
		if len(p.DockerRegistries) == 0 {
			p.DockerRegistries = preset.DockerRegistries
		}
	}
	if len(p.Scopes) == 0 {
		p.Scopes = preset.Scopes
	}
	p.GitUsername = cmp.Or(p.GitUsername, preset.GitUsername)
	p.DockerUsername = cmp.Or(p.DockerUsername, preset.DockerUsername)
	p.RedirectURI = cmp.Or(p.RedirectURI, strings.TrimSuffix(preset.RedirectURI, "/"+IssuerMark)) // see shared
	p.TokenEndpointAuthMethod = cmp.Or(p.TokenEndpointAuthMethod, preset.TokenEndpointAuthMethod)
	p.ClientAssertionAudience = cmp.Or(p.ClientAssertionAudience, preset.ClientAssertionAudience)
	return p
}

// The grants by which tokens are had, as a profile names them.
const (
	GrantAuthorizationCode = "authorization_code" // RFC 6749 §4.1, or a device's (RFC 8628): a person logs in
	GrantClientCredentials = "client_credentials" // RFC 6749 §4.4: the client logs in as itself
	GrantTokenExchange     = "token-exchange"     // RFC 8693: a machine shows its own identity
	GrantJWTBearer         = "jwt-bearer"         // RFC 7523 §2.1: likewise
)

// Grants lists the grants that a profile may name.
func Grants() []string {
	return []string{GrantAuthorizationCode, GrantClientCredentials, GrantTokenExchange, GrantJWTBearer}
}

// ParseGrant is Profile.Grant for the name of a grant: empty where a person logs in.
func ParseGrant(name string) (string, error) {
	switch {
	case name == "", name == GrantAuthorizationCode:
		return "", nil
	case slices.Contains(Grants(), name):
		return name, nil
	}
	return "", fmt.Errorf("there is no grant %.80q: choose one of %s", name, strings.Join(Grants(), ", "))
}

const maxName = 63

// ValidName accepts the name of a profile: [a-z0-9][a-z0-9-]{0,62}. The name is
// also a file's name.
func ValidName(name string) error {
	ok := name != "" && len(name) <= maxName && name[0] != '-'
	for _, r := range name {
		ok = ok && (r == '-' || 'a' <= r && r <= 'z' || '0' <= r && r <= '9')
	}
	if !ok {
		return fmt.Errorf("%.80q is no name for a profile: use a-z, 0-9 and -, %d characters at most", name, maxName)
	}
	return nil
}
