package session

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/safetext"
	"github.com/fobcli/fob/internal/seal"
	"github.com/fobcli/fob/internal/secret"
)

// Login is what a finished login brings.
type Login struct {
	Client   *oauth.Client // its metadata is pinned
	Response *oauth.TokenResponse
	Scopes   []string // as requested
	Nonce    string   // of the request; empty: no id_token was asked for
	Brought  bool     // the user's own token: it is not revoked where it cannot be stored
}

// Saved tells what a stored login is good for.
type Saved struct {
	Account     Account
	Scope       string // as granted; where the server did not say, as requested
	Refreshable bool
	Token       Token
}

// Save checks who logged in, stores the login and replaces the one before:
// access tokens that the old one had cached no longer open. A login that cannot
// be stored is ended at the server again, and the old one stays.
func (s *Session) Save(ctx context.Context, login Login) (*Saved, error) {
	saved, err := s.checkAndStore(ctx, login)
	if err != nil && !login.Brought {
		err = errors.Join(err, undo(context.WithoutCancel(ctx), login))
	}
	return saved, err
}

func (s *Session) checkAndStore(ctx context.Context, login Login) (*Saved, error) {
	access, err := login.Response.AccessToken()
	if err != nil {
		return nil, err
	}
	account, err := s.identify(ctx, login, access.Value)
	if err != nil {
		return nil, err
	}
	scope := cmp.Or(login.Response.Scope(), strings.Join(login.Scopes, " "))
	now := s.Clock.Now().UTC()
	r := &record{
		head: head{
			Version:          recordVersion,
			CacheKey:         sealedSecret{newCacheKey()},
			RefreshExpiresAt: login.Response.RefreshExpiry(),
			RefreshSaidAt:    now,
		},
		body: body{
			Metadata:     login.Client.Metadata.Pinned(),
			AuthMethod:   login.Client.AuthMethod(),
			ClientID:     login.Client.ClientID,
			ClientSecret: sealedSecret{login.Client.ClientSecret},
			RefreshToken: sealedSecret{login.Response.RefreshToken},
			Scope:        scope,
			Account:      account,
			LoggedInAt:   now,
		},
	}
	refreshable := !r.RefreshToken.IsZero()
	token := s.newAccessToken(access, scope, refreshable)
	if err := s.replace(ctx, r, token); err != nil {
		return nil, err
	}
	return &Saved{Account: account, Scope: scope, Refreshable: refreshable, Token: *token.token()}, nil
}

// replace puts the new record where the old one was, under the login's lock.
func (s *Session) replace(ctx context.Context, r *record, token *accessToken) error {
	lock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer lock.Release()
	if r.RefreshToken.IsZero() {
		r.AccessToken = token
	}
	if err := s.save(ctx, r); err != nil {
		return err
	}
	// From here the login is kept: a cache that fails costs a refresh.
	cached := s.cache().drop
	if !r.RefreshToken.IsZero() {
		cached = func() error { return s.cache().seal(r.head, token) }
	}
	if err := errors.Join(cached(), s.journal().drop()); err != nil {
		s.Warn(fmt.Sprintf("the access token could not be cached, the next call refreshes: %v", err))
	}
	return nil
}

// identify names who logged in: by the id_token where one was asked for, and by
// the userinfo endpoint where that says more. Only a wrong answer is an error; a
// userinfo endpoint that cannot be reached leaves the name empty.
func (s *Session) identify(ctx context.Context, login Login, access secret.Secret) (Account, error) {
	var account Account
	if login.Nonce != "" {
		id, err := login.Client.VerifyIDToken(ctx, login.Response.IDToken(), login.Nonce, access)
		if err != nil {
			return Account{}, fmt.Errorf("checking who logged in: %w", err)
		}
		account = Account{Subject: id.Subject, Name: cmp.Or(id.Name, id.PreferredUsername), Email: id.Email}
	}
	if account.Email != "" || login.Client.Metadata.UserinfoEndpoint == "" {
		return account, nil
	}
	info, err := login.Client.Userinfo(ctx, access, account.Subject)
	if errors.Is(err, oauth.ErrWrongSubject) {
		return Account{}, fmt.Errorf("checking who logged in: %w", err)
	}
	if err != nil {
		s.Warn(fmt.Sprintf("the account's name could not be read: %s", safetext.Line(err.Error())))
		return account, nil
	}
	return Account{
		Subject: cmp.Or(account.Subject, info.Subject),
		Name:    cmp.Or(account.Name, info.Name, info.PreferredUsername),
		Email:   info.Email,
	}, nil
}

// undo revokes tokens that nobody keeps.
func undo(ctx context.Context, login Login) error {
	token, hint := login.Response.RefreshToken, oauth.HintRefreshToken
	if token.IsZero() {
		access, err := login.Response.AccessToken()
		if err != nil {
			return nil //nolint:nilerr // there is nothing to revoke
		}
		token, hint = access.Value, oauth.HintAccessToken
	}
	err := login.Client.Revoke(ctx, token, hint)
	if err == nil || errors.Is(err, oauth.ErrUnsupported) {
		return nil
	}
	return fmt.Errorf("and the new token could not be revoked: %w", err)
}

func newCacheKey() secret.Secret {
	return secret.New(base64.StdEncoding.EncodeToString(seal.NewKey().Bytes()))
}

// ClientSecret returns the client secret of the stored login, so that a new
// login of the same client need not ask for it again. It is empty where there is
// no login, or none that can be read.
func (s *Session) ClientSecret(ctx context.Context) secret.Secret {
	r, err := s.load(ctx)
	if err != nil {
		return secret.Secret{}
	}
	return r.ClientSecret.Secret
}
