package authservertest

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"time"
)

// family is all that came of one login.
type family struct {
	number int // from 1
	client Client
	ended  bool
}

type refreshToken struct {
	scope      string
	uses       int // that were answered with a successor
	generation int // rotations since the login
	family     *family
}

type accessToken struct {
	scope      string
	revoked    bool
	expires    time.Time
	generation int // of the refresh token beside it
	family     *family
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
	client, ok := clientOf(w, r)
	if !ok {
		return
	}
	s.countGrant(r)
	select {
	case <-time.After(s.opts.Latency):
	case <-r.Context().Done():
	}
	switch r.PostForm.Get("grant_type") {
	case "authorization_code":
		s.redeem(w, r, client)
	case "refresh_token":
		s.rotate(w, r, client)
	case "":
		refuse(w, http.StatusBadRequest, "invalid_request", "no grant_type")
	default:
		refuse(w, http.StatusBadRequest, "unsupported_grant_type", "")
	}
}

// redeem gives tokens for a code, once: a second time ends what the first gave.
func (s *Server) redeem(w http.ResponseWriter, r *http.Request, client Client) {
	form := r.PostForm
	s.mu.Lock()
	code, ok := s.codes[form.Get("code")]
	verifier := form.Get("code_verifier")
	problem := ""
	switch {
	case !ok:
		problem = "unknown code"
	case code.used:
		code.family.ended = true
		problem = "the code was used before"
	case code.family.client.ID != client.ID:
		problem = "the code is another client's"
	case code.redirectURI != form.Get("redirect_uri"):
		problem = "another redirect URI"
	case len(verifier) < 43 || len(verifier) > 128 || strings.Trim(verifier, unreserved) != "":
		problem = "the verifier has not 43 to 128 unreserved characters" // RFC 7636 §4.1
	case code.challenge != challengeOf(verifier):
		problem = "the verifier does not match"
	}
	if problem != "" {
		s.mu.Unlock()
		refuse(w, http.StatusBadRequest, "invalid_grant", problem)
		return
	}
	code.used = true
	m := s.tokens(code.scope, code.family, 0, s.mayRefresh(code.scope))
	s.mu.Unlock()
	if !s.opts.NoOpenID && slices.Contains(space(code.scope), "openid") {
		m["id_token"] = s.idToken(client.ID, code.nonce, m["access_token"].(string))
		s.record(m["id_token"].(string))
	}
	s.answer(w, "token", m)
}

// rotate gives new tokens for a refresh token. One that comes back ends the family.
func (s *Server) rotate(w http.ResponseWriter, r *http.Request, client Client) {
	s.mu.Lock()
	old, ok := s.refresh[r.PostForm.Get("refresh_token")]
	problem := ""
	switch {
	case !ok || old.family.client.ID != client.ID:
		problem = "unknown refresh token"
	case s.spent(old):
		old.family.ended = true
		problem = "the refresh token was used before"
	case old.family.ended:
		problem = "the login was ended"
	}
	if problem != "" {
		s.counts["token/refused"]++
		s.mu.Unlock()
		refuse(w, http.StatusBadRequest, "invalid_grant", problem)
		return
	}
	if !s.opts.NoRotation {
		old.uses++ // here, under the lock: of two at once, one comes too late
	}
	m := s.tokens(old.scope, old.family, old.generation+1, !s.opts.NoRotation)
	s.mu.Unlock()
	s.faultChanges("token", m)
	if kept, _ := m["refresh_token"].(string); kept == "" {
		s.mu.Lock()
		old.uses = 0 // no successor, or a fault took it: the server goes on with the old one
		s.mu.Unlock()
	}
	if s.faultDrops() {
		panic(http.ErrAbortHandler)
	}
	s.faultHolds(r.Context())
	s.answer(w, "", m)
}

// spent tells whether a refresh token may not come again. s.mu is held.
func (s *Server) spent(t *refreshToken) bool {
	return t.uses > 1 || t.uses == 1 && !s.opts.Grace
}

// mayRefresh: a login is kept alive with offline_access alone, where that exists.
func (s *Server) mayRefresh(scope string) bool {
	return !s.opts.NoRefreshToken && (s.opts.NoOpenID || slices.Contains(space(scope), "offline_access"))
}

// tokens makes the answer of the token endpoint. s.mu is held.
func (s *Server) tokens(scope string, f *family, generation int, withRefresh bool) map[string]any {
	access := s.newSecret("access")
	s.access[access] = &accessToken{scope: scope, expires: time.Now().Add(s.opts.TokenLifetime), generation: generation, family: f}
	m := map[string]any{
		"access_token": access,
		"token_type":   "Bearer",
		"expires_in":   int(s.opts.TokenLifetime.Seconds()),
		"scope":        scope,
	}
	if withRefresh {
		refresh := s.newSecret("refresh")
		s.refresh[refresh] = &refreshToken{scope: scope, generation: generation, family: f}
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
	client, ok := clientOf(w, r)
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
		refuse(w, http.StatusBadRequest, "invalid_request", "no token")
	case isRefresh && refresh.family.client.ID != client.ID, isAccess && access.family.client.ID != client.ID:
		refuse(w, http.StatusBadRequest, "invalid_grant", "the token is another client's")
	case isRefresh:
		refresh.family.ended = true
	case isAccess:
		access.revoked = true
	}
}

func (s *Server) serveUserinfo(w http.ResponseWriter, r *http.Request) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || !s.Introspect(token) {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		http.Error(w, "the token is not active", http.StatusUnauthorized)
		return
	}
	s.answer(w, "userinfo", map[string]any{"sub": "ada", "name": "Ada Lovelace", "email": "ada@example.com"})
}
