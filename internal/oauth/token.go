package oauth

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fobcli/fob/internal/discovery"
	"github.com/fobcli/fob/internal/httpclient"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/secret"
)

// maxLifetime bounds the lifetime that a server may claim for a token or a login.
const maxLifetime = 365 * 24 * time.Hour

// Types of access tokens (RFC 6750, RFC 9449), as in an Authorization header.
const (
	TypeBearer = "Bearer"
	TypeDPoP   = "DPoP"
)

// AccessToken is a validated access token.
type AccessToken struct {
	Value     secret.Secret
	Type      string // TypeBearer or TypeDPoP
	IssuedAt  time.Time
	ExpiresAt time.Time // zero: the server did not say
}

// TokenResponse is a success response of the token endpoint (RFC 6749 §5.1). Its fields are
// parsed separately on use, so that a rotated refresh token can be saved before anything
// else is validated.
type TokenResponse struct {
	RefreshToken secret.Secret // zero: absent or empty

	fields     map[string]json.RawMessage
	receivedAt time.Time
	bound      bool // tokens bound to the DPoP key were requested
}

// Exchange redeems an authorization code with its verifier (RFC 7636 §4.5).
func (c *Client) Exchange(ctx context.Context, r *AuthorizationRequest, code string) (*TokenResponse, error) {
	return c.grant(ctx, Target{Resource: r.resource}.form(url.Values{
		"grant_type":    {"authorization_code"},
		"code":          {code},
		"redirect_uri":  {r.RedirectURI},
		"code_verifier": {r.codeVerifier.Reveal()},
	}))
}

// Refresh sends one request with a refresh token (RFC 6749 §6).
func (c *Client) Refresh(ctx context.Context, refreshToken secret.Secret, want Target) (*TokenResponse, error) {
	return c.grant(ctx, want.form(url.Values{
		"grant_type":    {"refresh_token"},
		"refresh_token": {refreshToken.Reveal()},
	}))
}

// ClientCredentials requests a token for the client itself (RFC 6749 §4.4).
func (c *Client) ClientCredentials(ctx context.Context, want Target) (*TokenResponse, error) {
	return c.grant(ctx, want.form(url.Values{"grant_type": {"client_credentials"}}))
}

// Target is what an access token is for. The zero value leaves that to the server.
type Target struct {
	Scope    string // space-separated
	Resource string // a resource indicator (RFC 8707)
	Audience string // another name for a resource, common in token exchange (RFC 8693 §2.1)
	Details  string // authorization_details, in JSON (RFC 9396 §6)
}

func (t Target) form(form url.Values) url.Values {
	for name, value := range map[string]string{"scope": t.Scope, "resource": t.Resource, "audience": t.Audience, detailsParam: t.Details} {
		if value != "" {
			form.Set(name, value)
		}
	}
	return form
}

// grant makes the request that serves every grant. A server that takes no request now, and
// says until when, is asked once more. With an error, the response is nil unless a refresh
// token came with the refusal.
func (c *Client) grant(ctx context.Context, form url.Values) (*TokenResponse, error) {
	latest := time.Now().Add(c.HTTP.Timeout / 2)
	response, err := c.grantOnce(ctx, form)
	if !errors.Is(err, ErrUnavailable) || c.retryAfter == 0 || response != nil || time.Now().Add(c.retryAfter).After(latest) {
		return response, err
	}
	select {
	case <-ctx.Done():
		return nil, err
	case <-time.After(c.retryAfter):
		return c.grantOnce(ctx, form)
	}
}

func (c *Client) grantOnce(ctx context.Context, form url.Values) (*TokenResponse, error) {
	status, body, err := c.postWithProof(ctx, c.Metadata.TokenEndpoint, form)
	if err != nil {
		c.retryAfter = 0
		return nil, err
	}
	response, err := parseTokenResponse(status, body, c.Now())
	if response != nil {
		response.bound = !c.DPoPKey.IsZero()
	}
	return response, withoutSecrets(err, c.sent)
}

// postWithProof posts with a DPoP proof if tokens are bound to a key. If the server
// requires its nonce in the proof, it posts again: the server checks that before the grant.
func (c *Client) postWithProof(ctx context.Context, endpoint string, form url.Values) (int, []byte, error) {
	if c.DPoPKey.IsZero() {
		return c.post(ctx, endpoint, form, nil)
	}
	header := http.Header{}
	for again := false; ; again = true {
		proof, err := c.Proof(http.MethodPost, endpoint, c.dpopNonce, secret.Secret{})
		if err != nil {
			return 0, nil, err
		}
		header.Set("DPoP", proof)
		status, body, err := c.post(ctx, endpoint, form, header)
		if err != nil || again || !c.wantsNonce(status, body) {
			return status, body, err
		}
	}
}

