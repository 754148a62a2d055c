package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/idtoken"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/secret"
	"github.com/fobcli/fob/internal/trace"
)

// DefaultMinTTL is the minimum remaining validity of a printed token, or a tenth of its
// lifetime if that is shorter.
const DefaultMinTTL = 60 * time.Second

// TokenOptions select an access token.
type TokenOptions struct {
	Target
	MinTTL       *time.Duration // nil: DefaultMinTTL
	ForceRefresh bool
	WantIDToken  bool // the id_token must be fresh too
}

// Token is a fresh access token.
type Token struct {
	Value     secret.Secret
	Type      string        // oauth.TypeBearer or oauth.TypeDPoP
	Scope     string        // space-separated, as granted
	ExpiresAt time.Time     // zero: unknown
	IDToken   secret.Secret // zero: none

	IDTokenExpiresAt time.Time
}

func (o TokenOptions) accepts(t *accessToken, c Clock) bool {
	if t != nil && o.WantIDToken {
		t = t.forIDToken()
	}
	if t == nil {
		return false
	}
	if o.MinTTL != nil {
		return t.outlives(c, *o.MinTTL)
	}
	return t.outlives(c, min(DefaultMinTTL, t.lifetime()/10))
}

// Token returns a fresh access token: the cached one, without lock, write or network, or
// else one from a refresh that all processes of this login share. It only returns
// ErrLoginRequired if the server refused the login, or there is no record.
func (s *Session) Token(ctx context.Context, opts TokenOptions) (*Token, error) {
	h, stored, err := s.peek(ctx)
	if err == nil {
		err = s.ended(h, opts)
	}
	if err != nil {
		return nil, err
	}
	if !h.Refreshes {
		r, err := s.whole(ctx, stored)
		if err != nil {
			return nil, err
		}
		return s.fixedToken(r, opts)
	}
	s.warnOfEnd(h)
	token, err := s.cached(h, opts)
	switch {
	case err != nil:
		return nil, err
	case token != nil:
		trace.Printf(ctx, "cache: the access token expires at %s, which is late enough", token.ExpiresAt.UTC().Format(time.RFC3339))
		return token, nil
	case opts.ForceRefresh:
		trace.Printf(ctx, "cache: not used (--force-refresh)")
	default:
		trace.Printf(ctx, "cache: no access token that lives long enough")
	}
	return s.refreshLocked(ctx, h, opts)
}

// ended returns an error if the login has ended. Only a forced refresh tries again, in case
// the server refused by mistake.
func (s *Session) ended(h head, opts TokenOptions) error {
	if !h.Ended || opts.ForceRefresh && h.Refreshes {
		return nil
	}
	return fmt.Errorf("the login of profile %q was ended at the server%.0w", s.Profile.Name, ErrLoginRequired)
}

func (s *Session) whole(ctx context.Context, stored credstore.Record) (*record, error) {
	if stored.Body == nil {
		return s.load(ctx)
	}
	return parseRecord(stored)
}

// endWarning is how long before its end a login is warned about.
const endWarning = 3 * 24 * time.Hour

// warnOfEnd warns that the login expires soon, if the server said when. Logins that last only
// days and are renewed by every refresh are not worth a warning.
func (s *Session) warnOfEnd(h head) {
	left, lifetime := h.RefreshExpiresAt.Sub(s.Clock.Now()), h.RefreshExpiresAt.Sub(h.RefreshSaidAt)
	if h.RefreshExpiresAt.IsZero() || left > endWarning || left <= 0 || lifetime < 2*endWarning {
		return
	}
	s.Warn(fmt.Sprintf("the login of profile %q expires at %s: run 'fob login %s' before", s.Profile.Name, h.RefreshExpiresAt.UTC().Format(time.RFC3339), s.Profile.Name))
}

