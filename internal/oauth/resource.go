package oauth

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/fobcli/fob/internal/httpclient"
	"github.com/fobcli/fob/internal/safetext"
)

// CheckResource accepts a resource indicator: an absolute URI without a fragment (RFC
// 8707 §2), which need not be an address. An address must be one that CheckURL accepts.
func CheckResource(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme == "" || u.Scheme == "https" || u.Scheme == "http" {
		return CheckURL(raw)
	}
	if !safetext.IsVisibleASCII(raw) || u.Opaque == "" && u.Host == "" || strings.Contains(raw, "#") {
		return fmt.Errorf("%q is not an absolute URI", safetext.Line(raw))
	}
	return nil
}

// ProtectedResource is what an API says of itself (RFC 9728 §2).
type ProtectedResource struct {
	Resource             string   `json:"resource"`
	AuthorizationServers []string `json:"authorization_servers"` // issuers, one at least
	ScopesSupported      []string `json:"scopes_supported"`
}

// DiscoverResource asks an API which authorization servers it trusts. The resource
// in the answer must equal the given one byte for byte (RFC 9728 §3.3).
func DiscoverResource(ctx context.Context, hc *http.Client, resource string) (*ProtectedResource, error) {
	if err := CheckURL(resource); err != nil {
		return nil, err
	}
	var p ProtectedResource
	if err := httpclient.GetJSON(ctx, hc, wellKnown(resource, "oauth-protected-resource"), &p); err != nil {
		return nil, unavailable(err)
	}
	if p.Resource != resource {
		return nil, fmt.Errorf("%w: it calls itself %q, not %q", ErrMalformed, safetext.Line(p.Resource), safetext.Line(resource))
	}
	if len(p.AuthorizationServers) == 0 {
		return nil, fmt.Errorf("%w: it names no authorization server", ErrMalformed)
	}
	for _, issuer := range p.AuthorizationServers {
		if err := CheckURL(issuer); err != nil {
			return nil, fmt.Errorf("%w: its authorization server: %w", ErrMalformed, err)
		}
	}
	return &p, nil
}
