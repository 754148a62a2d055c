package session

import (
	"context"

	"github.com/fobcli/fob/internal/oauth"
)

// A client that fob has registered outlives its login: a logout leaves a record that
// holds nothing else, so that the next login uses the client again, and so that it
// can be removed at the server.

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