// fixedToken returns the only access token of a login without a refresh token.
func (s *Session) fixedToken(r *record, opts TokenOptions) (*Token, error) {
	switch {
	case opts.ForceRefresh:
		return nil, fmt.Errorf("the login of profile %q has no refresh token, so nothing can be refreshed%.0w", s.Profile.Name, ErrLoginRequired)
	case opts.Target != (Target{}) && opts.Target != NewTarget([]string{r.Scope}, r.Resource):
		return nil, fmt.Errorf("the login of profile %q has no refresh token, so it cannot get tokens for other scopes or APIs%.0w", s.Profile.Name, ErrLoginRequired)
	case opts.WantIDToken && !opts.accepts(r.AccessToken, s.Clock):
		return nil, fmt.Errorf("profile %q has no id_token that is still good, and the server gave no refresh token%.0w", s.Profile.Name, ErrLoginRequired)
	case r.AccessToken == nil || !r.AccessToken.outlives(s.Clock, 0):
		return nil, fmt.Errorf("the access token of profile %q has expired, and the server gave no refresh token%.0w", s.Profile.Name, ErrLoginRequired)
	case !opts.accepts(r.AccessToken, s.Clock):
		s.Warn(fmt.Sprintf("the access token of profile %q expires at %s and cannot be refreshed", s.Profile.Name, r.AccessToken.ExpiresAt.UTC().Format(time.RFC3339)))
	}
	return r.AccessToken.token(s.Clock), nil
}

// Try checks the token of a login that cannot be refreshed at the server. If it is refused,
// the login has ended. oauth.ErrUnsupported: the server has no way to check.
func (s *Session) Try(ctx context.Context) (*Token, error) {
	lock, r, err := s.lockRecord(ctx, s.load)
	if err != nil {
		return nil, err
	}
	defer lock.Release()
	if err := s.ended(r.head, TokenOptions{}); err != nil {
		return nil, err
	}
	token, err := s.fixedToken(r, TokenOptions{})
	if err != nil {
		return nil, err
	}
	client, err := s.client(r)
	if err != nil {
		return nil, err
	}
	if r.Metadata.UserinfoEndpoint == "" {
		return token, fmt.Errorf("%w: it has no userinfo endpoint", oauth.ErrUnsupported)
	}
	_, err = client.Userinfo(ctx, token.Value, "")
	switch {
	case errors.Is(err, oauth.ErrTokenRefused):
		err = fmt.Errorf("the server has ended the login of profile %q (%w)%.0w", s.Profile.Name, err, ErrLoginRequired)
		return nil, errors.Join(err, s.markEnded(context.WithoutCancel(ctx), r))
	case errors.Is(err, oauth.ErrUnavailable):
		return nil, err
	}
	return token, nil // only the check matters
}

// refreshLocked refreshes under the login's lock, unless another process did meanwhile.
func (s *Session) refreshLocked(ctx context.Context, seen head, opts TokenOptions) (*Token, error) {
	lock, err := s.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer lock.Release()

	if token, err := s.cached(seen, opts); token != nil || err != nil {
		return token, err
	}
	r, err := s.load(ctx)
	if err == nil {
		err = s.ended(r.head, opts)
	}
	if err != nil {
		return nil, err
	}
	if r.CacheKey.Reveal() != seen.CacheKey.Reveal() { // there was a new login meanwhile
		if !r.isRenewable() {
			return s.fixedToken(r, opts)
		}
		if token, err := s.cached(r.head, opts); token != nil || err != nil {
			return token, err
		}
	}
	if config.IsUnattended(r.Grant) {
		return s.mint(ctx, r, opts)
	}
	// From here to the save nothing may interrupt the exchange: Ctrl-C would lose a refresh
	// token that the server has already rotated.
	ctx = context.WithoutCancel(ctx)
	cutOff, err := s.recover(ctx, r)
	if err != nil {
		return nil, err
	}
	token, err := s.refresh(ctx, r, opts)
	if cutOff && errors.Is(err, ErrLoginRequired) {
		err = fmt.Errorf("an earlier refresh was interrupted before its response, and the new token lost: %w", err)
	}
	return token, err
}

func (s *Session) cached(h head, opts TokenOptions) (*Token, error) {
	if opts.ForceRefresh {
		return nil, nil
	}
	cached, err := s.cache(opts.Target).readToken(h)
	if err != nil || !opts.accepts(cached, s.Clock) {
		return nil, err
	}
	return cached.token(s.Clock), nil
}

// refresh sends one request. If the refresh token is refused, and the record has another
// one by now, it tries that.
func (s *Session) refresh(ctx context.Context, r *record, opts TokenOptions) (*Token, error) {
	used := r.RefreshToken
	token, err := s.refreshOnce(ctx, r, opts)
	if r.Registration != nil && oauth.HasCode(err, "invalid_client") {
		return nil, fmt.Errorf("the server no longer accepts the client that fob registered for profile %q (%w)%.0w", s.Profile.Name, err, ErrLoginRequired)
	}
	if !oauth.EndsLogin(err) {
		return token, err
	}
	again, loadErr := s.load(ctx)
	if loadErr != nil {
		return nil, loadErr
	}
	for _, other := range []sealedSecret{again.RefreshToken, again.PreviousRefreshToken} {
		if other.IsZero() || other == used {
			continue
		}
		again.RefreshToken = other
		if token, err = s.refreshOnce(ctx, again, opts); !oauth.EndsLogin(err) {
			return token, err
		}
	}
	err = fmt.Errorf("the server has ended the login of profile %q (%w)%.0w", s.Profile.Name, err, ErrLoginRequired)
	return nil, errors.Join(err, s.markEnded(ctx, again))
}