// post sends a form with the client's authentication, once, and returns status and body. A
// response that arrived while the process was stopped is still read.
func (c *Client) post(ctx context.Context, endpoint string, form url.Values, header http.Header) (int, []byte, error) {
	hc := *c.HTTP
	ctx, stop := httpclient.WithRunningTimeout(ctx, hc.Timeout)
	defer stop()
	hc.Timeout = 0
	sent := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"application/json"}}
	maps.Copy(sent, header)
	form = maps.Clone(form) // the caller's form must not get the authentication
	if err := c.authenticate(endpoint, form, sent); err != nil {
		return 0, nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, nil, fmt.Errorf("%w: its endpoint is not a URL", ErrMalformed)
	}
	req.Header = sent
	c.sent = secretsIn(form, sent)
	req.GetBody = nil // prevents redirects and net/http's retries
	resp, err := httpclient.Do(&hc, req)
	if err != nil {
		return 0, nil, err
	}
	c.learn(resp.Header)
	return resp.Status, resp.Body, nil
}

// secretsIn returns the secrets in a request, also as its body has them.
func secretsIn(form url.Values, header http.Header) []secret.Secret {
	var secrets []secret.Secret
	for _, name := range []string{
		"refresh_token", "token", "code", "code_verifier", "device_code", "subject_token", "assertion", "client_secret", "client_assertion",
	} {
		secrets = append(secrets, secret.New(form.Get(name)), secret.New(url.QueryEscape(form.Get(name))))
	}
	if _, encoded, basic := (&http.Request{Header: header}).BasicAuth(); basic {
		decoded, _ := url.QueryUnescape(encoded)
		secrets = append(secrets, secret.New(strings.TrimPrefix(header.Get("Authorization"), "Basic ")), secret.New(encoded), secret.New(decoded))
	}
	return secrets
}

// parseTokenResponse reads a response, whose status is 201 at some servers. A refusal may
// have any status, too; its response is nil unless it contains a refresh token.
func parseTokenResponse(status int, body []byte, now time.Time) (*TokenResponse, error) {
	r := &TokenResponse{fields: readObject(body), receivedAt: now}
	r.RefreshToken = secret.New(r.text("refresh_token"))
	switch {
	case isSuccess(status) && r.fields == nil:
		return nil, fmt.Errorf("%w: no JSON object came from the token endpoint", ErrMalformed)
	case isSuccess(status) && (r.text("access_token") != "" || r.fields["error"] == nil && messageOf(r.fields) == ""):
		return r, nil
	case r.RefreshToken.IsZero():
		r = nil
	}
	return r, responseError(status, body)
}

// GivenToken parses a token from the user: an access token, or the JSON of a token
// response.
func (c *Client) GivenToken(text secret.Secret) (*TokenResponse, error) {
	given := strings.TrimSpace(text.Reveal())
	if strings.HasPrefix(given, "{") {
		return parseTokenResponse(http.StatusOK, []byte(given), c.Now())
	}
	value, err := json.Marshal(given)
	if err != nil {
		return nil, err
	}
	fields := map[string]json.RawMessage{"access_token": value, "token_type": json.RawMessage(`"Bearer"`)}
	r := &TokenResponse{fields: fields, receivedAt: c.Now()}
	_, err = r.AccessToken()
	return r, err
}

// text returns a field that is a JSON string, and "" for any other.
func (r *TokenResponse) text(name string) string {
	return textOf(r.fields[name])
}

// AccessToken validates the access token: its type must be the requested one, and its
// characters those of RFC 6750 §2.1 and similar ones, so that it cannot inject anything
// into a header or a script.
func (r *TokenResponse) AccessToken() (AccessToken, error) {
	value := r.text("access_token")
	if value == "" {
		return AccessToken{}, fmt.Errorf("%w: there is no access_token in it", ErrMalformed)
	}
	if !sanitize.IsVisibleASCII(value) {
		return AccessToken{}, fmt.Errorf("%w: the access_token contains an invalid character", ErrMalformed)
	}
	kind, err := r.tokenType()
	if err != nil {
		return AccessToken{}, err
	}
	return AccessToken{
		Value:     secret.New(value),
		Type:      kind,
		IssuedAt:  r.receivedAt,
		ExpiresAt: r.timeAfter("expires_in"),
	}, nil
}

// tokenType returns Bearer or DPoP. A bearer token instead of a bound one is refused, which
// RFC 9449 §5 leaves to the client.
func (r *TokenResponse) tokenType() (string, error) {
	name := r.text("token_type")
	absent := name == "" && slices.Contains([]string{"", "null", `""`}, string(r.fields["token_type"]))
	switch {
	case r.bound && strings.EqualFold(name, TypeDPoP):
		return TypeDPoP, nil
	case r.bound:
		return "", fmt.Errorf("%w: it gave a token that is not bound to the DPoP key", ErrUnsupported)
	case absent || strings.EqualFold(name, TypeBearer) || strings.EqualFold(name, "BearerToken"): // Apigee's
		return TypeBearer, nil
	}
	return "", fmt.Errorf("%w: a token_type other than Bearer", ErrUnsupported)
}

