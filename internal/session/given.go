package session

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/secret"
)

// Given is a refresh token that the environment holds, for machines that keep
// nothing. Metadata learns the server's endpoints, when a request must be made.
type Given struct {
	Variable     string // its name, for messages
	RefreshToken secret.Secret
	Metadata     func(context.Context) (*oauth.Metadata, error)
}

// GivenToken is Token for a refresh token that is given. Its processes share one
// cached access token, sealed under a key that only the refresh token gives; where
// the server replaces that, the variable is spent, and it is said.
func (s *Session) GivenToken(ctx context.Context, given Given, opts TokenOptions) (*Token, error) {
	h, err := given.head()
	if err != nil {
		return nil, err
	}
	if token, err := s.cached(h, opts); token != nil || err != nil {
		return token, err
	}
	lock, err := s.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer lock.Release()
	if token, err := s.cached(h, opts); token != nil || err != nil {
		return token, err
	}
	metadata, err := given.Metadata(ctx)
	if err != nil {
		return nil, err
	}
	client := &oauth.Client{HTTP: s.HTTP, Metadata: metadata, ClientID: s.Profile.ClientID, Now: s.Clock.Now}
	if err := client.UseAuthMethod(oauth.AuthNone); err != nil {
		return nil, err
	}
	response, err := client.Refresh(ctx, given.RefreshToken)
	if oauth.IsInvalidGrant(err) {
		return nil, fmt.Errorf("the server refuses the refresh token in %s (%w): %w", given.Variable, err, ErrLoginRequired)
	}
	if err != nil {
		return nil, fmt.Errorf("refreshing with %s: %w", given.Variable, err)
	}
	access, err := response.AccessToken()
	if err != nil {
		return nil, err
	}
	fresh := s.newAccessToken(access, response.Scope(), true)
	if err := s.cache().seal(h, fresh); err != nil {
		s.Warn(fmt.Sprintf("the access token could not be cached, the next call refreshes again: %v", err))
	}
	if next := response.RefreshToken; !next.IsZero() && next != given.RefreshToken {
		s.Warn(fmt.Sprintf("the server has replaced the refresh token in %s: the variable is spent once this access token ends. "+
			"Use a login that the server does not rotate, or the machine's own identity", given.Variable))
	}
	return fresh.token(), nil
}

// head makes the cache's key from the refresh token: HKDF-SHA256 (RFC 5869).
func (g Given) head() (head, error) {
	if g.RefreshToken.IsZero() {
		return head{}, errors.New("there is no refresh token")
	}
	key, err := hkdf.Key(sha256.New, []byte(g.RefreshToken.Reveal()), nil, "fob1 cache of a given refresh token", 32)
	return head{Refreshes: true, CacheKey: sealedSecret{secret.New(base64.StdEncoding.EncodeToString(key))}}, err
}
