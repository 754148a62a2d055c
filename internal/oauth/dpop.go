package oauth

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"

	"github.com/fobcli/fob/internal/jwt"
	"github.com/fobcli/fob/internal/secret"
)

// Proof returns a DPoP proof for one request (RFC 9449 §4.2) with method and URL.
// accessToken is the one in the request (zero at the token endpoint), nonce the server's or
// empty.
func (c *Client) Proof(method, rawURL, nonce string, accessToken secret.Secret) (string, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return "", fmt.Errorf("a DPoP proof: %w", err)
	}
	u.RawQuery, u.Fragment, u.ForceQuery = "", "", false
	claims := map[string]any{
		"jti": randomText(),
		"htm": method,
		"htu": u.String(),
		"iat": c.ServerNow().Unix(),
	}
	if !accessToken.IsZero() {
		sum := sha256.Sum256([]byte(accessToken.Reveal()))
		claims["ath"] = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	if nonce != "" {
		claims["nonce"] = nonce
	}
	return c.DPoPKey.SignJWT(jwt.Header{Type: "dpop+jwt", EmbedKey: true}, claims, nil)
}

// wantsNonce reports whether the token endpoint requires the request to be repeated with
// the nonce in its response (RFC 9449 §8).
func (c *Client) wantsNonce(status int, body []byte) bool {
	return status == http.StatusBadRequest && c.dpopNonce != "" && HasCode(c.responseError(status, body), "use_dpop_nonce")
}
