package discovery

import (
	"context"
	"fmt"
	"net/http"

	"github.com/fobcli/fob/internal/httpclient"
	"github.com/fobcli/fob/internal/sanitize"
)

// ProtectedResource is what an API says of itself (RFC 9728 §2).
type ProtectedResource struct {
	Resource             string   `json:"resource"`
	AuthorizationServers []string `json:"authorization_servers"` // issuers, one at least
	ScopesSupported      []string `json:"scopes_supported"`
}

// DiscoverResource asks an API which authorization servers it trusts. The resource
// in the answer must equal the given one byte for byte (RFC 9728 §3.3).
func DiscoverResource(ctx context.Context, hc *http.Client, resource string) (*ProtectedResource, error) {
	if err := httpclient.CheckURL(resource); err != nil {
		return nil, err
	}
	var p ProtectedResource
	if err := httpclient.GetJSON(ctx, hc, wellKnown(resource, "oauth-protected-resource"), &p); err != nil {
		return nil, httpclient.Classify(err)
	}
	if p.Resource != resource {
		return nil, fmt.Errorf("%w: it calls itself %q, not %q", httpclient.ErrMalformed, sanitize.Line(p.Resource), sanitize.Line(resource))
	}
	if len(p.AuthorizationServers) == 0 {
		return nil, fmt.Errorf("%w: it names no authorization server", httpclient.ErrMalformed)
	}
	for _, issuer := range p.AuthorizationServers {
		if err := httpclient.CheckURL(issuer); err != nil {
			return nil, fmt.Errorf("%w: its authorization server: %w", httpclient.ErrMalformed, err)
		}
		if isDowngrade(resource, issuer) {
			return nil, fmt.Errorf("%w: its authorization server: %q is not https", httpclient.ErrMalformed, sanitize.Line(issuer))
		}
	}
	return &p, nil
}
