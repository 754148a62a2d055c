package oauth

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/fobcli/fob/internal/discovery"
	"github.com/fobcli/fob/internal/httpclient"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/secret"
)

// Registration is a client that fob has registered (RFC 7591 §3.2.1).
type Registration struct {
	ClientID      string
	ClientSecret  secret.Secret // zero for a public client
	AuthMethod    string        // as registered
	ManagementURI string        // to remove the client (RFC 7592); empty: not supported
	AccessToken   secret.Secret // for the ManagementURI
}

// Register registers a native client with one loopback redirect. It is a public one, unless
// the server lists its authentication methods without none: then each machine gets its own
// secret (RFC 8252 §8.5). ErrUnsupported: the server has no registration.
func Register(ctx context.Context, hc *http.Client, m *discovery.Metadata, redirectURI string, grantTypes []string) (*Registration, error) {
	if m.RegistrationEndpoint == "" {
		return nil, fmt.Errorf("%w: it registers no clients", ErrUnsupported)
	}
	if m.AuthorizationEndpoint != "" && !sameSite(m.AuthorizationEndpoint, m.TokenEndpoint) {
		return nil, fmt.Errorf("%w: its login page is on another site than its token endpoint, which would get that site's codes", ErrMalformed)
	}
	request, err := json.Marshal(map[string]any{
		"client_name":                "fob",
		"application_type":           "native",
		"redirect_uris":              []string{redirectURI},
		"grant_types":                grantTypes,
		"response_types":             []string{"code"},
		"token_endpoint_auth_method": registeredMethod(m.TokenEndpointAuthMethodsSupported),
	})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.RegistrationEndpoint, bytes.NewReader(request))
	if err != nil {
		return nil, fmt.Errorf("%w: its registration endpoint is not a URL", ErrMalformed)
	}
	req.GetBody = nil
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	resp, err := httpclient.Do(hc, req)
	if err != nil {
		return nil, err
	}
	if !isSuccess(resp.Status) {
		return nil, responseError(resp.Status, resp.Body)
	}
	return parseRegistration(resp.Body, m.RegistrationEndpoint)
}

// registeredMethod selects an authentication method that the server supports.
func registeredMethod(supported []string) string {
	for _, method := range []string{AuthNone, AuthBasic, AuthPost} {
		if slices.Contains(supported, method) {
			return method
		}
	}
	return AuthNone
}

// parseRegistration only accepts a management URI on the endpoint's host: the
// registration's access token must not be sent elsewhere.
func parseRegistration(body []byte, endpoint string) (*Registration, error) {
	var answer struct {
		ClientID      string `json:"client_id"`
		ClientSecret  string `json:"client_secret"`
		AuthMethod    string `json:"token_endpoint_auth_method"`
		AccessToken   string `json:"registration_access_token"`
		ManagementURI string `json:"registration_client_uri"`
	}
	if json.Unmarshal(body, &answer) != nil || !sanitize.IsVisibleASCII(answer.ClientID) || len(answer.ClientID) > maxClientID {
		return nil, fmt.Errorf("%w: it registered no client", ErrMalformed)
	}
	r := &Registration{ClientID: answer.ClientID, ClientSecret: secret.New(answer.ClientSecret), AuthMethod: answer.AuthMethod}
	if r.ClientSecret.IsZero() {
		r.AuthMethod = AuthNone
	}
	if sanitize.IsVisibleASCII(answer.AccessToken) && CheckURL(answer.ManagementURI) == nil && sameHost(answer.ManagementURI, endpoint) {
		r.ManagementURI, r.AccessToken = answer.ManagementURI, secret.New(answer.AccessToken)
	}
	return r, nil
}

const maxClientID = 1024

func sameHost(a, b string) bool {
	u, err := url.Parse(a)
	v, otherErr := url.Parse(b)
	return err == nil && otherErr == nil && u.Scheme == v.Scheme && u.Host == v.Host
}

// sameSite reports whether two URLs have the same host, or hosts in the same registered
// domain. A malicious server could otherwise name another server's login page and a client
// ID known there, and be sent that login's code (RFC 9700 §4.4).
func sameSite(a, b string) bool {
	u, err := url.Parse(a)
	v, otherErr := url.Parse(b)
	if err != nil || otherErr != nil {
		return false
	}
	site := siteOf(u.Hostname())
	return strings.EqualFold(u.Hostname(), v.Hostname()) || site != "" && site == siteOf(v.Hostname())
}

// siteOf returns the registered domain of a host: two labels, or three for suffixes like
// co.uk. It is empty for IP addresses and names of one label.
func siteOf(host string) string {
	labels := strings.Split(strings.ToLower(strings.TrimSuffix(host, ".")), ".")
	last := len(labels) - 1
	if _, err := netip.ParseAddr(host); err == nil || last < 1 {
		return ""
	}
	from := last - 1
	if len(labels[last]) == 2 && slices.Contains([]string{"ac", "co", "com", "edu", "gov", "net", "org"}, labels[from]) {
		from--
	}
	if from < 0 {
		return ""
	}
	return strings.Join(labels[from:], ".")
}

// IsForgotten reports whether the server no longer knows the client: it checks the client
// before the code, which it cannot have issued (RFC 6749 §4.1.3).
func (c *Client) IsForgotten(ctx context.Context, redirectURI string) bool {
	request, err := c.NewAuthorizationRequest(redirectURI, AuthorizationParams{})
	if err == nil {
		_, err = c.Exchange(ctx, request, rand.Text())
	}
	return HasCode(err, "invalid_client")
}

// Unregister removes the client from the server (RFC 7592 §2.3), if it still knows it. ErrUnsupported: the server
// returned no management URI.
func (r *Registration) Unregister(ctx context.Context, hc *http.Client) error {
	if r.ManagementURI == "" {
		return ErrUnsupported
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, r.ManagementURI, nil)
	if err != nil {
		return fmt.Errorf("%w: its registration_client_uri is not a URL", ErrMalformed)
	}
	req.Header.Set("Authorization", TypeBearer+" "+r.AccessToken.Reveal())
	resp, err := httpclient.Do(hc, req)
	if err != nil {
		return err
	}
	switch status := resp.Status; {
	case isSuccess(status), status == http.StatusUnauthorized, status == http.StatusNotFound, status == http.StatusGone: // RFC 7592 §2.3: 401 for a client that does not exist
		return nil
	case status == http.StatusMethodNotAllowed || status == http.StatusNotImplemented:
		return ErrUnsupported
	}
	return withoutSecrets(responseError(resp.Status, resp.Body), []secret.Secret{r.AccessToken})
}