// markEnded records that a new login is required, and drops the access tokens, which the
// server revokes too. It must be called under the lock.
func (s *Session) markEnded(ctx context.Context, r *record) error {
	err := s.dropCaches()
	if r.Ended {
		return err
	}
	r.Ended = true
	return errors.Join(err, s.save(ctx, r))
}

func (s *Session) refreshOnce(ctx context.Context, r *record, opts TokenOptions) (*Token, error) {
	client, err := s.client(r)
	if err != nil {
		return nil, err
	}
	if err := s.journal().write([]byte(journalIntent)); err != nil {
		return nil, fmt.Errorf("before refreshing the login of profile %q: %w: %w", s.Profile.Name, credstore.ErrNotWritten, err)
	}
	response, err := client.Refresh(ctx, r.RefreshToken.Secret, opts.request(r))
	if err != nil {
		err = fmt.Errorf("refreshing the login of profile %q: %w", s.Profile.Name, err)
		if response != nil {
			return nil, errors.Join(err, s.saveRotation(ctx, r, response, true, opts.Target))
		}
		if errors.As(err, new(*oauth.Error)) || errors.Is(err, oauth.ErrUnreachable) { // else the server may have rotated the token all the same
			err = errors.Join(err, s.journal().drop())
		}
		return nil, err
	}
	saveErr := s.saveRotation(ctx, r, response, false, opts.Target)
	idTokens := s.verifier(client, r.Keys)
	fresh, err := s.judge(ctx, idTokens, r, response, opts.Target)
	if err != nil {
		return nil, errors.Join(saveErr, fmt.Errorf("refreshing the login of profile %q: %w", s.Profile.Name, err))
	}
	if idTokens.Keys != r.Keys { // new keys were fetched
		r.Keys = idTokens.Keys
		saveErr = errors.Join(saveErr, s.save(ctx, r))
	}
	token, err := s.cacheToken(r.head, fresh, opts)
	if saveErr != nil {
		return nil, saveErr
	}
	return token, err
}

// cacheToken caches a new token, and returns it if it is what was requested.
func (s *Session) cacheToken(h head, fresh *accessToken, opts TokenOptions) (*Token, error) {
	if err := s.cache(opts.Target).seal(h, fresh); err != nil {
		s.Warn(fmt.Sprintf("the access token could not be cached, the next call refreshes again: %v", err))
	}
	switch {
	case opts.WantIDToken && fresh.IDToken.IsZero():
		return nil, fmt.Errorf("%w: it sent no id_token that can be checked", oauth.ErrUnsupported)
	case !opts.accepts(fresh, s.Clock):
		s.Warn(fmt.Sprintf("the server's tokens are valid for only %s", fresh.lifetime()))
	}
	return fresh.token(s.Clock), nil
}

// Mint requests a token without a user: for the client itself (RFC 6749 §4.4), or for the
// user of another profile (draft-ietf-oauth-identity-assertion-authz-grant).
func (s *Session) Mint(ctx context.Context, client *oauth.Client, grant string, want oauth.Target) (*oauth.TokenResponse, error) {
	if grant != config.GrantIDJAG {
		return client.ClientCredentials(ctx, want)
	}
	issuer := client.Metadata.Issuer
	assertion, err := s.Assert(ctx, issuer, want)
	if err != nil {
		return nil, fmt.Errorf("get an assertion for %s from profile %q: %w", sanitize.Line(issuer), s.Profile.Via, err)
	}
	response, err := client.JWTBearer(ctx, assertion, want)
	if err != nil {
		return nil, fmt.Errorf("exchange the assertion of profile %q at %s: %w", s.Profile.Via, sanitize.Line(issuer), err)
	}
	return response, nil
}

// IDJAG returns an assertion about the user of this login for another server, which its
// own server issues for the login's id_token.
func (s *Session) IDJAG(ctx context.Context, idToken secret.Secret, want oauth.Target) (secret.Secret, error) {
	r, err := s.load(ctx)
	if err != nil {
		return secret.Secret{}, err
	}
	client, err := s.client(r)
	if err != nil {
		return secret.Secret{}, err
	}
	return client.IDJAG(ctx, idToken, want)
}

