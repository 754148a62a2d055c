// Package authservertest is an authorization server for fob's tests and demo:
// OpenID Connect with PKCE, rotation and reuse detection, strict about what the
// standards ask of a client, and misbehaving on command (see faults.go). It is
// never linked into fob.
package authservertest

import (
	"cmp"
	"crypto/rand"
	"crypto/tls"
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
	"sync/atomic"
	"time"
)

// Options change how the server behaves. The zero value rotates refresh tokens and
// ends the family of one that comes back.
type Options struct {
	Addr           string        // default: 127.0.0.1 at any port
	Path           string        // of the issuer, e.g. "/realms/acme"
	TokenLifetime  time.Duration // of access tokens; default: 1 hour
	LoginLifetime  time.Duration // of refresh tokens, said as refresh_expires_in; 0: unsaid
	TokenSize      int           // of refresh tokens, at least, in characters
	NoRotation     bool
	Grace          time.Duration // how long a used refresh token remains valid, for responses that were lost
	Latency        time.Duration // of the token endpoint
	NoRefreshToken bool
	NoOpenID       bool // RFC 8414 metadata alone, and no id_token
	NoIss          bool // neither promises iss in its callbacks nor sends it (RFC 9207)
	NoRevocation   bool
	TLS            bool // and mutual TLS for the clients that are registered for it

	DeviceInterval int           // between polls, in seconds; default: 1
	DeviceLifetime time.Duration // of device codes; default: 10 minutes

	PAR          bool // takes pushed authorization requests
	RequirePAR   bool // takes no others
	DPoPNonce    bool // wants its own nonce in proofs
	DPoPRequired bool // gives no bearer tokens
	Registration bool // lets clients register themselves
	ClientURLs   bool // supports client IDs that are the URL of a document

	NoRefreshedIDToken bool                            // a refresh answers with none
	JWTAccessTokens    bool                            // RFC 9068 in place of opaque ones
	Front              func(http.Handler) http.Handler // what a test puts in front of the server
}

// Server is a running authorization server.
type Server struct {
	opts  Options
	http  *httptest.Server
	nonce string // that proofs must have (RFC 9449 §8)

	mu      sync.Mutex // guards all below but the atomics
	faults  map[string]int
	counts  map[string]int
	codes   map[string]*authCode
	refresh map[string]*refreshToken
	access  map[string]*accessToken
	issued  []string

	clients map[string]Client
	pushed  map[string]*pushed
	devices map[string]*deviceGrant
	seen    map[string]bool // jti of assertions and proofs

	families int           // how many logins there have been
	released chan struct{} // closed when a held answer may go

	rotated atomic.Bool           // the server signs with its next key, which takes the old one's place in the key set
	share   atomic.Int64          // see Share
	mixUp   atomic.Pointer[mixUp] // how the server attacks another one; nil: it does not
}

// Start runs a server on loopback until Close.
func Start(opts Options) (*Server, error) {
	opts.TokenLifetime = cmp.Or(opts.TokenLifetime, time.Hour)
	opts.DeviceInterval = cmp.Or(opts.DeviceInterval, 1)
	opts.DeviceLifetime = cmp.Or(opts.DeviceLifetime, 10*time.Minute)
	listener, err := net.Listen("tcp", cmp.Or(opts.Addr, "127.0.0.1:0"))
	if err != nil {
		return nil, err
	}
	s := &Server{
		opts:   opts,
		faults: map[string]int{}, counts: map[string]int{},
		codes: map[string]*authCode{}, refresh: map[string]*refreshToken{}, access: map[string]*accessToken{},
		pushed: map[string]*pushed{}, devices: map[string]*deviceGrant{}, seen: map[string]bool{},
		nonce: rand.Text(), released: make(chan struct{}),
	}
	handler := s.routes()
	if opts.Front != nil {
		handler = opts.Front(handler)
	}
	s.http = &httptest.Server{Listener: listener, Config: &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0)}}
	scheme := map[bool]string{false: "http://", true: "https://"}[opts.TLS]
	s.clients = clients(scheme + listener.Addr().String() + opts.Path)
	if opts.TLS {
		s.http.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
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
			defer func(began time.Time) { s.share.Add(int64(time.Since(began))) }(time.Now())
			s.count(name)
			if s.opts.DPoPNonce {
				w.Header().Set("DPoP-Nonce", s.nonce)
			}
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
	at("POST", base+"/device_authorization", "device", s.serveDevice)
	at("GET", base+"/device", "device-page", s.serveDevicePage)
	at("POST", base+"/device", "device-consent", s.serveDeviceConsent)
	at("GET", base+"/end-session", "end-session", s.serveEndSession)
	at("POST", base+"/end-session", "sign-out", s.serveSignOut)
	for _, below := range []string{"", "/{rest...}"} {
		at("GET", base+"/api"+below, "resource", s.serveAPI)
		at("GET", "/.well-known/oauth-protected-resource"+base+"/api"+below, "resource-metadata", s.serveResourceMetadata)
	}
	if s.opts.PAR || s.opts.RequirePAR {
		at("POST", base+"/par", "par", s.servePAR)
	}
	if s.opts.Registration {
		at("POST", base+"/register", "register", s.serveRegister)
		at("DELETE", base+"/register/{id}", "unregister", s.serveUnregister)
	}
	at("GET", "/test/identity", "identity", s.serveIdentity)
	s.testRoutes(mux)
	return mux
}

