package oauth

import (
	"cmp"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/oauth2"

	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/secret"
)

// ErrStray is a callback that is not of this login: forged, or of another one.
var ErrStray = errors.New("it is not of this login")

// AuthorizationError is the server's or the user's no (RFC 6749 §4.1.2.1). Its
// texts come from the server; Error shows them made inert.
type AuthorizationError struct{ Code, Description string }

func (e *AuthorizationError) Error() string {
	text := "the login was refused: " + sanitize.Line(e.Code)
	if e.Description != "" {
		text += ": " + sanitize.Line(e.Description)
	}
	return text
}

// AuthorizationParams are what a login asks for, in a browser or on a device.
type AuthorizationParams struct {
	Scopes    []string
	Resources []string          // what tokens may be for (RFC 8707); the first access token is for the first
	Extra     map[string]string // a server's own
}

// Target is what the first access token is for.
func (p AuthorizationParams) Target() Target {
	target := Target{Scope: strings.Join(p.Scopes, " ")}
	if len(p.Resources) > 0 {
		target.Resource = p.Resources[0]
	}
	return target
}

// form is all but the scopes.
func (p AuthorizationParams) form() url.Values {
	form := url.Values{}
	for name, value := range p.Extra {
		form.Set(name, value)
	}
	if len(p.Resources) > 0 {
		form["resource"] = p.Resources
	}
	return form
}

// AuthorizationRequest is one login: what is sent to the browser, and what the
// callback must match.
type AuthorizationRequest struct {
	RedirectURI string
	Nonce       string // empty where no id_token was asked for

	url          string
	resource     string // what the first access token is for (RFC 8707); empty: the server chooses
	state        secret.Secret
	codeVerifier secret.Secret
	issuer       string
	issRequired  bool // RFC 9207 §2.4
}

// NewAuthorizationRequest makes a login with fresh state, PKCE S256 verifier
// (RFC 7636) and, for the scope openid, nonce; where tokens are to be bound to a
// key, the code is too (RFC 9449 §10).
func (c *Client) NewAuthorizationRequest(redirectURI string, params AuthorizationParams) (*AuthorizationRequest, error) {
	r := &AuthorizationRequest{
		RedirectURI:  redirectURI,
		resource:     params.Target().Resource,
		state:        secret.New(randomText()),
		codeVerifier: secret.New(oauth2.GenerateVerifier()),
		issuer:       c.Metadata.Issuer,
		issRequired:  c.Metadata.IssParameterSupported,
	}
	config := oauth2.Config{
		ClientID:    c.ClientID,
		RedirectURL: redirectURI,
		Scopes:      params.Scopes,
		Endpoint:    oauth2.Endpoint{AuthURL: c.Metadata.AuthorizationEndpoint},
	}
	options := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(r.codeVerifier.Reveal())}
	if slices.Contains(params.Scopes, "openid") && c.Metadata.JWKSURI != "" {
		r.Nonce = randomText()
		options = append(options, oauth2.SetAuthURLParam("nonce", r.Nonce))
	}
	if !c.DPoPKey.IsZero() {
		thumbprint, err := c.DPoPKey.Thumbprint()
		if err != nil {
			return nil, err
		}
		options = append(options, oauth2.SetAuthURLParam("dpop_jkt", thumbprint))
	}
	var err error
	r.url, err = withParams(config.AuthCodeURL(r.state.Reveal(), options...), params.form())
	return r, err
}

// withParams adds parameters to a URL: a resource may come more than once (RFC
// 8707 §2), all others replace what is there.
func withParams(raw string, params url.Values) (string, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", err
	}
	q := u.Query()
	maps.Copy(q, params)
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// Push hands the request to the server directly, so that the browser carries a
// reference alone (RFC 9126).
func (c *Client) Push(ctx context.Context, r *AuthorizationRequest) error {
	u, err := url.Parse(r.url)
	if err != nil {
		return err
	}
	status, body, err := c.post(ctx, c.Metadata.PushedAuthorizationEndpoint, u.Query(), nil)
	if err != nil {
		return fmt.Errorf("pushing the authorization request: %w", err)
	}
	var answer struct {
		RequestURI string `json:"request_uri"`
	}
	switch {
	case status != http.StatusCreated && status != http.StatusOK:
		return fmt.Errorf("pushing the authorization request: %w", c.errorAnswer(status, body))
	case json.Unmarshal(body, &answer) != nil || !sanitize.IsVisibleASCII(answer.RequestURI):
		return fmt.Errorf("%w: it pushed no request_uri", ErrMalformed)
	}
	r.url, err = withParams(c.Metadata.AuthorizationEndpoint, url.Values{
		"client_id": {c.ClientID}, "request_uri": {answer.RequestURI},
	})
	return err
}

func randomText() string { return oauth2.GenerateVerifier() }

// URL is what the browser opens.
func (r *AuthorizationRequest) URL() string { return r.url }

// MatchState compares the callback's state in constant time. It comes before
// anything else in the callback is looked at; what does not match is ErrStray.
func (r *AuthorizationRequest) MatchState(q url.Values) error {
	states := q["state"]
	if len(states) != 1 || subtle.ConstantTimeCompare([]byte(states[0]), []byte(r.state.Reveal())) != 1 {
		return ErrStray
	}
	return nil
}

// Code returns the authorization code of a callback whose state matches. A
// duplicate parameter, a wrong or missing iss (RFC 9207 §2.4) and an error answer
// end the login.
func (r *AuthorizationRequest) Code(q url.Values) (string, error) {
	if err := r.MatchState(q); err != nil {
		return "", err
	}
	for _, name := range []string{"code", "iss", "error", "error_description"} {
		if len(q[name]) > 1 {
			return "", fmt.Errorf("%w: the callback has more than one %s", ErrMalformed, name)
		}
	}
	if iss, ok := q["iss"]; ok && r.issuer != "" && iss[0] != r.issuer || !ok && r.issRequired {
		return "", fmt.Errorf("%w: the callback comes from another issuer, or does not say from which", ErrMalformed)
	}
	if q.Has("error") {
		return "", &AuthorizationError{Code: q.Get("error"), Description: q.Get("error_description")}
	}
	if q.Get("code") == "" {
		return "", fmt.Errorf("%w: the callback has no code", ErrMalformed)
	}
	return q.Get("code"), nil
}

// ParsePasted reads the redirect URL that a user copied from a browser. Scheme,
// host, port and path must be the redirect URI's; the rest is then checked as a
// callback is.
func (r *AuthorizationRequest) ParsePasted(line string) (url.Values, error) {
	pasted, err := url.Parse(strings.TrimSpace(line))
	if err != nil {
		return nil, errors.New("it is not a URL")
	}
	want, err := url.Parse(r.RedirectURI)
	if err != nil {
		return nil, err
	}
	host, path := AsVisited(pasted)
	wantHost, wantPath := AsVisited(want)
	if pasted.Scheme != want.Scheme || host != wantHost || path != wantPath || pasted.User != nil {
		return nil, fmt.Errorf("it does not begin with %s", r.RedirectURI)
	}
	q, err := url.ParseQuery(pasted.RawQuery)
	if err != nil {
		return nil, errors.New("its parameters are not readable")
	}
	return q, r.MatchState(q)
}

// AsVisited is a URL's host and path as a browser sends them: it leaves out the
// port 80, and never the path.
func AsVisited(u *url.URL) (host, path string) {
	return strings.TrimSuffix(u.Host, ":80"), cmp.Or(u.EscapedPath(), "/")
}
