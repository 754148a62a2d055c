// Package oauth is the protocol of an OAuth client: its registration, the ways to a
// token (an authorization code with PKCE, a device, a client's own or a machine's
// identity), how tokens are bound to a key, userinfo and revocation.
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
	AuthMethod   string        // one of AuthMethods, as UseAuthMethod settles; empty is AuthNone
	// AssertionAudience is who a client's JWTs are for: AudienceIssuer, also if empty, or
	// AudienceEndpoint.
	AssertionAudience string
	DPoPKey           jwt.Key // what tokens are bound to (RFC 9449); zero: bearer tokens
	Now               func() time.Time

	skew       time.Duration // of the server's clock, as its last answer showed it
	dpopNonce  string        // as the server's last answer gave it (RFC 9449 §8)
	retryAfter time.Duration // as the server's last answer asked; 0: it did not

	sent []secret.Secret // in the last request: its answer may repeat them
}

// learn takes from an answer how far the server's clock (RFC 9110 §6.6.1) is from
// this machine's, how long to wait before the next request (§10.2.3, in seconds), and
// the nonce of the next DPoP proof.
func (c *Client) learn(h http.Header) {
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		c.skew = date.Sub(c.Now())
	}
	c.retryAfter = parseSeconds([]byte(h.Get("Retry-After")), maxCodeLife)
	if nonce := h.Get("DPoP-Nonce"); nonce != "" {
		c.dpopNonce = nonce
	}
}

// ServerNow is the time at the server. What it dates is judged by its own clock.
func (c *Client) ServerNow() time.Time { return c.Now().Add(c.skew) }

// CheckURL accepts an address that fob may talk to, or send a person to (see
// httpclient.CheckURL).
func CheckURL(raw string) error { return httpclient.CheckURL(raw) }

// CheckResource accepts a resource indicator: an absolute URI without a fragment (RFC
// 8707 §2), which need not be an address. An address must be one that CheckURL accepts.
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
