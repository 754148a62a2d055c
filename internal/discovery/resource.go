package discovery

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/fobcli/fob/internal/httpclient"
	"github.com/fobcli/fob/internal/sanitize"
)

// ProtectedResource is an API's metadata (RFC 9728 §2).
type ProtectedResource struct {
	Resource             string   `json:"resource"`              // its identifier, as published
	AuthorizationServers []string `json:"authorization_servers"` // issuers, at least one
	ScopesSupported      []string `json:"scopes_supported"`

	Challenge *Challenge `json:"-"` // from the API; nil: it sent none
}

// Trusts reports whether the API lists an issuer.
func (p *ProtectedResource) Trusts(issuer string) bool {
	return slices.Contains(p.AuthorizationServers, issuer)
}

// Scopes returns the scopes that the API requires: those of its challenge, else all of its
// metadata.
func (p *ProtectedResource) Scopes() []string {
	if p.Challenge != nil && len(p.Challenge.Scopes) > 0 {
		return p.Challenge.Scopes
	}
	return onlyScopes(p.ScopesSupported)
}

// onlyScopes returns valid scopes: without spaces and control characters (RFC 6749 §3.3).
func onlyScopes(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !sanitize.IsVisibleASCII(name) })
}

const resourceDocument = "oauth-protected-resource"

// FindResource fetches the metadata of the API at a URL: where its challenge says, else at
// the well-known place of its URL, else at that of its host (RFC 9728 §3.1, §5.1). Without
// a challenge, it requests the URL to get one.
func FindResource(ctx context.Context, hc *http.Client, resource string, challenge *Challenge) (*ProtectedResource, error) {
	if err := httpclient.CheckURL(resource); err != nil {
		return nil, err
	}
	if challenge == nil {
		challenge = ask(ctx, hc, resource)
	}
	places := []string{wellKnown(resource, resourceDocument), wellKnown(OriginOf(resource), resourceDocument)}
	if challenge != nil && challenge.ResourceMetadata != "" && checkNamed(resource, challenge.ResourceMetadata) == nil {
		places = append([]string{challenge.ResourceMetadata}, places...)
	}
	failed := &noMetadataError{}
	for _, place := range places {
		if slices.Contains(failed.urls, place) {
			continue
		}
		p, err := fetchResource(ctx, hc, resource, place)
		if err == nil {
			p.Challenge = challenge
			return p, nil
		}
		if _, answered := errors.AsType[*httpclient.StatusError](err); !answered && !errors.Is(err, httpclient.ErrNotJSON) {
			return nil, err
		}
		failed.urls, failed.errors = append(failed.urls, place), append(failed.errors, err)
	}
	return nil, failed
}

// ask requests an API without a token, and returns the challenge in its refusal, or nil.
func ask(ctx context.Context, hc *http.Client, resource string) *Challenge {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, resource, nil)
	if err != nil {
		return nil
	}
	req.Header.Set("Accept", "application/json, text/event-stream")
	resp, err := httpclient.WithoutRedirects(hc).Do(req)
	if err != nil {
		return nil
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusForbidden {
		return nil
	}
	challenge, _ := newChallenge(resp.Header.Values("WWW-Authenticate"))
	return challenge
}

func fetchResource(ctx context.Context, hc *http.Client, resource, place string) (*ProtectedResource, error) {
	var p ProtectedResource
	if err := httpclient.GetJSON(ctx, hc, place, &p); err != nil {
		return nil, err
	}
	if !p.describes(resource, place) {
		return nil, fmt.Errorf("%w: it calls itself %q, not %q", httpclient.ErrMalformed, sanitize.Line(p.Resource), sanitize.Line(resource))
	}
	if len(p.AuthorizationServers) == 0 {
		return nil, fmt.Errorf("%w: it names no authorization server", httpclient.ErrMalformed)
	}
	for _, issuer := range p.AuthorizationServers {
		if err := checkNamed(resource, issuer); err != nil {
			return nil, fmt.Errorf("%w: its authorization server: %w", httpclient.ErrMalformed, err)
		}
	}
	return &p, nil
}

// describes reports whether metadata from a place may be used for an API (RFC 9728 §3.3):
// they must name its URL, or else be at the well-known place of the resource that they
// name, of which the API is a part. Any other document could request tokens for
// another's resource.
func (p *ProtectedResource) describes(resource, place string) bool {
	if p.Resource == resource {
		return true
	}
	return httpclient.CheckURL(p.Resource) == nil && place == wellKnown(p.Resource, resourceDocument) && Contains(p.Resource, resource)
}

// Contains reports whether a URL is at or below another one.
func Contains(above, below string) bool {
	a, err := url.Parse(above)
	b, otherErr := url.Parse(below)
	return err == nil && otherErr == nil && OriginOf(above) == OriginOf(below) &&
		strings.HasPrefix(strings.TrimSuffix(b.Path, "/")+"/", strings.TrimSuffix(a.Path, "/")+"/")
}

// OriginOf returns the scheme, host and port of a URL, as in an Origin header.
func OriginOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return raw
	}
	return u.Scheme + "://" + u.Host
}
