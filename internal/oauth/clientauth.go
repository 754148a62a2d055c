package oauth

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/fobcli/fob/internal/jwt"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/secret"
)

// The supported client authentication methods (RFC 7591 §2, RFC 7523 §2.2, RFC 8705 §2).
const (
	AuthNone          = "none"
	AuthBasic         = "client_secret_basic"
	AuthPost          = "client_secret_post"
	AuthSecretJWT     = "client_secret_jwt"
	AuthKeyJWT        = "private_key_jwt"
	AuthTLS           = "tls_client_auth"
	AuthSelfSignedTLS = "self_signed_tls_client_auth"
)

// AuthMethods returns the supported client authentication methods.
func AuthMethods() []string {
	return []string{AuthNone, AuthBasic, AuthPost, AuthSecretJWT, AuthKeyJWT, AuthTLS, AuthSelfSignedTLS}
}

// Why a client cannot authenticate.
var (
	ErrNoClientSecret = errors.New("it needs a client secret")
	ErrNoClientKey    = errors.New("it needs a private key")
)

// minHMACKey is the minimum for HS256 in bytes (RFC 7518 §3.2).
const minHMACKey = 32

// UseAuthMethod sets how the client authenticates at the token endpoint. An empty method
// selects one by the key or secret; with a secret, basic unless the server does not list it
// (RFC 8414 §2). With a certificate there is nothing to select: it is sent with every
// request, and its two methods equal AuthNone (RFC 8705 §2).
func (c *Client) UseAuthMethod(method string) error {
	method = cmp.Or(method, c.chooseAuthMethod())
	var err error
	switch method {
	case AuthNone, AuthTLS, AuthSelfSignedTLS:
	case AuthBasic, AuthPost:
		if c.ClientSecret.IsZero() {
			err = ErrNoClientSecret
		}
	case AuthSecretJWT:
		if len(c.ClientSecret.Reveal()) < minHMACKey {
			err = fmt.Errorf("%w of at least %d bytes", ErrNoClientSecret, minHMACKey)
		}
	case AuthKeyJWT:
		if c.ClientKey.IsZero() {
			err = ErrNoClientKey
		}
	default:
		return fmt.Errorf("fob does not speak the client authentication method %q", sanitize.Line(method))
	}
	if err != nil {
		return fmt.Errorf("the client authentication method %s: %w", method, err)
	}
	c.AuthMethod = method
	return nil
}

func (c *Client) chooseAuthMethod() string {
	supported := c.Metadata.TokenEndpointAuthMethodsSupported
	switch {
	case !c.ClientKey.IsZero():
		return AuthKeyJWT
	case c.ClientSecret.IsZero():
		return AuthNone
	case len(supported) == 0 || slices.Contains(supported, AuthBasic):
		return AuthBasic
	}
	return AuthPost
}

// authenticate adds the client's authentication to a request's form and header.
func (c *Client) authenticate(endpoint string, form url.Values, header http.Header) error {
	if c.AuthMethod == AuthBasic {
		// RFC 6749 §2.3.1: both parts are form-encoded.
		r := http.Request{Header: header}
		r.SetBasicAuth(url.QueryEscape(c.ClientID), url.QueryEscape(c.ClientSecret.Reveal()))
		return nil
	}
	form.Set("client_id", c.ClientID)
	switch c.AuthMethod {
	case AuthPost:
		form.Set("client_secret", c.ClientSecret.Reveal())
	case AuthSecretJWT, AuthKeyJWT:
		assertion, err := c.clientAssertion(endpoint)
		if err != nil {
			return fmt.Errorf("proving the client: %w", err)
		}
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", assertion)
	}
	return nil
}

// assertionLifetime is enough for one request and two clocks that differ.
const assertionLifetime = 2 * time.Minute

// Audiences of a client's JWT (RFC 7523 §3).
const (
	// AudienceIssuer is the server's issuer, as FAPI 2.0 requires.
	AudienceIssuer = "issuer"
	// AudienceEndpoint is the URL that the JWT is sent to: who receives it cannot use it
	// elsewhere. Servers without an issuer require it.
	AudienceEndpoint = "endpoint"
)

// AssertionAudiences returns the values of AssertionAudience.
func AssertionAudiences() []string { return []string{AudienceIssuer, AudienceEndpoint} }

// clientAssertion returns a JWT that authenticates the client once (RFC 7523 §3).
func (c *Client) clientAssertion(endpoint string) (string, error) {
	now := c.ServerNow()
	audience := cmp.Or(c.Metadata.Issuer, endpoint)
	if c.AssertionAudience == AudienceEndpoint {
		audience = endpoint
	}
	claims := map[string]any{
		"iss": c.ClientID,
		"sub": c.ClientID,
		"aud": audience,
		"jti": randomText(),
		"iat": now.Unix(),
		"exp": now.Add(assertionLifetime).Unix(),
	}
	if c.AuthMethod == AuthSecretJWT {
		return jwt.SignWithSecret(c.ClientSecret, claims)
	}
	return c.ClientKey.SignJWT(jwt.Header{Type: "JWT"}, claims, c.Metadata.TokenEndpointAuthSigningAlgorithms)
}

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
