package oauth

import (
	"context"
	"net/url"

	"github.com/fobcli/fob/internal/secret"
)

// The kinds of tokens that an exchange knows (RFC 8693 §3).
const (
	TokenTypeJWT         = "urn:ietf:params:oauth:token-type:jwt"
	TokenTypeIDToken     = "urn:ietf:params:oauth:token-type:id_token"
	TokenTypeAccessToken = "urn:ietf:params:oauth:token-type:access_token"
)

// ExchangeToken gives a subject's token, of the named kind, for an access token (RFC
// 8693 §2.1).
func (c *Client) ExchangeToken(ctx context.Context, subject secret.Secret, tokenType string, want Target) (*TokenResponse, error) {
	return c.grant(ctx, want.form(url.Values{
		"grant_type":           {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"subject_token":        {subject.Reveal()},
		"subject_token_type":   {tokenType},
		"requested_token_type": {TokenTypeAccessToken},
	}))
}

// BearAssertion gives a JWT about a subject for an access token (RFC 7523 §2.1).
func (c *Client) BearAssertion(ctx context.Context, assertion secret.Secret, want Target) (*TokenResponse, error) {
	return c.grant(ctx, want.form(url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"},
		"assertion":  {assertion.Reveal()},
	}))
}

// EndSessionURL is the page where a person ends their session at the server in a
// browser (OpenID Connect RP-Initiated Logout §2), or "". It holds no id_token: what
// a launcher is given, every process can read.
func (m *Metadata) EndSessionURL(clientID string) (string, error) {
	if m.EndSessionEndpoint == "" {
		return "", nil
	}
	return withParams(m.EndSessionEndpoint, url.Values{"client_id": {clientID}})
}
