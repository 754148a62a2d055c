package authservertest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"slices"
)

// Client is a registered client. One without a secret is public.
type Client struct {
	ID, Secret  string
	AuthMethod  string // none, client_secret_basic or client_secret_post
	RedirectURI string // on loopback; its port is free
}

// ClientSecret is the secret of the clients that have one. Its characters are
// those that a form or a Basic header must escape.
const ClientSecret = "s3cret +%:ä"

// The clients that every server knows.
var clients = []Client{
	{ID: "fob-test", AuthMethod: "none", RedirectURI: "http://127.0.0.1/callback"},
	{ID: "fob-secret", Secret: ClientSecret, AuthMethod: "client_secret_basic", RedirectURI: "http://127.0.0.1/callback"},
	{ID: "fob-post", Secret: ClientSecret, AuthMethod: "client_secret_post", RedirectURI: "http://127.0.0.1/callback"},
	{ID: "fob-localhost", AuthMethod: "none", RedirectURI: "http://localhost/cb"},
}

// clientByID finds a registered client.
func clientByID(id string) (Client, bool) {
	i := slices.IndexFunc(clients, func(c Client) bool { return c.ID == id })
	if i < 0 {
		return Client{}, false
	}
	return clients[i], true
}

// clientOf reads the form of a token or revocation request and knows whose it is;
// else it has answered (RFC 6749 §5.2).
func clientOf(w http.ResponseWriter, r *http.Request) (Client, bool) {
	if problem := badForm(r); problem != "" {
		refuse(w, http.StatusBadRequest, "invalid_request", problem)
		return Client{}, false
	}
	client, ok := authenticate(r)
	if !ok {
		w.Header().Set("WWW-Authenticate", `Basic realm="authservertest"`)
		refuse(w, http.StatusUnauthorized, "invalid_client", "the client did not authenticate as registered")
	}
	return client, ok
}

// badForm names what is wrong with a request's form, whoever sent it.
func badForm(r *http.Request) string {
	mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case mediaType != "application/x-www-form-urlencoded":
		return "the body is no form"
	case r.URL.RawQuery != "":
		return "parameters in the URL" // RFC 6749 §2.3.1, §3.2
	case r.ParseForm() != nil:
		return "the form cannot be read"
	}
	return repeated(r.PostForm)
}

// repeated names a parameter that came more than once (RFC 6749 §3.1, §3.2).
func repeated(form url.Values) string {
	for name, values := range form {
		if len(values) != 1 {
			return "more than one " + name
		}
	}
	return ""
}

// authenticate wants the method that the client is registered with, and no other
// beside it (RFC 6749 §2.3).
func authenticate(r *http.Request) (Client, bool) {
	id, secret, method := r.PostForm.Get("client_id"), r.PostForm.Get("client_secret"), "none"
	if r.PostForm.Has("client_secret") {
		method = "client_secret_post"
	}
	if r.Header.Get("Authorization") != "" {
		user, password, ok := r.BasicAuth()
		userID, errID := url.QueryUnescape(user)
		userSecret, errSecret := url.QueryUnescape(password)
		if !ok || errID != nil || errSecret != nil || method != "none" || id != "" && id != userID {
			return Client{}, false
		}
		id, secret, method = userID, userSecret, "client_secret_basic"
	}
	client, known := clientByID(id)
	return client, known && client.AuthMethod == method && client.Secret == secret
}

func refuse(w http.ResponseWriter, status int, code, description string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": code, "error_description": description})
}

// unreserved is what a code verifier is made of (RFC 7636 §4.1).
const unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"

// challengeOf is S256 (RFC 7636 §4.2).
func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
