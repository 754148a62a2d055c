package authservertest

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// The grants that clients may ask for.
const (
	grantCode      = "authorization_code"
	grantRefresh   = "refresh_token"
	grantClient    = "client_credentials"
	grantDevice    = "urn:ietf:params:oauth:grant-type:device_code"
	grantExchange  = "urn:ietf:params:oauth:grant-type:token-exchange"
	grantAssertion = "urn:ietf:params:oauth:grant-type:jwt-bearer"
)

type family struct {
	number         int // from 1
	client         Client
	subject, scope string
	resources      []string // that its tokens may be for
	jkt            string   // of the key that a public client's refresh tokens are bound to (RFC 9449 §5)
	ended          bool
}

type refreshToken struct {
	used       time.Time // when it was first replaced; zero: not yet
	generation int       // rotations since the login
	family     *family
}

type accessToken struct {
	scope            string
	audience         []string
	jkt, certificate string // that it is bound to (RFC 9449 §6, RFC 8705 §3)
	revoked          bool
	expires          time.Time
	generation       int // of the refresh token beside it
	family           *family
}

// tokenClient is the client of a token request, and what its tokens are bound to.
type tokenClient struct {
	client           Client
	jkt, certificate string
}

// newFamily begins a login. s.mu is held.
func (s *Server) newFamily(client Client, subject, scope string, resources []string) *family {
	s.families++
	if len(resources) == 0 {
		resources = []string{s.Issuer() + "/api"}
	}
	return &family{number: s.families, client: client, subject: subject, scope: scope, resources: resources}
}

// newSecret makes a token that is easy to find where it must not be. s.mu is held.
func (s *Server) newSecret(kind string) string {
	b := make([]byte, 24)
	_, _ = rand.Read(b)
	token := "authservertest-" + kind + "-" + base64.RawURLEncoding.EncodeToString(b)
	if kind == "refresh" && len(token) < s.opts.TokenSize {
		token += strings.Repeat("x", s.opts.TokenSize-len(token))
	}
	s.issued = append(s.issued, token)
	return token
}

// record keeps a token for IssuedTokens that newSecret has not made.
func (s *Server) record(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.issued = append(s.issued, token)
}

func (s *Server) serveToken(w http.ResponseWriter, r *http.Request) {
	client, ok := s.clientOf(w, r, "resource", "audience")
	if !ok {
		return
	}
	s.countGrant(r)
	if s.redeemStolenCode(w, r) {
		return
	}
	select {
	case <-time.After(s.opts.Latency):
	case <-r.Context().Done():
	}
	grant := r.PostForm.Get("grant_type")
	serve, known := map[string]func(http.ResponseWriter, *http.Request, tokenClient){
		grantCode: s.redeem, grantRefresh: s.rotate, grantClient: s.serveClientCredentials,
		grantDevice: s.serveDevicePoll, grantExchange: s.serveExchange, grantAssertion: s.serveAssertionGrant,
	}[grant]
	switch {
	case grant == "":
		writeError(w, http.StatusBadRequest, "invalid_request", "no grant_type")
	case !known:
		writeError(w, http.StatusBadRequest, "unsupported_grant_type", "")
	case !slices.Contains(client.Grants, grant):
		writeError(w, http.StatusBadRequest, "unauthorized_client", "the client is not registered for this grant")
	default:
		if jkt, ok := s.proofKey(w, r, client); ok {
			serve(w, r, tokenClient{client, jkt, boundThumbprint(client, r.TLS)})
		}
	}
}

// redeem gives tokens for a code, once: a second time ends what the first gave.
func (s *Server) redeem(w http.ResponseWriter, r *http.Request, by tokenClient) {
	s.mu.Lock()
	code, ok := s.codes[r.PostForm.Get("code")]
	if !ok {
		code = &authCode{family: &family{}}
	}
	resources, within := narrowResources(code.family.resources, r.PostForm["resource"])
	problem, name := code.check(r.PostForm, by), "invalid_grant"
	switch {
	case !ok:
		problem = "unknown code"
	case problem == "" && !within:
		problem, name = "a resource that was not granted", "invalid_target"
	}
	if problem != "" {
		s.mu.Unlock()
		writeError(w, http.StatusBadRequest, name, problem)
		return
	}
	code.used = true
	f := code.family
	m := s.tokens(issuance{family: f, scope: f.scope, resources: resources, tokenClient: by, withRefresh: s.issuesRefreshToken(f.scope)})
	s.mu.Unlock()
	s.addIDToken(m, f, f.scope, code.nonce)
	s.answerTokens(w, m, by)
}

