package authservertest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// family is all that came of one login.
type family struct{ ended bool }

type refreshToken struct {
	client Client
	scope  string
	used   bool
	family *family
}

type accessToken struct {
	scope   string
	revoked bool
	expires time.Time
	family  *family
}

// newSecret makes a token that is easy to find where it must not be. s.mu is held.
func (s *Server) newSecret(kind string) string {
	b := make([]byte, 24)
	_, _ = rand.Read(b)
	token := "authservertest-" + kind + "-" + base64.RawURLEncoding.EncodeToString(b)
	s.issued = append(s.issued, token)
	return token
}

func (s *Server) serveToken(w http.ResponseWriter, r *http.Request) {
	client, ok := authenticate(r)
	if !ok {
		refuse(w, http.StatusUnauthorized, "invalid_client", "the client did not authenticate as registered")
		return
	}
	switch r.PostForm.Get("grant_type") {
	case "authorization_code":
		s.count("token/code")
		s.redeem(w, r, client)
	case "refresh_token":
		s.count("token/refresh")
		s.rotate(w, r, client)
	default:
		refuse(w, http.StatusBadRequest, "unsupported_grant_type", "")
	}
}

// authenticate wants exactly the method that the client is registered with.
func authenticate(r *http.Request) (Client, bool) {
	if r.ParseForm() != nil || len(r.URL.RawQuery) > 0 {
		return Client{}, false
	}
	id, secret, basic := r.BasicAuth()
	formID, formSecret := r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	method := "none"
	switch {
	case basic:
		method = "client_secret_basic"
		id, _ = url.QueryUnescape(id)
		secret, _ = url.QueryUnescape(secret)
	case formSecret != "":
		method = "client_secret_post"
		id, secret = formID, formSecret
	default:
		id = formID
	}
	client, known := clientByID(id)
	return client, known && client.AuthMethod == method && client.Secret == secret
}

func refuse(w http.ResponseWriter, status int, code, description string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": code, "error_description": description})
}

// redeem gives tokens for a code, once: a second time ends what the first gave.
func (s *Server) redeem(w http.ResponseWriter, r *http.Request, client Client) {
	form := r.PostForm
	sum := sha256.Sum256([]byte(form.Get("code_verifier")))
	s.mu.Lock()
	code, ok := s.codes[form.Get("code")]
	problem := ""
	switch {
	case !ok:
		problem = "unknown code"
	case code.used:
		code.family.ended = true
		problem = "the code was used before"
	case code.client.ID != client.ID:
		problem = "the code is another client's"
	case code.redirectURI != form.Get("redirect_uri"):
		problem = "another redirect URI"
	case code.challenge != base64.RawURLEncoding.EncodeToString(sum[:]):
		problem = "the verifier does not match"
	}
	if problem != "" {
		s.mu.Unlock()
		refuse(w, http.StatusBadRequest, "invalid_grant", problem)
		return
	}
	code.used = true
	m := s.tokens(client, code.scope, code.family)
	s.mu.Unlock()
	if !s.opts.NoOpenID && slices.Contains(space(code.scope), "openid") {
		m["id_token"] = s.idToken(client.ID, code.nonce, m["access_token"].(string))
	}
	s.answer(w, "token", m)
}

// rotate gives new tokens for a refresh token. One that comes back ends the family.
func (s *Server) rotate(w http.ResponseWriter, r *http.Request, client Client) {
	s.mu.Lock()
	old, ok := s.refresh[r.PostForm.Get("refresh_token")]
	problem := ""
	switch {
	case !ok || old.client.ID != client.ID:
		problem = "unknown refresh token"
	case old.used && !s.opts.Grace:
		old.family.ended = true
		problem = "the refresh token was used before"
	case old.family.ended:
		problem = "the login was ended"
	}
	if problem != "" {
		s.mu.Unlock()
		refuse(w, http.StatusBadRequest, "invalid_grant", problem)
		return
	}
	m := s.tokens(client, old.scope, old.family)
	if s.opts.NoRotation {
		delete(m, "refresh_token")
	}
	s.mu.Unlock()
	keep := s.opts.NoRotation
	s.faultChanges("token", m)
	if kept, _ := m["refresh_token"].(string); kept == "" {
		keep = true // a fault: the server goes on with the old one
	}
	s.mu.Lock()
	old.used = !keep
	s.mu.Unlock()
	if s.faultDrops() {
		panic(http.ErrAbortHandler)
	}
	s.answer(w, "", m)
}

// tokens makes the answer of the token endpoint. s.mu is held.
func (s *Server) tokens(client Client, scope string, f *family) map[string]any {
	access := s.newSecret("access")
	s.access[access] = &accessToken{scope: scope, expires: time.Now().Add(s.opts.TokenLifetime), family: f}
	m := map[string]any{
		"access_token": access,
		"token_type":   "Bearer",
		"expires_in":   int(s.opts.TokenLifetime.Seconds()),
		"scope":        scope,
	}
	wantsRefresh := s.opts.NoOpenID || slices.Contains(space(scope), "offline_access")
	if wantsRefresh && !s.opts.NoRefreshToken {
		refresh := s.newSecret("refresh")
		s.refresh[refresh] = &refreshToken{client: client, scope: scope, family: f}
		m["refresh_token"] = refresh
		if s.opts.LoginLifetime > 0 {
			m["refresh_expires_in"] = int(s.opts.LoginLifetime.Seconds())
		}
	}
	return m
}

// serveRevocation is RFC 7009: unknown tokens are as good as revoked, and a
// refresh token takes its family along.
func (s *Server) serveRevocation(w http.ResponseWriter, r *http.Request) {
	if _, ok := authenticate(r); !ok {
		refuse(w, http.StatusUnauthorized, "invalid_client", "the client did not authenticate as registered")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	token := r.PostForm.Get("token")
	if t, ok := s.refresh[token]; ok {
		t.family.ended = true
	}
	if t, ok := s.access[token]; ok {
		t.revoked = true
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