func (s *Server) testRoutes(mux *http.ServeMux) {
	mux.HandleFunc("POST /test/arm", func(w http.ResponseWriter, r *http.Request) {
		if err := s.InjectFault(r.FormValue("fault"), 1); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	})
	mux.HandleFunc("GET /test/count", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, s.Count(r.FormValue("endpoint"))) })
	mux.HandleFunc("GET /test/issued", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, strings.Join(append(s.IssuedTokens(), ""), "\n"))
	})
	mux.HandleFunc("POST /test/origin", func(w http.ResponseWriter, r *http.Request) {
		family, generation, known := s.Origin(r.FormValue("token"))
		if !known {
			http.Error(w, "unknown access token", http.StatusNotFound)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]int{"family": family, "generation": generation})
	})
	mux.HandleFunc("POST /test/release", func(http.ResponseWriter, *http.Request) { s.Release() })
	mux.HandleFunc("GET /test/share", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, s.Share().Nanoseconds()) })
	mux.HandleFunc("POST /test/share", func(http.ResponseWriter, *http.Request) { s.share.Store(0) })
}

// answer sends a JSON document, changed by the faults injected for name.
func (s *Server) answer(w http.ResponseWriter, name string, m map[string]any) {
	s.answerStatus(w, http.StatusOK, name, m)
}

func (s *Server) answerStatus(w http.ResponseWriter, status int, name string, m map[string]any) {
	s.faultChanges(name, m)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(m)
}

func (s *Server) count(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[name]++
}

// countGrant counts a request at the token endpoint by what it asks for.
func (s *Server) countGrant(r *http.Request) {
	name, known := map[string]string{
		grantCode: "code", grantRefresh: "refresh", grantClient: "client-credentials",
		grantDevice: "device", grantExchange: "exchange", grantAssertion: "jwt-bearer",
	}[r.PostFormValue("grant_type")]
	if known {
		s.count("token/" + name)
	}
}

// Count is how many requests an endpoint has seen: discovery, authorize, consent,
// token, token/code, token/refresh, token/device, token/client-credentials,
// token/exchange, token/jwt-bearer, revocation, userinfo, jwks, device, device-page,
// device-consent, par, register, unregister, resource,
// resource-metadata, identity, end-session. token/refused are the refreshes that
// ended in invalid_grant, signed-out the sessions that did end.
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

// Share is how long the server's own handlers have taken: what of a login is not the
// client's time.
func (s *Server) Share() time.Duration { return time.Duration(s.share.Load()) }

// Release lets the answers go that the fault token-held holds back, also those that
// are still on their way to it, until the fault is injected again.
func (s *Server) Release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.released:
	default:
		close(s.released)
	}
}

// hold lets answers be held again. s.mu is held.
func (s *Server) hold() {
	select {
	case <-s.released:
		s.released = make(chan struct{})
	default: // some are held already
	}
}

// Introspect tells whether an access or refresh token is active.
func (s *Server) Introspect(token string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t, ok := s.access[token]; ok {
		return !t.family.ended && !t.revoked && time.Now().Before(t.expires)
	}
	t, ok := s.refresh[token]
	return ok && !t.family.ended && !s.isSpent(t)
}

// IssuedTokens lists every secret that the server has given out, to look for them
// where they must not be.
func (s *Server) IssuedTokens() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.issued)
}
