package session

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/discovery"
	"github.com/fobcli/fob/internal/idtoken"
	"github.com/fobcli/fob/internal/jwt"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/seal"
	"github.com/fobcli/fob/internal/secret"
)

// Login is a finished login.
type Login struct {
	Client    *oauth.Client // its metadata is pinned
	Response  *oauth.TokenResponse
	Scopes    []string // as requested
	Resource  string   // of the tokens, as requested; empty: the server chooses
	Grant     string   // config.GrantClientCredentials; empty: a user's login
	ACRValues string   // as requested
	Nonce     string   // of the request; empty: no id_token is expected
	KeyInFile bool     // the client's key is in a file, and not stored

	Registration *oauth.Registration // made for this login; nil: none
	Brought      bool                // the user's own token: it is not revoked if it cannot be stored

	// Before is the account that the profile has in another storage or with another client.
	Before Account
	// Switch is called before the login replaces that of another account; nil refuses.
	Switch func(ctx context.Context, from, to Account) error
}

// Saved describes a stored login.
type Saved struct {
	Account     Account
	Scope       string // as granted; where the server did not say, as requested
	Refreshable bool
	Token       Token
}

// Save checks who logged in, stores the login and replaces the previous one, whose cached
// access tokens no longer open. A login that cannot be stored is revoked at the server, and
// the previous one stays.
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
	idTokens := s.verifier(login.Client, nil)
	account, id, err := s.identify(ctx, login, idTokens, access.Value)
	if err != nil {
		return nil, err
	}
	before, err := s.StoredAccount(ctx)
	if err != nil {
		return nil, err
	}
	before = cmp.Or(before, login.Before)
	if err := login.maySwitch(ctx, before, account); err != nil {
		return nil, err
	}
	if before.Stored && account.Subject == "" && before.isSame(account) && !config.IsUnattended(login.Grant) {
		s.Warn("this may not be the account of the previous login: the server does not identify it")
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
			AuthMethod:   login.Client.AuthMethod,
			ClientID:     login.Client.ClientID,
			Audience:     login.Client.AssertionAudience,
			ClientSecret: sealedSecret{login.Client.ClientSecret},
			DPoPKey:      sealedSecret{login.Client.DPoPKey.Private()},
			Grant:        login.Grant,
			Resource:     login.Resource,
			RefreshToken: sealedSecret{login.Response.RefreshToken},
			Scope:        scope,
			ACRValues:    login.ACRValues,
			Account:      account,
			LoggedInAt:   now,
		},
	}
	if config.IsUnattended(login.Grant) {
		r.RefreshToken = sealedSecret{} // RFC 6749 §4.4.3: there should be none
	}
	if !login.KeyInFile {
		r.ClientKey = sealedSecret{login.Client.ClientKey.Private()}
	}
	id = cmp.Or(id, broughtIDToken(login))
	token := s.newAccessToken(access, scope, r.isRenewable())
	token.withIDToken(login.Response.IDToken(), id)
	if id != nil {
		r.Keys, r.AuthTime, r.ACRValues = idTokens.Keys, id.AuthTime, cmp.Or(id.ACR, login.ACRValues)
	}
	if err := s.replace(ctx, r, token, before, login.Registration); err != nil {
		return nil, err
	}
	return &Saved{Account: account, Scope: scope, Refreshable: r.isRenewable(), Token: *token.token(s.Clock)}, nil
}

// broughtIDToken returns the expiry of an id_token from the user, which only its own issuer
// will judge, or nil.
func broughtIDToken(login Login) *idtoken.Token {
	seen, err := jwt.DecodeJWT(secret.New(login.Response.IDToken()))
	if err != nil || !login.Brought || seen.Claims["iss"] != login.Client.Metadata.Issuer {
		return nil
	}
	expires, ok := jwt.TimeOf("exp", seen.Claims["exp"])
	if !ok {
		return nil
	}
	return &idtoken.Token{ExpiresAt: expires.UTC()}
}

// ErrOtherAccount means that a login would replace that of another account.
var ErrOtherAccount = errors.New("the profile is logged in with another account")

// maySwitch calls Switch if the account changes, also from or to an unidentified one; a
// client's own login has no account.
func (l Login) maySwitch(ctx context.Context, from, to Account) error {
	switch {
	case from == Account{} || from.isSame(to) || config.IsUnattended(l.Grant):
		return nil
	case l.Switch == nil:
		return ErrOtherAccount
	}
	return l.Switch(ctx, from, to)
}

// StoredAccount returns whose login the profile has. A damaged record counts as none, so that
// it can be replaced; one that cannot be read now, or with this key, is an error.
func (s *Session) StoredAccount(ctx context.Context) (Account, error) {
	r, err := s.load(ctx)
	if err == nil {
		return r.Account, nil
	}
	for _, none := range []error{ErrLoginRequired, credstore.ErrCorrupt, seal.ErrFormat, seal.ErrTampered, seal.ErrWrongContext} {
		if errors.Is(err, none) {
			return Account{}, nil
		}
	}
	return Account{}, err
}

