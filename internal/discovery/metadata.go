// Package discovery fetches the metadata of authorization servers and of APIs that name
// theirs, and parses an API's challenges.
package discovery

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/fobcli/fob/internal/httpclient"
	"github.com/fobcli/fob/internal/sanitize"
)

// OtherIssuerError is metadata that names another issuer than the requested one.
type OtherIssuerError struct{ Named, Asked string }

func (e *OtherIssuerError) Error() string {
	return fmt.Sprintf("%s: it is another issuer's: it calls itself %q, not %q", httpclient.ErrMalformed, e.Named, e.Asked)
}

func (e *OtherIssuerError) Unwrap() error { return httpclient.ErrMalformed }

// Metadata is an authorization server's metadata (RFC 8414 §2, OpenID Connect Discovery
// §3).
type Metadata struct {
	Issuer                            string   `json:"issuer,omitempty"`
	AuthorizationEndpoint             string   `json:"authorization_endpoint,omitempty"`
	TokenEndpoint                     string   `json:"token_endpoint,omitempty"`
	RevocationEndpoint                string   `json:"revocation_endpoint,omitempty"`
	UserinfoEndpoint                  string   `json:"userinfo_endpoint,omitempty"`
	JWKSURI                           string   `json:"jwks_uri,omitempty"`
	ScopesSupported                   []string `json:"scopes_supported,omitempty"`
	CodeChallengeMethodsSupported     []string `json:"code_challenge_methods_supported,omitempty"`
	TokenEndpointAuthMethodsSupported []string `json:"token_endpoint_auth_methods_supported,omitempty"`
	GrantTypesSupported               []string `json:"grant_types_supported,omitempty"`
	DeviceAuthorizationEndpoint       string   `json:"device_authorization_endpoint,omitempty"`         // RFC 8628 §4
	PushedAuthorizationEndpoint       string   `json:"pushed_authorization_request_endpoint,omitempty"` // RFC 9126 §5
	PushedAuthorizationRequired       bool     `json:"require_pushed_authorization_requests,omitempty"`
	DPoPAlgorithmsSupported           []string `json:"dpop_signing_alg_values_supported,omitempty"` // RFC 9449 §5.1
	RegistrationEndpoint              string   `json:"registration_endpoint,omitempty"`             // RFC 7591 §3
	EndSessionEndpoint                string   `json:"end_session_endpoint,omitempty"`              // OIDC RP-Initiated Logout §2.1
	// TokenEndpointAuthSigningAlgorithms are for private_key_jwt and client_secret_jwt.
	TokenEndpointAuthSigningAlgorithms []string `json:"token_endpoint_auth_signing_alg_values_supported,omitempty"`
	// MTLSEndpointAliases are the endpoints for clients with a certificate (RFC 8705 §5).
	MTLSEndpointAliases map[string]string `json:"mtls_endpoint_aliases,omitempty"`
	// IssParameterSupported means that callbacks contain iss (RFC 9207 §3).
	IssParameterSupported bool `json:"authorization_response_iss_parameter_supported,omitempty"`
	// ClientIDMetadataDocumentSupported means that a client ID may be the URL of a document
	// about the client (draft-ietf-oauth-client-id-metadata-document).
	ClientIDMetadataDocumentSupported bool `json:"client_id_metadata_document_supported,omitempty"`
	// OpenID is set if the document is an OpenID provider's.
	OpenID bool `json:"openid,omitempty"`
}

// Discover fetches the issuer's metadata, by OpenID Connect Discovery, then by RFC 8414.
// The issuer in it must equal the given one byte for byte (RFC 8414 §3.3).
func Discover(ctx context.Context, hc *http.Client, issuer string) (*Metadata, error) {
	if err := httpclient.CheckURL(issuer); err != nil {
		return nil, err
	}
	// A server that repeats the query in its response could claim any issuer (RFC 8414 §2).
	if strings.Contains(issuer, "?") {
		return nil, fmt.Errorf("%q has a query, and an issuer has none", sanitize.Line(issuer))
	}
	first, second := strings.TrimSuffix(issuer, "/")+"/.well-known/openid-configuration", wellKnown(issuer, "oauth-authorization-server")
	m, err := fetchMetadata(ctx, hc, issuer, first)
	if err == nil {
		m.OpenID = true
		return m, nil
	}
	if _, answered := errors.AsType[*httpclient.StatusError](err); !answered && !errors.Is(err, httpclient.ErrNotJSON) {
		return nil, err
	}
	m, oauthErr := fetchMetadata(ctx, hc, issuer, second)
	if oauthErr != nil {
		return nil, &noMetadataError{[]string{first, second}, []error{err, oauthErr}}
	}
	return m, nil
}

