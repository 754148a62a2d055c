// Package authservertest is an authorization server for fob's tests and demo:
// OpenID Connect with PKCE, rotation and reuse detection, strict about what the
// standards ask of a client, and misbehaving on command (see faults.go). It is
// never linked into fob.
package authservertest

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"
)

// Options are the server's habits. The zero value rotates refresh tokens and
// ends the family of one that comes back.
type Options struct {
	Addr           string        // default: 127.0.0.1 at any port
	Path           string        // of the issuer, e.g. "/realms/acme"
	TokenLifetime  time.Duration // of access tokens; default: 1 hour
	LoginLifetime  time.Duration // of refresh tokens, said as refresh_expires_in; 0: unsaid
	TokenSize      int           // of refresh tokens, at least, in characters
	NoRotation     bool
	Grace          bool          // an old refresh token is good once more, as at servers that expect lost answers
	Latency        time.Duration // of the token endpoint
	NoRefreshToken bool
	NoOpenID       bool // RFC 8414 metadata alone, and no id_token
	NoRevocation   bool
	TLS            bool
}

// Server is a running authorization server.
type Server struct {
	opts Options
	http *httptest.Server

	mu      sync.Mutex // guards all below
	armed   map[string]int
	counts  map[string]int
	codes   map[string]*authCode
	refresh map[string]*refreshToken
	access  map[string]*accessToken
	issued  []string

	families int           // how many logins there have been
	released chan struct{} // closed when a held answer may go
}

// Start runs a server on loopback until Close.
func Start(opts Options) (*Server, error) {
	if opts.Addr == "" {
		opts.Addr = "127.0.0.1:0"
	}
	if opts.TokenLifetime == 0 {
		opts.TokenLifetime = time.Hour
	}
	listener, err := net.Listen("tcp", opts.Addr)
	if err != nil {
		return nil, err
	}
	s := &Server{
		opts:  opts,
		armed: map[string]int{}, counts: map[string]int{},
		codes: map[string]*authCode{}, refresh: map[string]*refreshToken{}, access: map[string]*accessToken{},
		released: make(chan struct{}),
	}
	s.http = &httptest.Server{Listener: listener, Config: &http.Server{Handler: s.routes(), ErrorLog: log.New(io.Discard, "", 0)}}
	if opts.TLS {
		s.http.StartTLS()
	} else {
		s.http.Start()
	}
	return s, nil
}

// Close ends the server and its connections.
func (s *Server) Close() {
	s.http.CloseClientConnections()
	s.http.Close()
}

// Issuer is the server's issuer URL.
func (s *Server) Issuer() string { return s.http.URL + s.opts.Path }

// CACertPEM is the certificate that a server with TLS is to be trusted by.
func (s *Server) CACertPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.http.Certificate().Raw})
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	at := func(method, path, name string, handler http.HandlerFunc) {
		mux.HandleFunc(method+" "+path, func(w http.ResponseWriter, r *http.Request) {
			s.count(name)
			if !s.faultAnswers(name, w, r) {
				handler(w, r)
			}
		})
	}
	base := s.opts.Path
	if !s.opts.NoOpenID {
		at("GET", base+"/.well-known/openid-configuration", "discovery", s.serveMetadata)
	}
	at("GET", "/.well-known/oauth-authorization-server"+base, "discovery", s.serveMetadata)
	at("GET", base+"/authorize", "authorize", s.serveAuthorize)
	at("POST", base+"/authorize", "consent", s.serveConsent)
	at("POST", base+"/token", "token", s.serveToken)
	at("POST", base+"/revoke", "revocation", s.serveRevocation)
	at("GET", base+"/userinfo", "userinfo", s.serveUserinfo)
	at("GET", base+"/jwks", "jwks", s.serveJWKS)
	mux.HandleFunc("POST /test/arm", s.serveArm)
	mux.HandleFunc("GET /test/count", s.serveCount)
	mux.HandleFunc("POST /test/origin", s.serveOrigin)
	mux.HandleFunc("POST /test/release", s.serveRelease)
	return mux
}

func (s *Server) serveMetadata(w http.ResponseWriter, _ *http.Request) {
	url := s.Issuer()
	m := map[string]any{
		"issuer":                                         url,
		"authorization_endpoint":                         url + "/authorize",
		"token_endpoint":                                 url + "/token",
		"userinfo_endpoint":                              url + "/userinfo",
		"scopes_supported":                               []string{"openid", "profile", "email", "offline_access", "reports:read"},
		"response_types_supported":                       []string{"code"},
		"grant_types_supported":                          []string{"authorization_code", "refresh_token"},
		"code_challenge_methods_supported":               []string{"S256"},
		"token_endpoint_auth_methods_supported":          []string{"none", "client_secret_basic", "client_secret_post"},
		"authorization_response_iss_parameter_supported": true,
	}
	if !s.opts.NoOpenID {
		m["jwks_uri"] = url + "/jwks"
		m["id_token_signing_alg_values_supported"] = []string{"RS256"}
	}
	if !s.opts.NoRevocation {
		m["revocation_endpoint"] = url + "/revoke"
	}
	s.answer(w, "discovery", m)
}

// answer sends a JSON document, changed by the faults that are armed for name.
func (s *Server) answer(w http.ResponseWriter, name string, m map[string]any) {
	s.faultChanges(name, m)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(m)
}

func (s *Server) count(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[name]++
}

// countGrant counts a request at the token endpoint by what it asks for.
func (s *Server) countGrant(r *http.Request) {
	switch r.PostFormValue("grant_type") {
	case "authorization_code":
		s.count("token/code")
	case "refresh_token":
		s.count("token/refresh")
	}
}

// Count is how many requests an endpoint has seen: discovery, authorize, consent,
// token, token/code, token/refresh, revocation, userinfo, jwks. token/refused are
// the refreshes that ended in invalid_grant.
func (s *Server) Count(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[name]
}

// Origin tells which login an access token came of, by number, and how many
// rotations lie between the two.
func (s *Server) Origin(token string) (family, generation int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.access[token]
	if !ok {
		return 0, 0, false
	}
	return t.family.number, t.generation, true
}

// Release lets the answers go that the fault token-held holds back.
func (s *Server) Release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.released)
	s.released = make(chan struct{})
}

// Introspect tells whether an access or refresh token is active.
func (s *Server) Introspect(token string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t, ok := s.access[token]; ok {
		return !t.family.ended && !t.revoked && time.Now().Before(t.expires)
	}
	t, ok := s.refresh[token]
	return ok && !t.family.ended && !s.spent(t)
}

// IssuedTokens lists every secret that the server has given out, to look for them
// where they must not be.
func (s *Server) IssuedTokens() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.issued)
}

func (s *Server) serveArm(w http.ResponseWriter, r *http.Request) {
	if err := s.Arm(r.FormValue("fault"), 1); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}

func (s *Server) serveCount(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintln(w, s.Count(r.FormValue("endpoint")))
}

func (s *Server) serveOrigin(w http.ResponseWriter, r *http.Request) {
	family, generation, ok := s.Origin(r.FormValue("token"))
	if !ok {
		http.Error(w, "unknown access token", http.StatusNotFound)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]int{"family": family, "generation": generation})
}

func (s *Server) serveRelease(http.ResponseWriter, *http.Request) { s.Release() }

// space is a list of scopes.
func space(scopes string) []string { return strings.Fields(scopes) }
