package oauth

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/fobcli/fob/internal/jwt"
	"github.com/fobcli/fob/internal/sanitize"
)

// The client authentication methods that fob speaks (RFC 7591 §2, RFC 7523 §2.2,
// RFC 8705 §2).
const (
	AuthNone          = "none"
	AuthBasic         = "client_secret_basic"
	AuthPost          = "client_secret_post"
	AuthSecretJWT     = "client_secret_jwt"
	AuthKeyJWT        = "private_key_jwt"
	AuthTLS           = "tls_client_auth"
	AuthSelfSignedTLS = "self_signed_tls_client_auth"
)

// AuthMethods returns the client authentication methods that fob speaks.
func AuthMethods() []string {
	return []string{AuthNone, AuthBasic, AuthPost, AuthSecretJWT, AuthKeyJWT, AuthTLS, AuthSelfSignedTLS}
}

// The ways in which a client may not be able to authenticate.
var (
	ErrNoClientSecret = errors.New("it needs a client secret")
	ErrNoClientKey    = errors.New("it needs a private key")
)

// minHMACKey is what HS256 needs (RFC 7518 §3.2), in bytes.
const minHMACKey = 32

// UseAuthMethod settles how the client authenticates at the token endpoint. An
// empty method is chosen: by the key or the secret that there is; with a secret
// basic, unless the server lists methods and basic is not among them (RFC 8414 §2).
// A certificate needs none: it is shown with every request, and the two methods that
// are named after it say no more than AuthNone does (RFC 8705 §2).
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

// authenticate adds to a request's form and header what proves the client.
func (c *Client) authenticate(endpoint string, form url.Values, header http.Header) error {
	if c.AuthMethod == AuthBasic {
		// Both parts are form-encoded first (RFC 6749 §2.3.1).
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

// assertionLifetime is for one request, with a margin for two clocks.
const assertionLifetime = 2 * time.Minute

// Who a client's JWT is for (RFC 7523 §3).
const (
	// AudienceIssuer is the server by its issuer, as FAPI 2.0 wants it.
	AudienceIssuer = "issuer"
	// AudienceEndpoint is the URL that the JWT is sent to, and no other: whoever is there
	// can show it to nobody else. It is what servers want that do not know their issuer.
	AudienceEndpoint = "endpoint"
)

// AssertionAudiences returns what AssertionAudience may be.
func AssertionAudiences() []string { return []string{AudienceIssuer, AudienceEndpoint} }

// clientAssertion is a JWT by which the client proves itself, once (RFC 7523 §3).
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
