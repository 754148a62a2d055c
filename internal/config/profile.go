package config

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Profile is a login's settings: a table [profile.NAME]. An empty field is absent.
type Profile struct {
	Name                    string   `toml:"-"`
	Provider                string   `toml:"provider" doc:"a preset: see 'fob profile providers'"`
	Issuer                  string   `toml:"issuer" doc:"the authorization server's URL"`
	ClientID                string   `toml:"client_id" doc:"the OAuth client's ID"`
	Scopes                  []string `toml:"scopes" doc:"the scopes to request"`
	RedirectURI             string   `toml:"redirect_uri" doc:"a loopback URI; {issuer} is replaced by a hash of the issuer"` // may contain IssuerMark; see Redirect
	AuthorizationEndpoint   string   `toml:"authorization_endpoint" doc:"for a server without metadata"`
	TokenEndpoint           string   `toml:"token_endpoint" doc:"for a server without metadata"`
	RevocationEndpoint      string   `toml:"revocation_endpoint" doc:"for a server without metadata"`
	UserinfoEndpoint        string   `toml:"userinfo_endpoint" doc:"for a server without metadata"`
	TokenEndpointAuthMethod string   `toml:"token_endpoint_auth_method" doc:"how the client authenticates"`
	Storage                 string   `toml:"storage" doc:"where its login is stored: keyring or file" default:"as [storage]"`
	CAFile                  string   `toml:"ca_file" doc:"certificates to trust for its server, in PEM"`

	DeviceAuthorizationEndpoint string   `toml:"device_authorization_endpoint" doc:"for a server without metadata"`
	Grant                       string   `toml:"grant" doc:"how it gets tokens: authorization_code, client_credentials, token-exchange, jwt-bearer or id-jag" default:"authorization_code"` // as ParseGrant gives it; empty: a person logs in
	Resources                   []string `toml:"resources" doc:"APIs that tokens are for (RFC 8707)"`
	TrustedAudiences            []string `toml:"trusted_audiences" doc:"audiences that an id_token may have besides the client"`
	DPoP                        bool     `toml:"dpop" doc:"bind tokens to a key of this login (RFC 9449)"`
	PrivateKeyFile              string   `toml:"private_key_file" doc:"the client's private key, in PEM or as a JWK"`
	ClientAssertionAudience     string   `toml:"client_assertion_audience" doc:"the audience of the client's JWTs: issuer or endpoint" default:"issuer"`
	CertificateFile             string   `toml:"certificate_file" doc:"the client's certificate for mutual TLS (RFC 8705), in PEM"`
	CertificateKeyFile          string   `toml:"certificate_key_file" doc:"the key of the certificate, in PEM"`

	// With the grant id-jag, an id_token of another profile takes the place of a login.
	Via string `toml:"via" doc:"the profile of the company's login that gets tokens for this one, with the grant id-jag"`

	// AuthorizationDetails is a JSON array.
	AuthorizationDetails string `toml:"authorization_details" doc:"what the tokens may do, in JSON (RFC 9396)"`

	// For machines that prove their own identity, with the grants token-exchange and
	// jwt-bearer.
	Identity         string   `toml:"identity" doc:"where a machine's identity comes from: github, gitlab, env:NAME, file:PATH or command"`
	IdentityCommand  []string `toml:"identity_command" doc:"a program with its arguments that prints the identity"`
	IdentityAudience string   `toml:"identity_audience" doc:"the audience of the identity" default:"the issuer"`
	SubjectTokenType string   `toml:"subject_token_type" doc:"the type of the identity (RFC 8693 section 3)" default:"a JWT"`
	Audience         string   `toml:"audience" doc:"the audience of the access token (RFC 8693 section 2.1)"`

	// Which programs get the tokens: see package credhelper.
	GitHosts    []string `toml:"git_hosts" doc:"URLs for which git gets the token"`
	GitUsername string   `toml:"git_username" doc:"the user name that git sends with the token"`

	DockerRegistries []string `toml:"docker_registries" doc:"registries for which docker gets the token"`
	DockerUsername   string   `toml:"docker_username" doc:"the user name for docker; <token> makes the token an identity token"`

	KubernetesServers []string `toml:"kubernetes_servers" doc:"clusters for which kubectl gets the token; any if absent"`
}

// Authority returns the server that issued the login: its issuer, or its token endpoint
// without one.
func (p Profile) Authority() string { return cmp.Or(p.Issuer, p.TokenEndpoint) }

// ShowsJWT reports whether the machine's identity must be a JWT.
func (p Profile) ShowsJWT() bool {
	const kind = "urn:ietf:params:oauth:token-type:" // RFC 8693 §3
	return p.Grant == GrantJWTBearer || slices.Contains([]string{"", kind + "jwt", kind + "id_token"}, p.SubjectTokenType)
}

// WithProvider fills empty settings from the provider's preset. A profile with its own
// server gets no endpoints and no hosts from the preset.
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
	p.RedirectURI = cmp.Or(p.RedirectURI, strings.TrimSuffix(preset.RedirectURI, "/"+IssuerMark)) // see sharedRedirect
	p.TokenEndpointAuthMethod = cmp.Or(p.TokenEndpointAuthMethod, preset.TokenEndpointAuthMethod)
	p.ClientAssertionAudience = cmp.Or(p.ClientAssertionAudience, preset.ClientAssertionAudience)
	return p
}

// The grants that a profile can have.
const (
	GrantAuthorizationCode = "authorization_code" // RFC 6749 §4.1, or a device's (RFC 8628): a user logs in
	GrantClientCredentials = "client_credentials" // RFC 6749 §4.4: the client logs in as itself
	GrantTokenExchange     = "token-exchange"     // RFC 8693: a machine proves its identity
	GrantJWTBearer         = "jwt-bearer"         // RFC 7523 §2.1: likewise
	GrantIDJAG             = "id-jag"             // draft-ietf-oauth-identity-assertion-authz-grant: see Profile.Via
)

// Grants lists the grants that a profile may name.
func Grants() []string {
	return []string{GrantAuthorizationCode, GrantClientCredentials, GrantTokenExchange, GrantJWTBearer, GrantIDJAG}
}

// IsUnattended reports whether the client gets tokens with what it has stored, so that no
// user logs in.
func IsUnattended(grant string) bool { return grant == GrantClientCredentials || grant == GrantIDJAG }

// ParseGrant returns the value of Profile.Grant for a grant: empty for authorization_code,
// the default.
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

// NameOf returns the name for a profile of the API at a URL: its host.
func NameOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	name := strings.Map(func(r rune) rune {
		if r == '-' || 'a' <= r && r <= 'z' || '0' <= r && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(u.Host))
	return strings.Trim(name[:min(len(name), maxName)], "-")
}

// CheckName rejects invalid profile names. Valid ones are [a-z0-9][a-z0-9-]{0,62}, because
// they are also file names.
func CheckName(name string) error {
	ok := name != "" && len(name) <= maxName && name[0] != '-'
	for _, r := range name {
		ok = ok && (r == '-' || 'a' <= r && r <= 'z' || '0' <= r && r <= '9')
	}
	if !ok {
		return fmt.Errorf("invalid profile name %.80q: use a-z, 0-9 and -, at most %d characters", name, maxName)
	}
	return nil
}
