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

// readToken returns the token in a file, or nil if there is none that opens: a file that
// is gone, damaged or sealed under an older login's key costs one request. A file that
// others could have planted is an error.
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

// defaultLifetime stands in where the server did not say how long an access
// token lives and a refresh token can replace it.
const defaultLifetime = 5 * time.Minute

// accept judges the access token that came for a target, whatever the grant. One with
// more scopes than the target names is oauth.ErrUnsupported. Where neither the server
// nor the target names any, they are those of usual (RFC 6749 §5.1).
func (s *Session) accept(response *oauth.TokenResponse, t Target, usual string, refreshable bool) (*accessToken, error) {
	access, err := response.AccessToken()
	if err != nil {
		return nil, err
	}
	scope := cmp.Or(response.Scope(), t.Scope, usual)
	if t.Scope != "" && NewTarget([]string{scope, t.Scope}, "").Scope != t.Scope {
		return nil, fmt.Errorf("%w: it gave more scopes than were asked for", oauth.ErrUnsupported)
	}
	return s.newAccessToken(access, scope, refreshable), nil
}

// newAccessToken is what is kept of a token endpoint's answer.
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

// withIDToken keeps the id_token that came with an access token.
func (t *accessToken) withIDToken(raw string, checked *idtoken.Token) {
	if checked != nil {
		t.IDToken, t.IDTokenExpiresAt = sealedSecret{secret.New(raw)}, checked.ExpiresAt
	}
}

// forIDToken is what a caller who wants the id_token judges: its own end.
func (t *accessToken) forIDToken() *accessToken {
	if t.IDToken.IsZero() {
		return nil
	}
	id := *t
	id.ExpiresAt = t.IDTokenExpiresAt
	return &id
}

// outlives reports whether the token is good for minTTL more. A token without
// an expiry is good until a server refuses it.
func (t *accessToken) outlives(c Clock, minTTL time.Duration) bool {
	if t.ExpiresAt.IsZero() {
		return true
	}
	age, known := c.since(t.IssuedAt, t.Uptime)
	return known && t.IssuedAt.Add(age).Add(minTTL).Before(t.ExpiresAt) // sums of durations overflow
}

func (t *accessToken) lifetime() time.Duration { return t.ExpiresAt.Sub(t.IssuedAt) }

// DropToken deletes the cached access token that a server has refused, so that the next
// call refreshes, and nothing else of the login. One that a sibling has put there
// meanwhile stays; a zero refused is whatever is there. The token of a login that cannot
// refresh stays: where it is that which was refused, the error is ErrLoginRequired.
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
