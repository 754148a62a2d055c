// Package destinationtest has doubles of platforms that cannot be had on a machine of
// one's own; for tests alone.
package destinationtest

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/nacl/box"
)

// GitHubToken is the one that GitHub takes.
const GitHubToken = "canary-token"

// GitHubSecret is what a request to set a secret says.
type GitHubSecret struct {
	EncryptedValue string `json:"encrypted_value"`
	KeyID          string `json:"key_id"`
	Visibility     string `json:"visibility"`
	Repositories   []int  `json:"selected_repository_ids"`
}

// GitHub stands for api.github.com: it has a real key pair, and opens the boxes.
type GitHub struct {
	t testing.TB

	mu         sync.Mutex // guards what follows
	generation int        // of the key pair
	public     *[32]byte
	private    *[32]byte

	Rotates int                     // how often it takes a new key once it has shown one
	Values  map[string]string       // what was set, by path
	Bodies  map[string]GitHubSecret // how
	Asked   []string                // METHOD PATH
}

// NewGitHub makes one that holds no secret.
func NewGitHub(t testing.TB) *GitHub {
	g := &GitHub{t: t, Values: make(map[string]string), Bodies: make(map[string]GitHubSecret)}
	g.newKey()
	return g
}

// Held is what was set at a path, and how, while requests may be under way.
func (g *GitHub) Held(path string) (value string, as GitHubSecret) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.Values[path], g.Bodies[path]
}

func (g *GitHub) newKey() {
	var err error
	if g.public, g.private, err = box.GenerateKey(rand.Reader); err != nil {
		g.t.Fatal(err)
	}
	g.generation++
}

func (g *GitHub) keyID() string { return fmt.Sprint("key-", g.generation) }

func (g *GitHub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	path := r.URL.EscapedPath()
	g.Asked = append(g.Asked, r.Method+" "+path)
	if r.Header.Get("Authorization") != "Bearer "+GitHubToken || r.Header.Get("X-Github-Api-Version") != "2022-11-28" || r.Header.Get("Accept") != "application/vnd.github+json" {
		g.t.Errorf("%s %s: %v", r.Method, path, r.Header)
	}
	w.Header().Set("Content-Type", "application/json")
	switch {
	case strings.HasSuffix(path, "/public-key"):
		_ = json.NewEncoder(w).Encode(map[string]string{"key_id": g.keyID(), "key": base64.StdEncoding.EncodeToString(g.public[:])})
		if g.Rotates > 0 {
			g.Rotates--
			g.newKey()
		}
	case r.Method == http.MethodGet && strings.HasSuffix(path, "/repositories"):
		_, _ = w.Write([]byte(`{"total_count":2,"repositories":[{"id":7},{"id":9}]}`)) // and no more of them
	case r.Method == http.MethodGet:
		g.show(w, path)
	default:
		g.set(w, r, path)
	}
}

func (g *GitHub) show(w http.ResponseWriter, path string) {
	there, known := g.Bodies[path]
	if !known {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]string{
		"name": path[strings.LastIndexByte(path, '/')+1:], "visibility": there.Visibility,
		"created_at": "2026-01-02T03:04:05Z", "updated_at": "2026-01-02T03:04:05Z",
	})
}

func (g *GitHub) set(w http.ResponseWriter, r *http.Request, path string) {
	var in GitHubSecret
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&in)
	sealed, notBase64 := base64.StdEncoding.DecodeString(in.EncryptedValue)
	opened, ok := box.OpenAnonymous(nil, sealed, g.public, g.private)
	if err != nil || notBase64 != nil || !ok || in.KeyID != g.keyID() {
		w.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = w.Write([]byte(`{"message":"the key_id is not the present one"}`))
		return
	}
	g.Values[path], g.Bodies[path] = string(opened), in
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write([]byte("{}"))
}
