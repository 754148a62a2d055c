package session

import (
	"context"
	"fmt"
	"strings"

	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/seal"
)

// ProfileOf returns the profile of a stored login, as far as its record has the settings.
func ProfileOf(ctx context.Context, store *credstore.Store, name string) (config.Profile, error) {
	p := config.Profile{Name: name, Storage: store.Backend()}
	stored, err := store.Claims().Get(ctx, seal.Context{Kind: "login", Profile: name})
	if err != nil {
		return p, err
	}
	r, err := parseRecord(stored)
	if err != nil {
		return p, err
	}
	m := r.Metadata
	p.ClientID, p.Issuer = r.ClientID, m.Issuer
	if m.Issuer == "" {
		p.TokenEndpoint, p.RevocationEndpoint, p.UserinfoEndpoint = m.TokenEndpoint, m.RevocationEndpoint, m.UserinfoEndpoint
	}
	for _, preset := range config.Providers() {
		if (config.Profile{Provider: preset.Name}).WithProvider().Authority() == p.Authority() {
			p = config.Profile{Name: name, Storage: p.Storage, Provider: preset.Name, ClientID: p.ClientID}
		}
	}
	p.Scopes, p.Grant, p.DPoP = strings.Fields(r.Scope), r.Grant, !r.DPoPKey.IsZero()
	p.TokenEndpointAuthMethod, p.ClientAssertionAudience = r.AuthMethod, r.Audience
	if r.Resource != "" {
		p.Resources = []string{r.Resource}
	}
	if p.Grant == config.GrantIDJAG {
		return p, fmt.Errorf("its record does not name the profile of the setting via: %w", ErrLoginRequired)
	}
	p.NameIssuer()
	_, err = (&Session{Profile: p.WithProvider(), Store: store}).loadAny(ctx) // authenticates all of this
	return p, err
}
