package oauth

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/fobcli/fob/internal/discovery"
	"github.com/fobcli/fob/internal/secret"
)

// The token_type_hint of a revocation (RFC 7009 §2.1).
const (
	HintRefreshToken = "refresh_token"
	HintAccessToken  = "access_token"
)

// Revoke ends a token at the server (RFC 7009). ErrUnsupported: the server offers
// no revocation, or none for this kind of token.
func (c *Client) Revoke(ctx context.Context, token secret.Secret, hint string) error {
	if c.Metadata.RevocationEndpoint == "" {
		return ErrUnsupported
	}
	status, body, err := c.post(ctx, c.Metadata.RevocationEndpoint, url.Values{
		"token":           {token.Reveal()},
		"token_type_hint": {hint},
	}, nil)
	if err != nil {
		return err
	}
	// RFC 7009 says 200; 204 is what some servers send instead.
	if status == http.StatusOK || status == http.StatusNoContent {
		return nil
	}
	err = c.errorAnswer(status, body)
	if HasCode(err, "unsupported_token_type") {
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return err
}

// EndSessionURL is the page where a person ends their session at the server in a
// browser (OpenID Connect RP-Initiated Logout §2), or "". It holds no id_token: what
// a launcher is given, every process can read.
func EndSessionURL(m *discovery.Metadata, clientID string) (string, error) {
	if m.EndSessionEndpoint == "" {
		return "", nil
	}
	return withParams(m.EndSessionEndpoint, url.Values{"client_id": {clientID}})
}
