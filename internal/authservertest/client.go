package authservertest

import (
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Client is a registered client. One of the method none is public.
type Client struct {
	ID, Secret   string
	AuthMethod   string           // token_endpoint_auth_method (RFC 7591 §2)
	RedirectURIs []string         // on loopback; their ports are free
	Grants       []string         // that it may ask for
	PublicKey    crypto.PublicKey // of private_key_jwt
	Subject      string           // of tls_client_auth
	Certificates []string         // of self_signed_tls_client_auth: SHA-256, as in x5t#S256
	DPoP         bool             // dpop_bound_access_tokens: it takes no other (RFC 9449 §5.2)

	registration string // the token that it may unregister with (RFC 7592)
}

// ClientSecret is the secret of the clients that have one. Its characters are
// those that a form or a Basic header must escape.
const ClientSecret = "s3cret +%:ä"

// JWTClientSecret is the secret that fob-jwt signs with: HS256 wants 32 bytes.
const JWTClientSecret = "a secret +%:ä of more than thirty-two bytes"

// RedirectFor is the redirect that a client which has one for each issuer registers
// with this server.
func (s *Server) RedirectFor() string { return redirectFor(s.Issuer()) }

func redirectFor(issuer string) string {
	sum := sha256.Sum256([]byte(issuer))
	return "http://127.0.0.1/callback/" + hex.EncodeToString(sum[:10])
}

// clients that every server knows, by ID. Those of people have the redirect that fob
// once had for all issuers too.
func clients(issuer string) map[string]Client {
	known := map[string]Client{}
	person := []string{grantCode, grantRefresh, grantDevice}
	both := append(slices.Clone(person), grantClient)
	redirect := []string{"http://127.0.0.1/callback", redirectFor(issuer)}
	for _, c := range []Client{
		{ID: "fob-test", AuthMethod: "none", RedirectURIs: redirect, Grants: person},
		{ID: "fob-secret", Secret: ClientSecret, AuthMethod: "client_secret_basic", RedirectURIs: redirect, Grants: person},
		{ID: "fob-post", Secret: ClientSecret, AuthMethod: "client_secret_post", RedirectURIs: redirect, Grants: person},
		{ID: "fob-localhost", AuthMethod: "none", RedirectURIs: []string{"http://localhost/cb"}, Grants: person},
		{ID: "fob-service", Secret: ClientSecret, AuthMethod: "client_secret_basic", Grants: []string{grantClient}},
		{ID: "fob-jwt", Secret: JWTClientSecret, AuthMethod: "client_secret_jwt", RedirectURIs: redirect, Grants: both},
		{ID: "fob-key", PublicKey: clientKey().Public(), AuthMethod: "private_key_jwt", RedirectURIs: redirect, Grants: both},
		{ID: "fob-tls", Subject: clientSubject, AuthMethod: "tls_client_auth", RedirectURIs: redirect, Grants: both},
		{ID: "fob-self-signed", Certificates: selfSigned(), AuthMethod: "self_signed_tls_client_auth", RedirectURIs: redirect, Grants: both},
		{ID: "https://fob.example/client-metadata.json", AuthMethod: "none", RedirectURIs: redirect[:1], Grants: person}, // its document is not fetched
		{ID: "fob-ci", AuthMethod: "none", Grants: []string{grantExchange, grantAssertion}},
	} {
		known[c.ID] = c
	}
	return known
}

// AddClient registers one more client, or another in its place.
func (s *Server) AddClient(c Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients[c.ID] = c
}

func (s *Server) client(id string) (Client, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, known := s.clients[id]
	return c, known
}

// clientOf reads the form of a request to an endpoint of the server and knows
// whose it is; else it has answered (RFC 6749 §5.2).
func (s *Server) clientOf(w http.ResponseWriter, r *http.Request, repeatable ...string) (Client, bool) {
	if refused(w, "invalid_request", checkForm(r, repeatable)) {
		return Client{}, false
	}
	client, problem := s.authenticate(r)
	if problem != "" {
		w.Header().Set("WWW-Authenticate", `Basic realm="authservertest"`)
		writeError(w, http.StatusUnauthorized, "invalid_client", "the client did not authenticate as registered: "+problem)
	}
	return client, problem == ""
}

// checkForm returns what is wrong with the form of a request from any client.
func checkForm(r *http.Request, repeatable []string) string {
	mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case mediaType != "application/x-www-form-urlencoded":
		return "the body is no form"
	case r.URL.RawQuery != "":
		return "parameters in the URL" // RFC 6749 §2.3.1, §3.2
	case r.ParseForm() != nil:
		return "the form cannot be read"
	}
	return repeatedParam(r.PostForm, repeatable...)
}

// repeatedParam names a parameter that is repeated and must not be (RFC 6749 §3.1, §3.2).
func repeatedParam(form url.Values, repeatable ...string) string {
	for name, values := range form {
		if len(values) != 1 && !slices.Contains(repeatable, name) {
			return "more than one " + name
		}
	}
	return ""
}

// credentials are what a request brings to show whose it is.
type credentials struct{ method, id, secret string }

// readCredentials reads the client's credentials from a request. Only one method may be used
// (RFC 6749 §2.3).
func readCredentials(r *http.Request) (credentials, string) {
	form := r.PostForm
	c := credentials{method: "none", id: form.Get("client_id")}
	found := 0
	if form.Has("client_secret") {
		found++
		c.method, c.secret = "client_secret_post", form.Get("client_secret")
	}
	if form.Has("client_assertion") || form.Has("client_assertion_type") {
		found++
		c.method, c.secret = "assertion", form.Get("client_assertion")
		if c.id == "" { // RFC 7521 §4.2: the assertion says it
			c.id = subjectOf(c.secret)
		}
	}
	if r.Header.Get("Authorization") != "" {
		found++
		user, password, ok := r.BasicAuth()
		id, errID := url.QueryUnescape(user)
		secret, errSecret := url.QueryUnescape(password)
		if !ok || errID != nil || errSecret != nil || c.id != "" && c.id != id {
			return c, "the Basic header is malformed, or another client's"
		}
		c = credentials{"client_secret_basic", id, secret}
	}
	if found > 1 {
		return c, "it used two methods"
	}
	return c, ""
}

// authenticate wants the method that the client is registered with, and no other
// beside it. It names what is wrong.
func (s *Server) authenticate(r *http.Request) (Client, string) {
	c, problem := readCredentials(r)
	client, known := s.client(c.id)
	switch {
	case problem != "":
	case !known:
		problem = "unknown client"
	case strings.HasSuffix(client.AuthMethod, "_jwt"):
		if problem = "no assertion"; c.method == "assertion" {
			problem = s.checkClientAssertion(client, r)
		}
	case strings.HasSuffix(client.AuthMethod, "tls_client_auth"):
		if problem = "another method"; c.method == "none" {
			problem = s.checkCertificate(client, r.TLS)
		}
	case client.AuthMethod != c.method:
		problem = "another method"
	case client.Secret != c.secret:
		problem = "another secret"
	}
	return client, problem
}

// refused answers that a request is wrong, where there is a problem.
func refused(w http.ResponseWriter, code, problem string) bool {
	if problem != "" {
		writeError(w, http.StatusBadRequest, code, problem)
	}
	return problem != ""
}

func writeError(w http.ResponseWriter, status int, code, description string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": code, "error_description": description})
}

// unreserved is what a code verifier is made of (RFC 7636 §4.1).
const unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"

// challengeOf is S256 (RFC 7636 §4.2).
func challengeOf(verifier string) string {
	return thumbprint([]byte(verifier))
}