// check names what is wrong with a client's claim to a code. s.mu is held.
func (code *authCode) check(form url.Values, by tokenClient) string {
	verifier := form.Get("code_verifier")
	switch {
	case code.used:
		code.family.ended = true
		return "the code was used before"
	case code.family.client.ID != by.client.ID:
		return "the code is another client's"
	case code.redirectURI != form.Get("redirect_uri"):
		return "another redirect URI"
	case len(verifier) < 43 || len(verifier) > 128 || strings.Trim(verifier, unreserved) != "":
		return "the verifier has not 43 to 128 unreserved characters" // RFC 7636 §4.1
	case code.challenge != challengeOf(verifier):
		return "the verifier does not match"
	case code.jkt != "" && code.jkt != by.jkt:
		return "the code is bound to another key" // RFC 9449 §10
	case code.family.ended:
		return "the login was ended"
	}
	return ""
}

// rotate gives new tokens for a refresh token. One that comes back ends the family.
func (s *Server) rotate(w http.ResponseWriter, r *http.Request, by tokenClient) {
	s.mu.Lock()
	old, ok := s.refresh[r.PostForm.Get("refresh_token")]
	if !ok {
		old = &refreshToken{family: &family{}}
	}
	i := issuance{family: old.family, scope: old.family.scope, generation: old.generation + 1, tokenClient: by, withRefresh: !s.opts.NoRotation}
	name, problem := s.checkRefresh(old, &i, r.PostForm)
	if problem != "" {
		if name == "invalid_grant" {
			s.counts["token/refused"]++
		}
		s.mu.Unlock()
		writeError(w, http.StatusBadRequest, name, problem)
		return
	}
	if !s.opts.NoRotation {
		old.used = cmp.Or(old.used, time.Now()) // under the lock, so that of two requests at once only one succeeds
	}
	m := s.tokens(i)
	s.mu.Unlock()
	if !s.opts.NoRefreshedIDToken {
		s.addIDToken(m, old.family, i.scope, noNonce)
	}
	s.faultTokens(m, by)
	if kept, _ := m["refresh_token"].(string); kept == "" {
		s.mu.Lock()
		old.used = time.Time{} // there is no replacement, or a fault removed it: the old one remains valid
		s.mu.Unlock()
	}
	if _, drops := s.take("drop", nil); drops {
		panic(http.ErrAbortHandler)
	}
	s.faultHolds(r.Context())
	s.answer(w, "", m)
}

// checkRefresh names what is wrong with a refresh, and narrows what is issued to what
// it asks for (RFC 6749 §6, RFC 8707 §2.2). s.mu is held.
func (s *Server) checkRefresh(old *refreshToken, i *issuance, form url.Values) (name, problem string) {
	switch f := old.family; {
	case f.client.ID != i.client.ID:
		return "invalid_grant", "unknown refresh token"
	case s.isSpent(old):
		f.ended = true
		return "invalid_grant", "the refresh token was used before"
	case f.ended:
		return "invalid_grant", "the login was ended"
	case f.jkt != "" && i.jkt == "":
		return "invalid_dpop_proof", "the refresh token is bound to a key, and there is no proof"
	case f.jkt != "" && f.jkt != i.jkt:
		return "invalid_grant", "the refresh token is bound to another key"
	}
	var within bool
	if i.resources, within = narrowResources(i.family.resources, form["resource"]); !within {
		return "invalid_target", "a resource that was not granted"
	}
	if form.Has("scope") {
		i.scope = form.Get("scope")
	}
	if _, within = narrowResources(strings.Fields(i.family.scope), strings.Fields(i.scope)); !within {
		return "invalid_scope", "more than was granted"
	}
	return "", ""
}

// serveClientCredentials is a client's login of its own, which nothing keeps alive
// (RFC 6749 §4.4.3).
func (s *Server) serveClientCredentials(w http.ResponseWriter, r *http.Request, by tokenClient) {
	s.serveOwn(w, r, by, by.client.ID, nil)
}

