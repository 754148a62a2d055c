package session

import (
	"context"
	"errors"
	"slices"

	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/secret"
)

// Step is a token or registration that a logout revoked at the server, or failed to.
type Step struct {
	Token string // StepRefreshToken, StepAccessToken or StepRegistration
	Err   error  // nil: done. oauth.ErrUnsupported: the server has no way to do it
}

// What a logout revokes.
const (
	StepRefreshToken = "refresh token"
	StepAccessToken  = "access token"
	StepRegistration = "client registration"
)

// Revoke ends the login at the server and leaves its record here, for a login that is about
// to be replaced. If that fails, the record says that the login has ended. The leaked access
// tokens are revoked before the login's own one.
func (s *Session) Revoke(ctx context.Context, leaked ...secret.Secret) ([]Step, error) {
	lock, r, err := s.lockRecord(ctx, s.load)
	if err != nil {
		return nil, err
	}
	defer lock.Release()
	steps, err := s.revoke(ctx, r, leaked...)
	if err != nil || !slices.ContainsFunc(steps, func(step Step) bool { return step.Err == nil }) {
		return steps, err
	}
	// A token was revoked, so nothing cached may be used any more. The record stays usable
	// if the token that renews it was not revoked.
	renewing := StepRefreshToken
	if r.RefreshToken.IsZero() {
		renewing = StepAccessToken
	}
	ended := slices.ContainsFunc(steps, func(step Step) bool { return step.Token == renewing && step.Err == nil })
	if ended && !config.IsUnattended(r.Grant) {
		return steps, s.markEnded(context.WithoutCancel(ctx), r)
	}
	return steps, s.dropCaches()
}

// Logout ends the login at the server, then deletes it here, even if the server refused.
// What is needed to remove a client that fob registered stays, unless unregister removes it
// now. An unreadable record stays too, since its tokens could otherwise never be revoked;
// Forget deletes it.
func (s *Session) Logout(ctx context.Context, unregister bool) ([]Step, error) {
	lock, r, err := s.lockRecord(ctx, s.loadAny)
	if err != nil {
		return nil, err
	}
	defer lock.Release()
	if r.LoggedOut && !unregister {
		return nil, s.loadError(credstore.ErrNotFound)
	}
	steps, err := s.revoke(ctx, r)
	if err != nil {
		return nil, err
	}
	if unregister && r.Registration != nil {
		client := oauth.Registration{ManagementURI: r.Registration.URI, AccessToken: r.Registration.AccessToken.Secret}
		step := Step{StepRegistration, client.Unregister(ctx, s.HTTP)}
		if steps = append(steps, step); step.Err == nil || errors.Is(step.Err, oauth.ErrUnsupported) {
			r.Registration = nil
		}
	}
	if r.Registration == nil {
		return steps, s.forget(ctx)
	}
	return steps, errors.Join(s.save(ctx, r.withoutLogin()), s.dropFiles())
}

// Forget deletes the login only from this machine. It needs no key, so that it can delete
// records that cannot be opened.
func (s *Session) Forget(ctx context.Context) error {
	return s.Entry().Locked(ctx, func() error { return s.forget(ctx) })
}

func (s *Session) forget(ctx context.Context) error {
	return errors.Join(credstore.UnlessMissing(s.Store.Delete(ctx, s.context())), s.dropFiles())
}

// revoke revokes the refresh token first: most servers revoke its access tokens with it.
func (s *Session) revoke(ctx context.Context, r *record, tokens ...secret.Secret) ([]Step, error) {
	if _, err := s.recover(ctx, r); err != nil {
		return nil, err
	}
	client, err := s.client(r)
	if err != nil {
		return nil, err
	}
	var steps []Step
	for _, token := range []sealedSecret{r.RefreshToken, r.PreviousRefreshToken} {
		if !token.IsZero() {
			steps = append(steps, Step{StepRefreshToken, r.revoked(client.Revoke(ctx, token.Secret, oauth.HintRefreshToken))})
		}
	}
	access := r.AccessToken
	if access == nil {
		// A cache file that cannot be read has no token to revoke.
		access, _ = s.cache(Target{}).readToken(r.head)
	}
	if access != nil && access.outlives(s.Clock, 0) && !slices.Contains(tokens, access.Value.Secret) {
		tokens = append(tokens, access.Value.Secret)
	}
	for _, token := range tokens {
		steps = append(steps, Step{StepAccessToken, r.revoked(client.Revoke(ctx, token, oauth.HintAccessToken))})
	}
	return steps, nil
}

// ErrClientGone means that the server no longer knows the client that fob registered.
var ErrClientGone = errors.New("the server no longer knows the client that fob registered")

func (r *record) revoked(err error) error {
	if r.Registration != nil && oauth.HasCode(err, "invalid_client") {
		return ErrClientGone
	}
	return err
}

// A registered client outlives its login: a logout leaves a record with only the client, so
// that the next login uses it again, and it can be removed at the server.

func (r *record) withoutLogin() *record {
	return &record{
		head: head{Version: recordVersion, CacheKey: sealedSecret{newCacheKey()}, LoggedOut: true},
		body: body{
			Metadata: r.Metadata, AuthMethod: r.AuthMethod, ClientID: r.ClientID, ClientSecret: r.ClientSecret,
			Registration: r.Registration,
		},
	}
}

// SaveClient stores a client that was registered for a login, if nothing is stored for the
// profile: an interrupted login is then repeated with the same client.
func (s *Session) SaveClient(ctx context.Context, c *oauth.Client, registered *oauth.Registration) (saved bool, err error) {
	err = s.Entry().Locked(ctx, func() error {
		if _, err := s.loadAny(ctx); !errors.Is(err, ErrLoginRequired) {
			return nil //nolint:nilerr // what is stored stays, readable or not
		}
		saved = true
		r := &record{body: body{
			Metadata: c.Metadata.Pinned(), AuthMethod: c.AuthMethod, ClientID: c.ClientID, ClientSecret: sealedSecret{c.ClientSecret},
			Registration: &registration{URI: registered.ManagementURI, AccessToken: sealedSecret{registered.AccessToken}},
		}}
		return s.save(ctx, r.withoutLogin())
	})
	return saved, err
}
