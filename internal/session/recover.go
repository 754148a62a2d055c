package session

import (
	"context"
	"fmt"
	"strings"

	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/seal"
)

// ProfileOf returns the profile of a stored login, as far as its record has the settings. The
// first read is not authenticated: it only provides what the second one is bound to.
func ProfileOf(ctx context.Context, store *credstore.Store, name string) (config.Profile, error) {
	p := config.Profile{Name: name, Storage: store.Backend()}
	stored, err := store.Claims().Get(ctx, seal.Context{Kind: "login", Profile: name})
	if err != nil {
		return p, err
	}
	claim, err := parseRecord(stored)
	if err != nil {
		return p, err
	}
	p.ClientID, p.Issuer = claim.ClientID, claim.Metadata.Issuer
	if p.Issuer == "" {
		p.TokenEndpoint = claim.Metadata.TokenEndpoint
	}
	r, err := (&Session{Profile: p, Store: store}).loadAny(ctx)
	if err != nil {
		return p, err
	}
	if p.Issuer == "" {
		p.RevocationEndpoint, p.UserinfoEndpoint = r.Metadata.RevocationEndpoint, r.Metadata.UserinfoEndpoint
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
		return p, fmt.Errorf("its record does not name the profile of the setting via%.0w", ErrLoginRequired)
	}
	p.NameIssuer()
	return p, nil
}
