package session

import (
	"context"
	"errors"

	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/secret"
)

// Step is one token that a logout revoked, or could not revoke.
type Step struct {
	Token string // "refresh token" or "access token"
	Err   error  // nil: revoked. oauth.ErrUnsupported: the server offers no revocation
}

// Revoke ends the login at the server and keeps it on this machine, for a login
// that is about to be replaced.
func (s *Session) Revoke(ctx context.Context) ([]Step, error) {
	lock, err := s.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer lock.Release()
	return s.revoke(ctx)
}

// Logout ends the login at the server, then deletes it from this machine, also
// where the server refused: the steps tell. A record that cannot be read is
// kept, since what it holds could then never be revoked; Forget deletes it.
func (s *Session) Logout(ctx context.Context) ([]Step, error) {
	lock, err := s.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer lock.Release()
	steps, err := s.revoke(ctx)
	if err != nil {
		return nil, err
	}
	return steps, s.forget(ctx)
}

// Forget deletes the login from this machine alone. It needs no key: a record
// that no longer opens is deleted too.
func (s *Session) Forget(ctx context.Context) error {
	lock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer lock.Release()
	return s.forget(ctx)
}

func (s *Session) forget(ctx context.Context) error {
	return errors.Join(s.deleteRecord(ctx), s.cache().drop(), s.journal().drop())
}

// ForgetRecord deletes the record alone, for a profile whose login has moved to
// another storage.
func (s *Session) ForgetRecord(ctx context.Context) error {
	lock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer lock.Release()
	return s.deleteRecord(ctx)
}

func (s *Session) deleteRecord(ctx context.Context) error {
	err := s.Store.Delete(ctx, s.context())
	if errors.Is(err, credstore.ErrNotFound) {
		return nil
	}
	return err
}

// revoke sends the refresh token first: most servers end its access tokens with it.
func (s *Session) revoke(ctx context.Context) ([]Step, error) {
	r, err := s.load(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := s.recover(ctx, r); err != nil {
		return nil, err
	}
	client, err := r.client(s.HTTP, s.Clock.Now)
	if err != nil {
		return nil, err
	}
	revoke := func(name string, token secret.Secret, hint string) Step {
		return Step{Token: name, Err: client.Revoke(ctx, token, hint)}
	}
	var steps []Step
	if !r.RefreshToken.IsZero() {
		steps = append(steps, revoke("refresh token", r.RefreshToken.Secret, oauth.HintRefreshToken))
	}
	access := r.AccessToken
	if access == nil {
		// A cache file that cannot be read holds nothing that could be sent.
		access, _ = s.readCache(r.head)
	}
	if access != nil && access.outlives(s.Clock, 0) {
		steps = append(steps, revoke("access token", access.Value.Secret, oauth.HintAccessToken))
	}
	return steps, nil
}
