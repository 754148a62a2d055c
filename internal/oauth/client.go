// Package oauth implements an OAuth client: registration, grants (authorization code with
// PKCE, device, client credentials, token exchange, JWT bearer), tokens bound to a key,
// userinfo and revocation.
package oauth

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/fobcli/fob/internal/discovery"
	"github.com/fobcli/fob/internal/httpclient"
	"github.com/fobcli/fob/internal/jwt"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/secret"
)

// Client is an OAuth client at one authorization server.
type Client struct {
	HTTP         *http.Client
	Metadata     *discovery.Metadata
	ClientID     string
	ClientSecret secret.Secret // zero for a public client
	ClientKey    jwt.Key       // of private_key_jwt
	AuthMethod   string        // one of AuthMethods, set by UseAuthMethod; empty is AuthNone
	// AssertionAudience is the audience of a client's JWTs: AudienceIssuer, the default, or
	// AudienceEndpoint.
	AssertionAudience string
	IssRequired       bool    // callbacks must contain iss, whatever the metadata promise
	DPoPKey           jwt.Key // binds tokens (RFC 9449); zero: bearer tokens
	Now               func() time.Time

	skew       time.Duration // of the server's clock, by its last response
	dpopNonce  string        // from the server's last response (RFC 9449 §8)
	retryAfter time.Duration // from the server's last response; 0: none

	sent []secret.Secret // in the last request: the response may repeat them
}

// learn records from a response the difference between the server's clock (RFC 9110 §6.6.1)
// and this machine's, the time before the next request (§10.2.3, in seconds), and the nonce
// for the next DPoP proof.
func (c *Client) learn(h http.Header) {
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		c.skew = date.Sub(c.Now())
	}
	c.retryAfter = parseSeconds([]byte(h.Get("Retry-After")), maxCodeLife)
	if nonce := h.Get("DPoP-Nonce"); nonce != "" {
		c.dpopNonce = nonce
	}
}

// ServerNow returns the time by the server's clock, to validate what it dated.
func (c *Client) ServerNow() time.Time { return c.Now().Add(c.skew) }

// CheckURL accepts a URL for requests or for the browser (see httpclient.CheckURL).
func CheckURL(raw string) error { return httpclient.CheckURL(raw) }

// CheckResource accepts a resource indicator: an absolute URI without a fragment (RFC 8707
// §2). If it is an http(s) URL, CheckURL must accept it.
func CheckResource(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme == "" || u.Scheme == "https" || u.Scheme == "http" {
		return CheckURL(raw)
	}
	if !sanitize.IsVisibleASCII(raw) || u.Opaque == "" && u.Host == "" || strings.Contains(raw, "#") {
		return fmt.Errorf("%q is not an absolute URI", sanitize.Line(raw))
	}
	return nil
}
