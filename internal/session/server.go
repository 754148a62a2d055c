package session

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"

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
	for endpoint, explicit := range map[*string]string{
		&m.AuthorizationEndpoint:       p.AuthorizationEndpoint,
		&m.TokenEndpoint:               p.TokenEndpoint,
		&m.RevocationEndpoint:          p.RevocationEndpoint,
		&m.UserinfoEndpoint:            p.UserinfoEndpoint,
		&m.DeviceAuthorizationEndpoint: p.DeviceAuthorizationEndpoint,
	} {
		if explicit == "" {
			continue
		}
		if err := oauth.CheckURL(explicit); err != nil {
			return nil, err
		}
		*endpoint = explicit
	}
	if p.CertificateFile == "" {
		return m, nil
	}
	return m.ForCertificate()
}

// OfflineAccess is the scope that asks for a refresh token (OIDC Core §11).
const OfflineAccess = "offline_access"

// defaultScopes are the profile's or its preset's, else what a login with a name and a refresh
// token requires, as far as the server supports it.
func defaultScopes(p config.Profile, m *discovery.Metadata) []string {
	if len(p.Scopes) > 0 || p.Grant != "" {
		return p.Scopes
	}
	var scopes []string
	for _, scope := range []string{"openid", "profile", "email", OfflineAccess} {
		if slices.Contains(m.ScopesSupported, scope) || len(m.ScopesSupported) == 0 && m.OpenID {
			scopes = append(scopes, scope)
		}
	}
	return scopes
}

// CompleteScopes sets the scopes of a login to an API: the configured ones, else those that
// the API requires, with offline_access where the server supports it. To step up, it adds
// those of the challenge. Without the API's metadata it only steps up.
func CompleteScopes(p *config.Profile, m *discovery.Metadata, api *discovery.ProtectedResource, stepUp bool) {
	if api == nil || p.Grant != "" && p.Grant != config.GrantIDJAG {
		return
	}
	scopes := defaultScopes(p.WithProvider(), m)
	if api.Resource != "" {
		if scopes = p.WithProvider().Scopes; len(scopes) == 0 {
			scopes = api.Scopes()
			if p.Grant == "" && slices.Contains(m.ScopesSupported, OfflineAccess) {
				scopes = union(scopes, []string{OfflineAccess})
			}
		}
		p.Scopes = scopes
	}
	if stepUp && len(api.Challenge.Scopes) > 0 {
		p.Scopes = union(scopes, api.Challenge.Scopes)
	}
}

func union(scopes, more []string) []string {
	return append(slices.Clone(scopes), slices.DeleteFunc(slices.Clone(more), func(scope string) bool { return slices.Contains(scopes, scope) })...)
}

// AuthorizationParams are what a profile's login requests. The parameters are the preset's;
// otherwise OIDC Core §11 requires prompt=consent for offline_access. An API that names its
// scopes, or none, is asked for nothing else.
func AuthorizationParams(p config.Profile, m *discovery.Metadata, api *discovery.ProtectedResource) oauth.AuthorizationParams {
	params := oauth.AuthorizationParams{Scopes: p.Scopes, Resources: p.Resources, Details: p.AuthorizationDetails, Extra: map[string]string{}}
	if api == nil || api.Resource == "" {
		params.Scopes = defaultScopes(p, m)
	}
	if provider, ok := config.FindProvider(p.Provider); ok && len(provider.AuthParams) > 0 {
		maps.Copy(params.Extra, provider.AuthParams)
	} else if m.OpenID && slices.Contains(params.Scopes, OfflineAccess) {
		params.Extra["prompt"] = "consent"
	}
	if api == nil || api.Challenge == nil {
		return params
	}
	if acr := api.Challenge.ACRValues; acr != "" { // RFC 9470 §4
		params.Extra["acr_values"] = acr
	}
	if age := api.Challenge.MaxAge; age >= 0 {
		params.Extra["max_age"] = strconv.Itoa(int(age.Seconds()))
	}
	return params
}
