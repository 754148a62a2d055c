package session

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/fobcli/fob/internal/filelock"
	"github.com/fobcli/fob/internal/secret"
)

// Role is what another service grants for a token of the login, such as an AWS role. Its
// credentials are cached beside the login's tokens, and expire with the login.
type Role struct {
	Key          string        // tells it from other roles
	MinTTL       time.Duration // for which the credentials must be valid
	ForceRefresh bool
	Fetch        func(ctx context.Context) (credentials secret.Secret, expires time.Time, err error)
}

// RoleCredentials returns the cached credentials if they are still valid, else new ones.
// However many processes of this login want them at once, Fetch is called once.
func (s *Session) RoleCredentials(ctx context.Context, r Role) (secret.Secret, error) {
	if value, err := s.cachedRole(ctx, r); err != nil || !value.IsZero() {
		return value, err
	}
	// Not the login's lock: Fetch takes that for its token.
	lock, err := filelock.Acquire(ctx, filepath.Join(s.Paths.Data, "locks", s.Profile.Name+".kept.lock"), lockWait)
	if err != nil {
		return secret.Secret{}, err
	}
	defer lock.Release()
	if value, err := s.cachedRole(ctx, r); err != nil || !value.IsZero() {
		return value, err
	}
	value, expires, err := r.Fetch(ctx)
	if err != nil {
		return secret.Secret{}, err
	}
	h, _, err := s.peek(ctx) // a new login may have come in between
	if err == nil {
		err = s.roleFile(r).seal(h, &accessToken{Value: sealedSecret{value}, IssuedAt: s.Clock.Now(), ExpiresAt: expires, Uptime: s.Clock.Uptime()})
	}
	if err != nil {
		s.Warn(fmt.Sprintf("the credentials could not be cached, the next call requests them again: %v", err))
	}
	return value, nil
}

func (s *Session) roleFile(r Role) cacheFile {
	return s.cacheFile(s.Paths.Cache, "tokens", "kept").apart("kept\n" + r.Key)
}

// cachedRole is the zero Secret where nothing that is still valid is cached.
func (s *Session) cachedRole(ctx context.Context, r Role) (secret.Secret, error) {
	h, _, err := s.peek(ctx)
	if err == nil {
		err = s.ended(h, TokenOptions{})
	}
	if err != nil || r.ForceRefresh {
		return secret.Secret{}, err
	}
	cached, err := s.roleFile(r).readToken(h)
	if err != nil || cached == nil || !cached.outlives(s.Clock, r.MinTTL) {
		return secret.Secret{}, err
	}
	return cached.Value.Secret, nil
}
