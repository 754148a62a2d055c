package destination

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/nacl/box"

	"github.com/fobcli/fob/internal/httpclient"
)

// githubDouble holds a real key pair and opens the boxes. It stands for GitHub, which
// cannot be had here.
type githubDouble struct {
	t          *testing.T
	mu         sync.Mutex
	generation int // of its key
	public     *[32]byte
	private    *[32]byte
	rotates    int // how often it takes a new key between the two requests
	values     map[string]string
	bodies     map[string]githubSecret
	asked      []string
}

func newGitHubDouble(t *testing.T) *githubDouble {
	d := &githubDouble{t: t, values: map[string]string{}, bodies: map[string]githubSecret{}}
	d.newKey()
	return d
}

func (d *githubDouble) newKey() {
	var err error
	if d.public, d.private, err = box.GenerateKey(rand.Reader); err != nil {
		d.t.Fatal(err)
	}
	d.generation++
}

func (d *githubDouble) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	path := r.URL.EscapedPath()
	d.asked = append(d.asked, r.Method+" "+path)
	if r.Header.Get("Authorization") != "Bearer canary-token" || r.Header.Get("X-Github-Api-Version") != "2022-11-28" || r.Header.Get("Accept") != "application/vnd.github+json" {
		d.t.Errorf("%s %s: %v", r.Method, path, r.Header)
	}
	id := fmt.Sprint("key-", d.generation)
	switch {
	case strings.HasSuffix(path, "/public-key"):
		_ = json.NewEncoder(w).Encode(map[string]string{"key_id": id, "key": base64.StdEncoding.EncodeToString(d.public[:])})
		if d.rotates > 0 {
			d.rotates--
			d.newKey()
		}
	case r.Method == http.MethodGet && strings.HasSuffix(path, "/repositories"):
		_, _ = w.Write([]byte(`{"total_count":2,"repositories":[{"id":7},{"id":9}]}`))
	case r.Method == http.MethodGet:
		there, known := d.bodies[path]
		if !known {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"name": "X", "visibility": there.Visibility})
	default:
		var in githubSecret
		decoder := json.NewDecoder(r.Body)
		decoder.DisallowUnknownFields()
		sealed, err := []byte(nil), decoder.Decode(&in)
		if err == nil {
			sealed, err = base64.StdEncoding.DecodeString(in.EncryptedValue)
		}
		opened, ok := box.OpenAnonymous(nil, sealed, d.public, d.private)
		if err != nil || !ok || in.KeyID != id {
			w.WriteHeader(http.StatusUnprocessableEntity)
			_, _ = w.Write([]byte(`{"message":"the key_id is not the present one"}`))
			return
		}
		d.values[path], d.bodies[path] = string(opened), in
		w.WriteHeader(http.StatusCreated)
	}
}

func TestGitHub(t *testing.T) {
	d := newGitHubDouble(t)
	m := platform(t, "github", map[string]string{"GH_TOKEN": "canary-token"}, d.ServeHTTP)
	for name, path := range map[string]string{
		"github:acme/web#API_KEY":               "/repos/acme/web/actions/secrets/API_KEY",
		"github:acme/web@production#api_key":    "/repos/acme/web/environments/production/secrets/API_KEY",
		"github:acme/web@blue green/eu#API_KEY": "/repos/acme/web/environments/blue%20green%2Feu/secrets/API_KEY",
		"github:org:acme#API_KEY":               "/orgs/acme/actions/secrets/API_KEY",
	} {
		for _, value := range []string{"canary-1", "two\nlines $x \\ \"é\""} {
			if err := deliver(t, m, name, value); err != nil || d.values[path] != value {
				t.Errorf("%s: %v, %q", name, err, d.values)
			}
		}
	}
	if d.bodies["/orgs/acme/actions/secrets/API_KEY"].Visibility != "private" {
		t.Error("a new secret of an organization is shown to more than its private repositories")
	}
}

func TestGitHubKeepsVisibility(t *testing.T) {
	d := newGitHubDouble(t)
	m := platform(t, "github", map[string]string{"GH_TOKEN": "canary-token"}, d.ServeHTTP)
	const path = "/orgs/acme/actions/secrets/API_KEY"
	for _, visibility := range []string{"all", "selected"} {
		d.bodies[path] = githubSecret{Visibility: visibility}
		if err := deliver(t, m, "github:org:acme#API_KEY", "v"); err != nil || d.bodies[path].Visibility != visibility {
			t.Error(visibility, err, d.bodies[path])
		}
	}
	if got := d.bodies[path].Repositories; len(got) != 2 || got[0] != 7 || got[1] != 9 {
		t.Errorf("shown to %v", got)
	}
}

func TestGitHubTakesANewKeyInBetween(t *testing.T) {
	d := newGitHubDouble(t)
	m := platform(t, "github", map[string]string{"GITHUB_TOKEN": "canary-token"}, d.ServeHTTP)
	d.rotates = 1
	if err := deliver(t, m, "github:acme/web#A", "v"); err != nil || d.values["/repos/acme/web/actions/secrets/A"] != "v" {
		t.Error(err, d.asked)
	}
	d.rotates = 9
	if err := deliver(t, m, "github:acme/web#A", "canary-value"); !isAnswer(err, 422) || strings.Contains(err.Error(), "canary") {
		t.Error(err)
	}
	if len(d.asked) != 4+4 {
		t.Error(d.asked)
	}
}

func TestGitHubRefusesNamesAndValues(t *testing.T) {
	m := machine(t)
	for _, name := range []string{"github:acme#A", "github:acme/web/x#A", "github:acme/web@#A", "github:acme/web@..#A", "github:acme/..#A", "github:acme/w%2Fb#A",
		"github:acme/web#GITHUB_A", "github:acme/web#github_a", "github:acme/web#1A", "github:acme/web#A-B", "github:org:#A", "github:org:a/b#A", "github:acme/web?x=1#A"} {
		var wrong *NameError
		if _, err := Parse(name, m); !errors.As(err, &wrong) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, value := range []string{"", strings.Repeat("x", 48<<10+1), "a\x00b"} {
		if err := deliver(t, m, "github:acme/web#A", value); !errors.Is(err, ErrValue) {
			t.Error(err)
		}
	}
	if d, err := Parse("github:acme/web#api_key", m); err != nil || d.Name() != "github:acme/web#API_KEY" {
		t.Error(d, err)
	}
}

func TestAPublicKeyThatIsNone(t *testing.T) {
	for _, body := range []string{"<html>", `{"key_id":"1","key":"!"}`, `{"key_id":"1","key":"AAAA"}`, `{}`, `[]`} {
		m := platform(t, "github", map[string]string{"GH_TOKEN": "t"}, func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet {
				t.Error("something was sent")
			}
			_, _ = w.Write([]byte(body))
		})
		if err := deliver(t, m, "github:acme/web#A", "v"); !errors.Is(err, httpclient.ErrMalformed) {
			t.Errorf("%s: %v", body, err)
		}
	}
}