// serveOwn gives an access token alone, for what the request itself asks for.
func (s *Server) serveOwn(w http.ResponseWriter, r *http.Request, by tokenClient, subject string, more map[string]any) {
	resources := r.PostForm["resource"]
	if refused(w, "invalid_target", s.checkResources(resources)) {
		return
	}
	scope := slices.DeleteFunc(strings.Fields(r.PostForm.Get("scope")), func(one string) bool { return one == "openid" || one == "offline_access" })
	s.mu.Lock()
	f := s.newFamily(by.client, subject, strings.Join(scope, " "), append(slices.Clone(resources), r.PostForm["audience"]...))
	m := s.tokens(issuance{family: f, scope: f.scope, resources: f.resources, tokenClient: by})
	s.mu.Unlock()
	maps.Copy(m, more)
	s.answerTokens(w, m, by)
}

func (s *Server) answerTokens(w http.ResponseWriter, m map[string]any, by tokenClient) {
	s.faultTokens(m, by)
	s.answer(w, "", m)
}

func (s *Server) faultTokens(m map[string]any, by tokenClient) {
	s.faultChanges("token", m)
	if by.jkt != "" {
		s.faultChanges("dpop-token", m)
	}
}

// isSpent reports whether a refresh token must not be used again. The caller has locked
// s.mu.
func (s *Server) isSpent(t *refreshToken) bool {
	return !t.used.IsZero() && time.Since(t.used) >= s.opts.Grace
}

// mayRefresh: a login is kept alive with offline_access alone, where that exists.
func (s *Server) issuesRefreshToken(scope string) bool {
	return !s.opts.NoRefreshToken && (s.opts.NoOpenID || slices.Contains(strings.Fields(scope), "offline_access"))
}

type issuance struct {
	tokenClient
	family      *family
	scope       string // of the access token; a refresh token keeps its family's
	resources   []string
	generation  int
	withRefresh bool
}

// tokens makes the answer of the token endpoint. s.mu is held.
func (s *Server) tokens(i issuance) map[string]any {
	made := &accessToken{
		scope: i.scope, audience: i.resources, jkt: i.jkt, certificate: i.certificate,
		expires: time.Now().Add(s.opts.TokenLifetime), generation: i.generation, family: i.family,
	}
	var access string
	if s.opts.JWTAccessTokens {
		access = s.jwtAccessToken(made)
		s.issued = append(s.issued, access)
	} else {
		access = s.newSecret("access")
	}
	s.access[access] = made
	m := map[string]any{
		"access_token": access,
		"token_type":   "Bearer",
		"expires_in":   int(s.opts.TokenLifetime.Seconds()),
		"scope":        i.scope,
	}
	if i.jkt != "" {
		m["token_type"] = "DPoP"
	}
	if i.withRefresh {
		if i.client.AuthMethod == "none" {
			i.family.jkt = i.jkt
		}
		refresh := s.newSecret("refresh")
		s.refresh[refresh] = &refreshToken{generation: i.generation, family: i.family}
		m["refresh_token"] = refresh
		if s.opts.LoginLifetime > 0 {
			m["refresh_expires_in"] = int(s.opts.LoginLifetime.Seconds())
		}
	}
	return m
}

// serveRevocation is RFC 7009: unknown tokens are as good as revoked, another
// client's are refused, and a refresh token takes its family along.
func (s *Server) serveRevocation(w http.ResponseWriter, r *http.Request) {
	client, ok := s.clientOf(w, r)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	token := r.PostForm.Get("token")
	refresh, isRefresh := s.refresh[token]
	access, isAccess := s.access[token]
	switch {
	case token == "":
		writeError(w, http.StatusBadRequest, "invalid_request", "no token")
	case isRefresh && refresh.family.client.ID != client.ID, isAccess && access.family.client.ID != client.ID:
		writeError(w, http.StatusBadRequest, "invalid_grant", "the token is another client's")
	case isRefresh:
		refresh.family.ended = true
	case isAccess:
		access.revoked = true
	}
}

func (s *Server) serveUserinfo(w http.ResponseWriter, r *http.Request) {
	if _, ok := s.tokenOf(w, r, ""); ok {
		s.answer(w, "userinfo", map[string]any{"sub": "ada", "name": "Ada Lovelace", "email": "ada@example.com"})
	}
}
