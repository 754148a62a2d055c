package oauth

import (
	"bytes"
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

// ErrStray is a callback that does not belong to this login.
var ErrStray = errors.New("it is not of this login")

// AuthorizationError is an error in the callback, from the server or because the user
// refused (RFC 6749 §4.1.2.1). The texts are the server's; Error sanitizes them.
type AuthorizationError struct{ Code, Description string }

func (e *AuthorizationError) Error() string {
	text := "the login was refused: " + sanitize.Line(e.Code)
	if e.Description != "" {
		text += ": " + sanitize.Line(e.Description)
	}
	return text
}

// AuthorizationParams are what a login requests, in a browser or on a device.
type AuthorizationParams struct {
	Scopes    []string
	Resources []string          // what tokens may be for (RFC 8707); the first access token is for the first
	Details   string            // authorization_details, in JSON (RFC 9396)
	Extra     map[string]string // parameters of a particular server
}

// Target returns what the first access token is for.
func (p AuthorizationParams) Target() Target {
	target := Target{Scope: strings.Join(p.Scopes, " "), Details: p.Details}
	if len(p.Resources) > 0 {
		target.Resource = p.Resources[0]
	}
	return target
}

// form returns all parameters except the scopes.
func (p AuthorizationParams) form() url.Values {
	form := url.Values{}
	for name, value := range p.Extra {
		form.Set(name, value)
	}
	if p.Details != "" {
		form.Set(detailsParam, p.Details)
	}
	if len(p.Resources) > 0 {
		form["resource"] = p.Resources
	}
	return form
}

const detailsParam = "authorization_details"

// ParseDetails checks the JSON of authorization_details (RFC 9396 §2), and returns it
// without spaces.
func ParseDetails(text []byte) (string, error) {
	var details []struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(text, &details); err != nil || len(details) == 0 {
		return "", errors.New("authorization_details must be a JSON array of objects")
	}
	for i, detail := range details {
		if detail.Type == "" {
			return "", fmt.Errorf("authorization_details: object %d has no type", i+1)
		}
	}
	var b bytes.Buffer
	err := json.Compact(&b, text)
	return b.String(), err
}

// AuthorizationRequest is one login: what the browser is sent, and what the callback must
// match.
type AuthorizationRequest struct {
	RedirectURI string
	Nonce       string // empty without id_toke

	url          string
	resource     string // of the first access token (RFC 8707); empty: the server chooses
	state        secret.Secret
	codeVerifier secret.Secret
	issuer       string
	issRequired  bool // RFC 9207 §2.4
}

// NewAuthorizationRequest starts a login with a new state, PKCE S256 verifier (RFC 7636)
// and, for the scope openid, nonce. If tokens are bound to a key, so is the code (RFC 9449
// §10).
func (c *Client) NewAuthorizationRequest(redirectURI string, params AuthorizationParams) (*AuthorizationRequest, error) {
	r := &AuthorizationRequest{
		RedirectURI:  redirectURI,
		resource:     params.Target().Resource,
		state:        secret.New(randomText()),
		codeVerifier: secret.New(oauth2.GenerateVerifier()),
		issuer:       c.Metadata.Issuer,
		issRequired:  c.Metadata.IssParameterSupported || c.IssRequired,
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

// withParams adds parameters to a URL. A resource may be repeated (RFC 8707 §2); all others
// replace existing ones.
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

// Push sends the request directly to the server, so that the URL only contains a reference
// (RFC 9126).
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
		return fmt.Errorf("pushing the authorization request: %w", c.responseError(status, body))
	case json.Unmarshal(body, &answer) != nil || !sanitize.IsVisibleASCII(answer.RequestURI):
		return fmt.Errorf("%w: it pushed no request_uri", ErrMalformed)
	}
	r.url, err = withParams(c.Metadata.AuthorizationEndpoint, url.Values{
		"client_id": {c.ClientID}, "request_uri": {answer.RequestURI},
	})
	return err
}

func randomText() string { return oauth2.GenerateVerifier() }

// URL is for the browser.
func (r *AuthorizationRequest) URL() string { return r.url }

// MatchState compares the callback's state in constant time, and must be called before
// anything else in the callback is used. A mismatch is ErrStray.
func (r *AuthorizationRequest) MatchState(q url.Values) error {
	states := q["state"]
	if len(states) != 1 || subtle.ConstantTimeCompare([]byte(states[0]), []byte(r.state.Reveal())) != 1 {
		return ErrStray
	}
	return nil
}

// Code returns the authorization code of a callback whose state matches. A duplicate
// parameter, a wrong or missing iss (RFC 9207 §2.4) or an error response fails the login.
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

// ParsePasted parses a redirect URL that the user copied from a browser. Scheme, host, port
// and path must be those of the redirect URI; the rest is checked like a callback.
func (r *AuthorizationRequest) ParsePasted(line string) (url.Values, error) {
	pasted, err := url.Parse(strings.Trim(line, " \t\r\n<>\"'"))
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

// AsVisited returns a URL's host and path as a browser sends them: without port 80, and
// with a path.
func AsVisited(u *url.URL) (host, path string) {
	return strings.TrimSuffix(u.Host, ":80"), cmp.Or(u.EscapedPath(), "/")
}