// mint gets a token without a user and without changing the record.
func (s *Session) mint(ctx context.Context, r *record, opts TokenOptions) (*Token, error) {
	client, err := s.client(r)
	if err != nil {
		return nil, err
	}
	want := opts.request(r)
	want.Details = s.Profile.AuthorizationDetails
	response, err := s.Mint(ctx, client, r.Grant, want)
	if oauth.RefusesClient(err) {
		err = fmt.Errorf("the server refuses the client of profile %q (%w)%.0w", s.Profile.Name, err, ErrLoginRequired)
	}
	if err != nil {
		return nil, err
	}
	fresh, err := s.accept(response, opts.Target, want.Scope, true)
	if err != nil {
		return nil, err
	}
	return s.cacheToken(r.head, fresh, opts)
}

// saveRotation saves what the response changes in the login, before anything else in it is
// checked: first in the journal, then in the record.
func (s *Session) saveRotation(ctx context.Context, r *record, response *oauth.TokenResponse, refused bool, t Target) error {
	next := newRotation(r, response, refused, t, s.Clock.Now())
	if !next.changes(r) {
		return s.journal().drop()
	}
	journalErr := s.journal().seal(r.head, next)
	next.apply(r)
	if err := s.save(ctx, r); err != nil {
		return errors.Join(err, journalErr)
	}
	return s.journal().drop()
}

// judge checks the response's access token and id_token. An id_token whose key cannot be
// fetched now is dropped.
func (s *Session) judge(ctx context.Context, idTokens *idtoken.Verifier, r *record, response *oauth.TokenResponse, t Target) (*accessToken, error) {
	fresh, err := s.accept(response, t, r.Scope, true)
	if err != nil {
		return nil, err
	}
	raw := response.IDToken()
	if raw == "" || !r.Metadata.OpenID || r.Account.Subject == "" {
		return fresh, nil
	}
	id, err := idTokens.VerifyRefreshed(ctx, raw, r.Account.Subject, fresh.Value.Secret)
	if err != nil && !errors.Is(err, idtoken.ErrUnknownKey) && !errors.Is(err, oauth.ErrUnavailable) {
		return nil, err
	}
	fresh.withIDToken(raw, id)
	return fresh, nil
}

func (t *accessToken) token(c Clock) *Token {
	return &Token{Value: t.Value.Secret, Type: t.Type, Scope: t.Scope, ExpiresAt: t.end(c), IDToken: t.IDToken.Secret, IDTokenExpiresAt: t.IDTokenExpiresAt}
}

// ErrReplaced means that the login has other tokens now: get token and proof again.
var ErrReplaced = errors.New("the login or its token was replaced in between")

// Proof returns a DPoP proof for one request with a token that Token has just returned for
// a target (see oauth.Client.Proof), or ErrReplaced if the token is not bound to the
// login's key any more.
func (s *Session) Proof(ctx context.Context, token *Token, t Target, method, url, nonce string) (string, error) {
	r, err := s.load(ctx)
	if err != nil {
		return "", err
	}
	current := r.AccessToken
	if r.isRenewable() {
		if current, err = s.cache(t).readToken(r.head); err != nil {
			return "", err
		}
	}
	if current == nil || current.Value.Secret != token.Value {
		return "", ErrReplaced
	}
	client, err := s.client(r)
	if err != nil {
		return "", err
	}
	return client.Proof(method, url, nonce, token.Value)
}

// Target is what an access token is for, if not the login's default: fewer scopes (RFC 6749
// §6), or another of its resources (RFC 8707). The zero value is the default.
type Target struct {
	Scope    string // space-separated
	Resource string
}

// NewTarget returns a normalized target, independent of the order of scopes.
func NewTarget(scopes []string, resource string) Target {
	scopes = strings.Fields(strings.Join(scopes, " "))
	slices.Sort(scopes)
	return Target{strings.Join(slices.Compact(scopes), " "), resource}
}

// request returns the target to send. A login for a resource never uses another.
func (t Target) request(r *record) oauth.Target {
	want := oauth.Target{Scope: t.Scope, Resource: cmp.Or(t.Resource, r.Resource)}
	if want.Scope == "" && config.IsUnattended(r.Grant) {
		want.Scope = r.Scope
	}
	return want
}