// replace replaces the record under the login's lock, if it is still the previous
// account's.
func (s *Session) replace(ctx context.Context, r *record, token *accessToken, before Account, registered *oauth.Registration) error {
	lock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer lock.Release()
	now, err := s.StoredAccount(ctx)
	if err != nil {
		return err
	}
	if now.Stored && !now.isSame(before) && !now.isSame(r.Account) {
		return ErrReplaced
	}
	if registered != nil {
		r.Registration = &registration{URI: registered.ManagementURI, AccessToken: sealedSecret{registered.AccessToken}}
	} else if old, err := s.loadAny(ctx); err == nil && old.ClientID == r.ClientID {
		r.Registration = old.Registration
	}
	if !r.isRenewable() {
		r.AccessToken = token
	}
	if err := s.save(ctx, r); err != nil {
		return err
	}
	// From here on the login is stored: a failing cache only costs a refresh.
	cached := s.dropCaches()
	if r.isRenewable() {
		cached = errors.Join(cached, s.cache(Target{}).seal(r.head, token))
	}
	if err := errors.Join(cached, s.journal().drop()); err != nil {
		s.Warn(fmt.Sprintf("the access token could not be cached, the next call refreshes: %v", err))
	}
	return nil
}

// identify returns who logged in: from the id_token if there is one, and from the userinfo
// endpoint if that has more. If the endpoint is unavailable, the name stays empty.
func (s *Session) identify(ctx context.Context, login Login, idTokens *idtoken.Verifier, access secret.Secret) (Account, *idtoken.Token, error) {
	if config.IsUnattended(login.Grant) {
		return Account{}, nil, nil
	}
	var account Account
	var id *idtoken.Token
	metadata := login.Client.Metadata
	if login.Nonce != "" || login.Response.IDToken() != "" && metadata.JWKSURI != "" && !login.Brought {
		var err error
		if id, err = idTokens.Verify(ctx, login.Response.IDToken(), login.Nonce, access); err != nil {
			return Account{}, nil, fmt.Errorf("checking who logged in: %w", err)
		}
		account = Account{Subject: id.Subject, Name: cmp.Or(id.Name, id.PreferredUsername), Email: id.Email}
	}
	// A token for an API, without the scope openid, is refused there (OIDC Core §5.3).
	if account.Email != "" || metadata.UserinfoEndpoint == "" || metadata.OpenID && login.Resource != "" && !slices.Contains(login.Scopes, "openid") {
		return account, id, nil
	}
	info, err := login.Client.Userinfo(ctx, access, account.Subject)
	if errors.Is(err, oauth.ErrWrongSubject) {
		return Account{}, nil, fmt.Errorf("checking who logged in: %w", err)
	}
	if err != nil {
		s.Warn(fmt.Sprintf("the account's name could not be read: %s", sanitize.Line(err.Error())))
		return account, id, nil
	}
	return Account{
		Subject: cmp.Or(account.Subject, info.Subject),
		Name:    cmp.Or(account.Name, info.Name, info.PreferredUsername),
		Email:   info.Email,
	}, id, nil
}

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

// Credentials are a client's credentials at the server.
type Credentials struct {
	Secret     secret.Secret
	Key        jwt.Key
	Registered bool // fob has registered the client
}

// Credentials returns the stored login's, for a new login of the same client. They are
// empty if no login can be read.
func (s *Session) Credentials(ctx context.Context) Credentials {
	r, err := s.loadAny(ctx)
	if err != nil {
		return Credentials{}
	}
	key, _ := jwt.Parse(r.ClientKey.Secret)
	return Credentials{Secret: r.ClientSecret.Secret, Key: key, Registered: r.Registration != nil}
}

// OwnsClient reports whether fob chose the profile's client, and may choose another.
func (s *Session) OwnsClient(ctx context.Context) bool {
	return s.Profile.ClientID == "" || config.IsMetadataURL(s.Profile.ClientID) || s.Credentials(ctx).Registered
}

// RegisterClient registers fob at a server, with the device grant if the server lists it: a
// later login may use it. Some servers list that grant and refuse it (glewlwyd): it then
// tries without, unless this login needs it.
func RegisterClient(ctx context.Context, hc *http.Client, m *discovery.Metadata, redirect string, needsDevice bool) (*oauth.Registration, error) {
	grants := []string{config.GrantAuthorizationCode, "refresh_token"}
	if needsDevice || m.DeviceAuthorizationEndpoint != "" {
		r, err := oauth.Register(ctx, hc, m, redirect, append(grants, oauth.GrantDeviceCode))
		if needsDevice || !oauth.HasCode(err, "invalid_client_metadata") {
			return r, err
		}
	}
	return oauth.Register(ctx, hc, m, redirect, grants)
}

// TryGiven checks a token from the user, and returns the tokens to store. A refresh proves
// a refresh token, and invalidates other copies of it if the server rotates. An access
// token is checked at the userinfo endpoint, if there is one.
func TryGiven(ctx context.Context, client *oauth.Client, given *oauth.TokenResponse) (*oauth.TokenResponse, error) {
	if !given.RefreshToken.IsZero() {
		fresh, err := client.Refresh(ctx, given.RefreshToken, oauth.Target{})
		if err != nil {
			return nil, fmt.Errorf("check the refresh token: %w", err)
		}
		if fresh.RefreshToken.IsZero() {
			fresh.RefreshToken = given.RefreshToken
		}
		return fresh, nil
	}
	access, err := given.AccessToken()
	if err != nil || client.Metadata.UserinfoEndpoint == "" {
		return given, err
	}
	if _, err := client.Userinfo(ctx, access.Value, ""); errors.Is(err, oauth.ErrTokenRefused) {
		return nil, fmt.Errorf("check the token: %w", err)
	}
	return given, nil
}