// IDToken returns the id_token, or "".
func (r *TokenResponse) IDToken() string { return r.text("id_token") }

// Scope returns the granted scopes, separated by spaces, or "" if the server did not say.
// GitHub separates them by commas.
func (r *TokenResponse) Scope() string {
	return strings.Join(strings.FieldsFunc(r.text("scope"), func(c rune) bool { return c == ' ' || c == ',' }), " ")
}

// RefreshExpiry returns when the refresh token, and with it the login, expires, or zero if
// the server did not say. Keycloak and Microsoft call it refresh_expires_in, GitHub
// refresh_token_expires_in.
func (r *TokenResponse) RefreshExpiry() time.Time {
	return cmp.Or(r.timeAfter("refresh_expires_in"), r.timeAfter("refresh_token_expires_in"))
}

// timeAfter returns the time that is a field's number of seconds after the response, or
// zero.
func (r *TokenResponse) timeAfter(name string) time.Time {
	if lasts := parseSeconds(r.fields[name], maxLifetime); lasts > 0 {
		return r.receivedAt.Add(lasts)
	}
	return time.Time{}
}

// parseSeconds parses a number of seconds, up to a limit. Servers send it as a number, a
// string, a float or with an exponent. Invalid values are 0.
func parseSeconds(field json.RawMessage, limit time.Duration) time.Duration {
	seconds, err := strconv.ParseFloat(strings.Trim(string(field), `"`), 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) || !(seconds > 0) {
		return 0
	}
	return time.Duration(min(seconds, limit.Seconds()) * float64(time.Second))
}

// TokenTypeJWT is the default type of a machine's identity token (RFC 8693 §3).
const TokenTypeJWT = "urn:ietf:params:oauth:token-type:jwt"

// TokenExchange exchanges a subject's token of the given type for an access token (RFC 8693
// §2.1).
func (c *Client) TokenExchange(ctx context.Context, subject secret.Secret, tokenType string, want Target) (*TokenResponse, error) {
	return c.grant(ctx, want.form(url.Values{
		"grant_type":           {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"subject_token":        {subject.Reveal()},
		"subject_token_type":   {tokenType},
		"requested_token_type": {"urn:ietf:params:oauth:token-type:access_token"},
	}))
}

const tokenTypeIDJAG = "urn:ietf:params:oauth:token-type:id-jag"

// IDJAG exchanges an id_token for an assertion that the user of this client may use at the
// server in target.Audience (draft-ietf-oauth-identity-assertion-authz-grant §4.3).
func (c *Client) IDJAG(ctx context.Context, idToken secret.Secret, target Target) (secret.Secret, error) {
	response, err := c.grant(ctx, target.form(url.Values{
		"grant_type":           {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"subject_token":        {idToken.Reveal()},
		"subject_token_type":   {"urn:ietf:params:oauth:token-type:id_token"},
		"requested_token_type": {tokenTypeIDJAG},
	}))
	if err != nil {
		return secret.Secret{}, err
	}
	// Anything else, such as an access token of this server, must not be sent to the other.
	if value := response.text("access_token"); response.text("issued_token_type") == tokenTypeIDJAG && sanitize.IsVisibleASCII(value) {
		return secret.New(value), nil
	}
	return secret.Secret{}, fmt.Errorf("%w: it issued no ID-JAG", ErrUnsupported)
}

// JWTBearer exchanges a JWT about a subject for an access token (RFC 7523 §2.1).
func (c *Client) JWTBearer(ctx context.Context, assertion secret.Secret, want Target) (*TokenResponse, error) {
	return c.grant(ctx, want.form(url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"},
		"assertion":  {assertion.Reveal()},
	}))
}

// The token_type_hint of a revocation (RFC 7009 §2.1).
const (
	HintRefreshToken = "refresh_token"
	HintAccessToken  = "access_token"
)

// Revoke revokes a token at the server (RFC 7009). ErrUnsupported: the server has no
// revocation, or none for this kind of token.
func (c *Client) Revoke(ctx context.Context, token secret.Secret, hint string) error {
	if c.Metadata.RevocationEndpoint == "" {
		return ErrUnsupported
	}
	status, body, err := c.post(ctx, c.Metadata.RevocationEndpoint, url.Values{
		"token":           {token.Reveal()},
		"token_type_hint": {hint},
	}, nil)
	if err != nil {
		return err
	}
	if isSuccess(status) { // RFC 7009 says 200; some servers send 204
		return nil
	}
	err = c.responseError(status, body)
	if HasCode(err, "unsupported_token_type") {
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return err
}

// EndSessionURL returns the page where the user ends their browser session at the server
// (OpenID Connect RP-Initiated Logout §2), or "" if it names no valid URL. It contains no
// id_token, because the browser's arguments are visible to other processes.
func EndSessionURL(m *discovery.Metadata, clientID string) string {
	page, err := withParams(m.EndSessionEndpoint, url.Values{"client_id": {clientID}})
	if err != nil || CheckURL(page) != nil {
		return ""
	}
	return page
}
