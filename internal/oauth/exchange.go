package oauth

import (
	"context"
	"net/url"

	"github.com/fobcli/fob/internal/secret"
)

// TokenTypeJWT is the kind of token that a machine's identity is, where the server has
// no other name for it (RFC 8693 §3).
const TokenTypeJWT = "urn:ietf:params:oauth:token-type:jwt"

// TokenExchange gives a subject's token, of the named kind, for an access token (RFC
// 8693 §2.1).
func (c *Client) TokenExchange(ctx context.Context, subject secret.Secret, tokenType string, want Target) (*TokenResponse, error) {
	return c.grant(ctx, want.form(url.Values{
		"grant_type":           {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"subject_token":        {subject.Reveal()},
		"subject_token_type":   {tokenType},
		"requested_token_type": {"urn:ietf:params:oauth:token-type:access_token"},
	}))
}

// JWTBearer gives a JWT about a subject for an access token (RFC 7523 §2.1).
func (c *Client) JWTBearer(ctx context.Context, assertion secret.Secret, want Target) (*TokenResponse, error) {
	return c.grant(ctx, want.form(url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"},
		"assertion":  {assertion.Reveal()},
	}))
}
