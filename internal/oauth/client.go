package oauth

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"golang.org/x/oauth2"

	"github.com/fobcli/fob/internal/secret"
)

// Client is an OAuth client at one authorization server.
type Client struct {
	HTTP         *http.Client
	Metadata     *Metadata
	ClientID     string
	ClientSecret secret.Secret    // zero for a public client
	AuthStyle    oauth2.AuthStyle // never AuthStyleAutoDetect, which sends a request twice
	Now          func() time.Time

	skew time.Duration // of the server's clock, as its last answer showed it
}

// learnSkew compares the server's clock (RFC 9110 §6.6.1) with this machine's.
func (c *Client) learnSkew(h http.Header) {
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		c.skew = date.Sub(c.Now())
	}
}

// serverNow is the time at the server. What it dates is judged by its own clock.
func (c *Client) serverNow() time.Time { return c.Now().Add(c.skew) }

// The client authentication methods that fob speaks (RFC 7591 §2).
const (
	AuthNone  = "none"
	AuthBasic = "client_secret_basic"
	AuthPost  = "client_secret_post"
)

// AuthMethods returns the client authentication methods that fob speaks.
func AuthMethods() []string { return []string{AuthNone, AuthBasic, AuthPost} }

// UseAuthMethod settles how the client authenticates at the token endpoint. An
// empty method is chosen: none without a secret; with one, basic unless the
// server lists methods and basic is not among them (RFC 8414 §2).
func (c *Client) UseAuthMethod(method string) error {
	supported := c.Metadata.TokenEndpointAuthMethodsSupported
	if method == "" {
		switch {
		case c.ClientSecret.IsZero():
			method = AuthNone
		case len(supported) == 0 || slices.Contains(supported, AuthBasic):
			method = AuthBasic
		default:
			method = AuthPost
		}
	}
	if method != AuthNone && c.ClientSecret.IsZero() {
		return fmt.Errorf("%s needs a client secret", method)
	}
	switch method {
	case AuthNone, AuthPost:
		c.AuthStyle = oauth2.AuthStyleInParams
	case AuthBasic:
		c.AuthStyle = oauth2.AuthStyleInHeader
	default:
		return fmt.Errorf("fob does not speak the client authentication method %q", method)
	}
	return nil
}

// AuthMethod is how the client authenticates at the token endpoint.
func (c *Client) AuthMethod() string {
	switch {
	case c.ClientSecret.IsZero():
		return AuthNone
	case c.AuthStyle == oauth2.AuthStyleInHeader:
		return AuthBasic
	}
	return AuthPost
}
