package session

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/discovery"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/sanitize"
)

// ServerMetadata is the metadata of a profile's server, overridden by the endpoints of the
// profile or its preset. If those suffice, nothing is requested.
func ServerMetadata(ctx context.Context, hc *http.Client, p config.Profile) (*discovery.Metadata, error) {
	m := &discovery.Metadata{Issuer: p.Issuer}
	if p.TokenEndpoint == "" || p.AuthorizationEndpoint == "" && p.Grant == "" {
		discovered, err := discovery.Discover(ctx, hc, p.Issuer)
		if err != nil {
			return nil, fmt.Errorf("learning about %s: %w", sanitize.Line(p.Issuer), err)
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

// defaultScopes are the profile's or its preset's, else what a login with a name and a refresh
// token requires, as far as the server supports it.
func defaultScopes(p config.Profile, m *discovery.Metadata) []string {
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

// CompleteScopes adds the scopes that an API names for itself, if it trusts the server and no
// others are configured, to those of a login with a name and a refresh token.
func CompleteScopes(ctx context.Context, hc *http.Client, p *config.Profile, m *discovery.Metadata) {
	if len(p.Resources) == 0 || len(p.WithProvider().Scopes) > 0 || p.Grant != "" {
		return
	}
	resource, err := discovery.DiscoverResource(ctx, hc, p.Resources[0])
	if err != nil || !slices.Contains(resource.AuthorizationServers, p.WithProvider().Issuer) {
		return // it is not bound to say anything
	}
	// A scope has no spaces or control characters (RFC 6749 §3.3).
	scopes := slices.DeleteFunc(slices.Clone(resource.ScopesSupported), func(s string) bool { return !sanitize.IsVisibleASCII(s) })
	if len(scopes) > 0 {
		more := slices.DeleteFunc(defaultScopes(*p, m), func(s string) bool { return slices.Contains(scopes, s) })
		p.Scopes = append(scopes, more...)
	}
}

// AuthorizationParams are what a profile's login requests. The parameters are the preset's;
// otherwise OIDC Core §11 requires prompt=consent for offline_access.
func AuthorizationParams(p config.Profile, m *discovery.Metadata) oauth.AuthorizationParams {
	params := oauth.AuthorizationParams{Scopes: defaultScopes(p, m), Resources: p.Resources}
	if provider, ok := config.FindProvider(p.Provider); ok && len(provider.AuthParams) > 0 {
		params.Extra = provider.AuthParams
	} else if m.OpenID && slices.Contains(params.Scopes, "offline_access") {
		params.Extra = map[string]string{"prompt": "consent"}
	}
	return params
}
