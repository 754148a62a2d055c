package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/fobcli/fob/internal/idtoken"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/secret"
)

// readToken returns the token in a file, or nil if the file is missing, damaged or sealed
// under an older login's key, which costs one request. A file that other users could have
// written is an error.
func (f cacheFile) readToken(h head) (*accessToken, error) {
	content, err := f.read()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var token accessToken
	if err := f.open(h, content, &token); err != nil {
		return nil, nil //nolint:nilerr // a cache that does not open is no cache
	}
	return &token, nil
}

// defaultLifetime is assumed for an access token without an expiry that can be refreshed.
const defaultLifetime = 5 * time.Minute

// accept checks the access token in a response, for any grant. One with more scopes than the
// target is oauth.ErrUnsupported. If neither the server nor the target names scopes, they are
// those of usual (RFC 6749 §5.1).
func (s *Session) accept(response *oauth.TokenResponse, t Target, usual string, refreshable bool) (*accessToken, error) {
	access, err := response.AccessToken()
	if err != nil {
		return nil, err
	}
	scope := cmp.Or(response.Scope(), t.Scope, usual)
	if t.Scope != "" && NewTarget([]string{scope, t.Scope}, "").Scope != t.Scope {
		return nil, fmt.Errorf("%w: it granted more scopes than were requested", oauth.ErrUnsupported)
	}
	return s.newAccessToken(access, scope, refreshable), nil
}

// newAccessToken is what is stored of a token endpoint's response.
func (s *Session) newAccessToken(t oauth.AccessToken, scope string, refreshable bool) *accessToken {
	expires := t.ExpiresAt
	if expires.IsZero() && refreshable {
		expires = t.IssuedAt.Add(defaultLifetime)
	}
	return &accessToken{
		Value:     sealedSecret{t.Value},
		Type:      t.Type,
		Scope:     scope,
		IssuedAt:  t.IssuedAt,
		ExpiresAt: expires,
		Uptime:    s.Clock.Uptime(),
	}
}

// withIDToken adds the id_token that came with an access token.
func (t *accessToken) withIDToken(raw string, checked *idtoken.Token) {
	if checked != nil {
		t.IDToken, t.IDTokenExpiresAt = sealedSecret{secret.New(raw)}, checked.ExpiresAt
	}
}

// forIDToken has the expiry of the id_token, for a caller that needs that.
func (t *accessToken) forIDToken() *accessToken {
	if t.IDToken.IsZero() {
		return nil
	}
	id := *t
	id.ExpiresAt = t.IDTokenExpiresAt
	return &id
}

// outlives reports whether the token is valid for another minTTL. One without an expiry is
// valid until a server refuses it.
func (t *accessToken) outlives(c Clock, minTTL time.Duration) bool {
	if t.ExpiresAt.IsZero() {
		return true
	}
	age, known := c.since(t.IssuedAt, t.Uptime)
	return known && t.IssuedAt.Add(age).Add(minTTL).Before(t.ExpiresAt) // sums of durations overflow
}

func (t *accessToken) lifetime() time.Duration { return t.ExpiresAt.Sub(t.IssuedAt) }

// DropToken deletes the cached access token if it is the refused one, or refused is zero, so
// that the next call refreshes. The token of a login that cannot refresh stays: if that was
// refused, the error is ErrLoginRequired.
func (s *Session) DropToken(ctx context.Context, refused secret.Secret) error {
	h, stored, err := s.peek(ctx)
	if err != nil {
		return err
	}
	if !h.Refreshes {
		r, err := s.whole(ctx, stored)
		if err == nil && r.AccessToken != nil && r.AccessToken.Value.Secret == refused {
			err = fmt.Errorf("the access token of profile %q was refused, and the server gave no refresh token: %w", s.Profile.Name, ErrLoginRequired)
		}
		return err
	}
	return s.locked(ctx, func() error {
		cached, err := s.cache(Target{}).readToken(h)
		if err != nil || cached == nil || !refused.IsZero() && cached.Value.Secret != refused {
			return err
		}
		return s.cache(Target{}).drop()
	})
}