type noMetadataError struct {
	urls   []string
	errors []error
}

func (e *noMetadataError) Error() string {
	var tried []string
	for i, location := range e.urls {
		outcome := e.errors[i].Error()
		if status, ok := errors.AsType[*httpclient.StatusError](e.errors[i]); ok {
			outcome = fmt.Sprintf("%d %s", status.Status, http.StatusText(status.Status))
		}
		tried = append(tried, fmt.Sprintf("%s (%s)", sanitize.Line(location), outcome))
	}
	return "no metadata at " + strings.Join(tried, " or at ")
}

func (e *noMetadataError) Unwrap() []error { return e.errors }

// wellKnown inserts a well-known name between host and path (RFC 8414 §3.1, RFC 9728 §3.1).
func wellKnown(identifier, name string) string {
	u, err := url.Parse(identifier)
	if err != nil {
		return identifier
	}
	u.Path = "/.well-known/" + name + strings.TrimSuffix(u.Path, "/")
	return u.String()
}

func fetchMetadata(ctx context.Context, hc *http.Client, issuer, location string) (*Metadata, error) {
	var m Metadata
	if err := httpclient.GetJSON(ctx, hc, location, &m); err != nil {
		return nil, err
	}
	m.OpenID = false
	if m.Issuer == "" {
		return nil, fmt.Errorf("%w: its metadata have no issuer", httpclient.ErrMalformed)
	}
	if m.Issuer != issuer {
		return nil, &OtherIssuerError{Named: sanitize.Line(m.Issuer), Asked: sanitize.Line(issuer)}
	}
	return &m, m.Check()
}

// Pinned returns the part of the metadata that a login stores: the issuer and its
// endpoints.
func (m *Metadata) Pinned() *Metadata {
	return &Metadata{
		Issuer:             m.Issuer,
		TokenEndpoint:      m.TokenEndpoint,
		RevocationEndpoint: m.RevocationEndpoint,
		UserinfoEndpoint:   m.UserinfoEndpoint,
		EndSessionEndpoint: m.EndSessionEndpoint,
		JWKSURI:            m.JWKSURI,
		OpenID:             m.OpenID,

		TokenEndpointAuthSigningAlgorithms: m.TokenEndpointAuthSigningAlgorithms,
	}
}

// ForCertificate returns the metadata for a client with a certificate, which may have other
// endpoints.
func (m *Metadata) ForCertificate() (*Metadata, error) {
	aliased := *m
	for _, endpoint := range aliased.endpoints() {
		if alias := m.MTLSEndpointAliases[endpoint.name]; alias != "" {
			*endpoint.url = alias
		}
	}
	return &aliased, aliased.Check()
}

type endpoint struct {
	name     string
	url      *string
	required bool
}

func (m *Metadata) endpoints() []endpoint {
	return []endpoint{
		{"authorization_endpoint", &m.AuthorizationEndpoint, m.AuthorizationEndpoint != ""},
		{"token_endpoint", &m.TokenEndpoint, true},
		{"revocation_endpoint", &m.RevocationEndpoint, false},
		{"userinfo_endpoint", &m.UserinfoEndpoint, false},
		{"jwks_uri", &m.JWKSURI, false},
		{"device_authorization_endpoint", &m.DeviceAuthorizationEndpoint, false},
		{"pushed_authorization_request_endpoint", &m.PushedAuthorizationEndpoint, false},
		{"registration_endpoint", &m.RegistrationEndpoint, false},
		{"end_session_endpoint", &m.EndSessionEndpoint, false},
	}
}

// Check refuses metadata without a usable token endpoint, or with an authorization endpoint
// that is not usable. Other endpoints that fob must not talk to are removed.
func (m *Metadata) Check() error {
	for _, endpoint := range m.endpoints() {
		if checkNamed(m.Issuer, m.MTLSEndpointAliases[endpoint.name]) != nil {
			delete(m.MTLSEndpointAliases, endpoint.name)
		}
		if err := checkNamed(m.Issuer, *endpoint.url); err == nil {
			continue
		} else if endpoint.required {
			return fmt.Errorf("%w: its %s: %w", httpclient.ErrMalformed, endpoint.name, err)
		}
		*endpoint.url = ""
	}
	return nil
}

// checkNamed rejects a URL that a server names, if fob must not request it: http although the
// server has https, for example an address on this machine.
func checkNamed(by, named string) error {
	if strings.HasPrefix(strings.ToLower(by), "https:") && strings.HasPrefix(strings.ToLower(named), "http:") {
		return fmt.Errorf("%q is not https", sanitize.Line(named))
	}
	return httpclient.CheckURL(named)
}
