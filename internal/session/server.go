package session

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/discovery"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/safetext"
)

// ServerMetadata is what a profile's server says of itself, with the endpoints that the
// profile or its preset name laid over it. It asks nothing where those suffice.
func ServerMetadata(ctx context.Context, hc *http.Client, p config.Profile) (*discovery.Metadata, error) {
	m := &discovery.Metadata{Issuer: p.Issuer}
	if p.TokenEndpoint == "" || p.AuthorizationEndpoint == "" && p.Grant == "" {
		discovered, err := discovery.Discover(ctx, hc, p.Issuer)
		if err != nil {
			return nil, fmt.Errorf("learning about %s: %w", safetext.Line(p.Issuer), err)
		}
		m = discovered
	}
	for _, explicit := range []struct {
		url   string
		field *string
	}{
		{p.AuthorizationEndpoint, &m.AuthorizationEndpoint},
		{p.TokenEndpoint, &m.TokenEndpoint},
		{p.RevocationEndpoint, &m.RevocationEndpoint},
		{p.UserinfoEndpoint, &m.UserinfoEndpoint},
		{p.DeviceAuthorizationEndpoint, &m.DeviceAuthorizationEndpoint},
	} {
		if explicit.url == "" {
			continue
		}
		if err := oauth.CheckURL(explicit.url); err != nil {
			return nil, err
		}
		*explicit.field = explicit.url
	}
	if p.CertificateFile == "" {
		return m, nil
	}
	return m.ForCertificate()
}

// DefaultScopes are the profile's or its preset's, else what a login with a
// name and a refresh token needs, as far as the server supports it.
func DefaultScopes(p config.Profile, m *discovery.Metadata) []string {
	if len(p.Scopes) > 0 || p.Grant != "" {
		return p.Scopes
	}
	var scopes []string
	for _, scope := range []string{"openid", "profile", "email", "offline_access"} {
		if slices.Contains(m.ScopesSupported, scope) || len(m.ScopesSupported) == 0 && m.OpenID {
			scopes = append(scopes, scope)
		}
	}
	return scopes
}

// CompleteScopes takes the scopes that an API names for itself, where it trusts the
// server and nobody has named others, beside those of a login with a name and a
// refresh token.
func CompleteScopes(ctx context.Context, hc *http.Client, p *config.Profile, m *discovery.Metadata) {
	if len(p.Resources) == 0 || len(p.WithProvider().Scopes) > 0 || p.Grant != "" {
		return
	}
	resource, err := discovery.DiscoverResource(ctx, hc, p.Resources[0])
	if err != nil || !slices.Contains(resource.AuthorizationServers, p.WithProvider().Issuer) {
		return // it is not bound to say anything
	}
	// What holds blanks or controls cannot be a scope (RFC 6749 §3.3).
	scopes := slices.DeleteFunc(slices.Clone(resource.ScopesSupported), func(s string) bool { return !safetext.IsVisibleASCII(s) })
	if len(scopes) > 0 {
		more := slices.DeleteFunc(DefaultScopes(*p, m), func(s string) bool { return slices.Contains(scopes, s) })
		p.Scopes = append(scopes, more...)
	}
}

// AuthorizationParams are the preset's and the profile's resources; elsewhere OIDC Core §11
// wants prompt=consent before it grants offline_access.
func AuthorizationParams(p config.Profile, m *discovery.Metadata, scopes []string) url.Values {
	params := url.Values{}
	if len(p.Resources) > 0 {
		params["resource"] = p.Resources
	}
	if provider, ok := config.FindProvider(p.Provider); ok && len(provider.AuthParams) > 0 {
		for name, value := range provider.AuthParams {
			params.Set(name, value)
		}
	} else if m.OpenID && slices.Contains(scopes, "offline_access") {
		params.Set("prompt", "consent")
	}
	return params
}
