package session

import (
	"cmp"
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/filelock"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/secret"
)

// EnvToken is Token for a refresh token in a variable of the environment, for machines that
// store nothing. All processes share one cached access token, sealed under a key derived from
// the refresh token. If the server rotates it, the variable no longer works, and EnvToken prints
// a warning.
func (s *Session) EnvToken(ctx context.Context, variable string, refreshToken secret.Secret, opts TokenOptions) (*Token, error) {
	h, err := headOf(refreshToken)
	if err != nil {
		return nil, err
	}
	if token, err := s.cached(h, opts); token != nil || err != nil {
		return token, err
	}
	lock, err := s.lock(ctx)
	switch {
	case err == nil:
		defer lock.Release()
	case !errors.Is(err, filelock.ErrUnwritable): // without a writable folder nothing is shared either
		return nil, err
	}
	if token, err := s.cached(h, opts); token != nil || err != nil {
		return token, err
	}
	client, err := s.keylessClient(ctx)
	if err != nil {
		return nil, err
	}
	response, err := client.Refresh(ctx, refreshToken, oauth.Target{Scope: opts.Scope, Resource: s.resource(opts.Target)})
	if oauth.EndsLogin(err) {
		err = fmt.Errorf("the server refuses the refresh token in %s (%w)%.0w", variable, err, ErrLoginRequired)
		return nil, errors.Join(err, s.dropCaches())
	}
	if err != nil {
		return nil, fmt.Errorf("refreshing with %s: %w", variable, err)
	}
	fresh, err := s.accept(response, opts.Target, "", true)
	if err != nil {
		return nil, err
	}
	if next := response.RefreshToken; !next.IsZero() && next != refreshToken {
		s.Warn(fmt.Sprintf("the server has replaced the refresh token in %s: the variable is useless once this access token expires. "+
			"Use the machine's own identity instead (workload identity): see 'fob login --help', --grant token-exchange", variable))
	}
	return s.cacheToken(h, fresh, opts)
}

func (s *Session) resource(t Target) string {
	if t.Resource == "" && len(s.Profile.Resources) > 0 {
		return s.Profile.Resources[0]
	}
	return t.Resource
}

// ErrUnbound means that a profile requires tokens bound to a key (RFC 9449), and there is
// no login with a key.
var ErrUnbound = errors.New("its tokens are to be bound to a key, and no login holds one")

// keylessClient returns the client of a profile for which nothing is stored: a public one,
// or one whose key is in a file.
func (s *Session) keylessClient(ctx context.Context) (*oauth.Client, error) {
	if s.Profile.DPoP {
		return nil, fmt.Errorf("profile %q: %w", s.Profile.Name, ErrUnbound)
	}
	metadata, err := ServerMetadata(ctx, s.HTTP, s.Profile)
	if err != nil {
		return nil, err
	}
	client := &oauth.Client{HTTP: s.HTTP, Metadata: metadata, ClientID: s.Profile.ClientID, AssertionAudience: s.Profile.ClientAssertionAudience, Now: s.Clock.Now}
	if s.Profile.PrivateKeyFile != "" {
		if client.ClientKey, err = s.KeyFile(); err != nil {
			return nil, err
		}
	}
	return client, client.UseAuthMethod(s.Profile.TokenEndpointAuthMethod)
}

// IdentityToken exchanges a machine's own identity for an access token, with the profile's
// grant. Nothing is stored.
func (s *Session) IdentityToken(ctx context.Context, identity secret.Secret, opts TokenOptions) (*Token, error) {
	client, err := s.keylessClient(ctx)
	if err != nil {
		return nil, err
	}
	want := oauth.Target{Scope: cmp.Or(opts.Scope, strings.Join(s.Profile.Scopes, " ")), Resource: s.resource(opts.Target), Audience: s.Profile.Audience, Details: s.Profile.AuthorizationDetails}
	var response *oauth.TokenResponse
	if s.Profile.Grant == config.GrantJWTBearer {
		response, err = client.JWTBearer(ctx, identity, want)
	} else {
		response, err = client.TokenExchange(ctx, identity, cmp.Or(s.Profile.SubjectTokenType, oauth.TokenTypeJWT), want)
	}
	if err != nil {
		return nil, fmt.Errorf("exchanging the machine's identity for a token: %w", err)
	}
	fresh, err := s.accept(response, opts.Target, want.Scope, false)
	if err != nil {
		return nil, err
	}
	return fresh.token(s.Clock), nil
}

// headOf derives the cache's key from a refresh token: HKDF-SHA256 (RFC 5869).
func headOf(refreshToken secret.Secret) (head, error) {
	if refreshToken.IsZero() {
		return head{}, errors.New("there is no refresh token")
	}
	key, err := hkdf.Key(sha256.New, []byte(refreshToken.Reveal()), nil, "fob1 cache of a given refresh token", 32)
	return head{Refreshes: true, CacheKey: sealedSecret{secret.New(base64.StdEncoding.EncodeToString(key))}}, err
}
