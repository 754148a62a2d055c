package session

import (
	"context"

	"github.com/fobcli/fob/internal/oauth"
)

// A registered client outlives its login: a logout leaves a record with only the client, so that
// the next login uses it again, and it can be removed at the server.

// withoutLogin is what a logout leaves of a record.
func (r *record) withoutLogin() *record {
	return &record{
		head: head{Version: recordVersion, CacheKey: sealedSecret{newCacheKey()}, LoggedOut: true},
		body: body{
			Metadata: r.Metadata, AuthMethod: r.AuthMethod, ClientID: r.ClientID, ClientSecret: r.ClientSecret,
			Registration: r.Registration,
		},
	}
}

// unregister removes the client at the server.
func (s *Session) unregister(ctx context.Context, r *record) Step {
	registered := oauth.Registration{ManagementURI: r.Registration.URI, AccessToken: r.Registration.AccessToken.Secret}
	return Step{Token: StepRegistration, Err: registered.Unregister(ctx, s.HTTP)}
}
