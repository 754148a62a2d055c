package destination

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/httpclient"
	"github.com/fobcli/fob/internal/secret"
)

// platform is a machine that knows one platform, at a server of the test.
func platform(t *testing.T, scheme string, environ map[string]string, answer http.HandlerFunc) Machine {
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	client, err := httpclient.New(httpclient.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m := machine(t)
	m.HTTP, m.Now, m.URLs = client, time.Now, map[string]string{scheme: server.URL}
	m.Getenv = func(name string) string { return environ[name] }
	return m
}

func deliver(t *testing.T, m Machine, name, value string) error {
	t.Helper()
	d, err := Parse(name, m)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Check(secret.New(value)); err != nil {
		return err
	}
	return d.Deliver(t.Context(), secret.New(value))
}

func TestGitea(t *testing.T) {
	asked := ""
	m := platform(t, "gitea", map[string]string{"GITEA_TOKEN": "canary-token"}, func(w http.ResponseWriter, r *http.Request) {
		var in map[string]string
		_ = json.NewDecoder(r.Body).Decode(&in)
		asked = fmt.Sprint(r.Method, " ", r.URL.EscapedPath(), " ", r.Header.Get("Authorization"), " ", in)
		w.WriteHeader(http.StatusCreated)
	})
	for name, want := range map[string]string{
		"gitea:acme/web.site#API_KEY": "PUT /api/v1/repos/acme/web.site/actions/secrets/API_KEY token canary-token map[data:v]",
		"gitea:org:acme#API_KEY":      "PUT /api/v1/orgs/acme/actions/secrets/API_KEY token canary-token map[data:v]",
	} {
		if err := deliver(t, m, name, "v"); err != nil || asked != want {
			t.Errorf("%s: %v, %s", name, err, asked)
		}
	}
	for _, name := range []string{"gitea:acme#A", "gitea:acme/../x#A", "gitea:acme/web#GITHUB_X", "gitea:acme/web#1A", "gitea:acme/web#ci", "gitea:acme/a b#A", "gitea:a/b?x#A", "gitea:org:#A"} {
		if _, err := Parse(name, m); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	for _, value := range []string{"", "a\x00b", "\xff"} {
		if err := deliver(t, m, "gitea:acme/web#A", value); !errors.Is(err, ErrValue) {
			t.Errorf("%q: %v", value, err)
		}
	}
}

// What Gitea 1.26.0 lists of secrets, as testdata/e2e asks it. It empties a description
// that is not put again.
func TestGiteaKeepsDescriptions(t *testing.T) {
	pages := []string{
		`[{"name":"API_KEY","description":"","created_at":"2026-11-24T04:46:01Z"},{"name":"LONG","description":"no","created_at":"2026-11-24T04:46:01Z"}]`,
		`[{"name":"TOLD","description":"who made it","created_at":"2026-11-24T04:46:01Z"}]`, "[]",
	}
	put := ""
	m := platform(t, "gitea", map[string]string{"GITEA_TOKEN": "t"}, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			page, _ := strconv.Atoi(r.URL.Query().Get("page"))
			_, _ = w.Write([]byte(pages[page-1]))
			return
		}
		var in map[string]string
		_ = json.NewDecoder(r.Body).Decode(&in)
		put = fmt.Sprint(in)
	})
	for name, want := range map[string]string{"told": "map[data:v description:who made it]", "API_KEY": "map[data:v]", "NEW": "map[data:v]"} {
		if err := deliver(t, m, "gitea:acme/web#"+name, "v"); err != nil || put != want {
			t.Errorf("%s: %v, %s", name, err, put)
		}
	}
}

// What platforms answer when they do not take it, alike for all of them.
func TestAnswersThatAreNoDelivery(t *testing.T) {
	const value = "canary-value-1"
	for status, c := range map[int]struct {
		header, body, want string
		tries              int
	}{
		401: {"", `{"message":"token canary-token is bad"}`, "answered 401 Unauthorized: token *** is bad", 1},
		403: {"", "<html>no</html>", "answered 403 Forbidden", 1},
		404: {"", `{"error":"\u001b[2Jnone"}`, "answered 404 Not Found: [2Jnone", 2}, // the list of an older one, and the secret
		409: {"", `{}`, "answered 409 Conflict", 1},
		422: {"", `{"errors":[{"value":"` + value + `"}]}`, `answered 422 Unprocessable Entity: [{"value":"***"}]`, 1},
		429: {"3600", `{}`, "answered 429 Too Many Requests", 1},
		503: {"", strings.Repeat("x", 1<<20), "answered 503 Service Unavailable", 3},
		302: {"", "", "refused a redirect", 1},
	} {
		tries := 0
		m := platform(t, "gitea", map[string]string{"GITEA_TOKEN": "canary-token"}, func(w http.ResponseWriter, _ *http.Request) {
			tries++
			w.Header().Set("Retry-After", c.header)
			w.Header().Set("Location", "https://elsewhere.example/")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(c.body))
		})
		err := deliver(t, m, "gitea:acme/web#A", value)
		if err == nil || !strings.HasSuffix(err.Error(), c.want) && status != 302 || tries != c.tries || strings.Contains(err.Error(), "canary") {
			t.Errorf("%d: %v after %d tries", status, err, tries)
		}
	}
}

// A platform may repeat a value as it read it, or a part of it.
func TestNoSpellingOfAValueIsShown(t *testing.T) {
	const value = "canary-1 \"canary-2\"\ncanary-3"
	for _, spelling := range []string{value, "canary-3", base64.StdEncoding.EncodeToString([]byte(value))} {
		for _, key := range []string{"message", "errors"} {
			m := platform(t, "gitea", map[string]string{"GITEA_TOKEN": "t"}, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusBadRequest)
				_ = json.NewEncoder(w).Encode(map[string]any{key: []string{spelling}})
			})
			err := deliver(t, m, "gitea:acme/web#A", value)
			if err == nil || !strings.Contains(err.Error(), "***") || strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "Y2FuYXJ5") {
				t.Error(err)
			}
		}
	}
}

// net/http takes headers that it does not know along to another host.
func TestNoCredentialFollowsARedirect(t *testing.T) {
	followed := false
	m := platform(t, "gitea", nil, func(w http.ResponseWriter, r *http.Request) {
		followed = followed || r.URL.Path == "/next"
		http.Redirect(w, r, "/next", http.StatusFound)
	})
	a, err := newAPI(m, m.URLs["gitea"])
	if err != nil {
		t.Fatal(err)
	}
	a.header.Set("X-Token", "canary")
	if err := a.do(t.Context(), http.MethodGet, "/", nil, nil); !errors.Is(err, httpclient.ErrRedirect) || followed {
		t.Error(err, followed)
	}
}

func TestATooHurriedDeliveryIsMadeAgain(t *testing.T) {
	tries := 0
	m := platform(t, "gitea", map[string]string{"GITEA_TOKEN": "t"}, func(w http.ResponseWriter, _ *http.Request) {
		if tries++; tries == 1 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
		}
	})
	if err := deliver(t, m, "gitea:acme/web#A", "v"); err != nil || tries != 3 {
		t.Error(err, tries)
	}
}

func TestNoCredentialGoesOutInTheClear(t *testing.T) {
	m := machine(t)
	m.Getenv = func(string) string { return "http://gitea.example" }
	if err := deliver(t, m, "gitea:acme/web#A", "v"); err == nil || !strings.Contains(err.Error(), "not an https address") {
		t.Error(err)
	}
	m.Getenv = func(name string) string {
		if name == "GITEA_URL" {
			return "https://gitea.example"
		}
		return ""
	}
	if err := deliver(t, m, "gitea:acme/web#A", "v"); !errors.Is(err, ErrNoCredential) {
		t.Error(err)
	}
}

// chooses is a user who shows one credential to one platform.
func chooses(platform, credential string) func(context.Context, string) (secret.Secret, error) {
	return func(_ context.Context, scheme string) (secret.Secret, error) {
		if scheme != platform {
			return secret.Secret{}, nil
		}
		return secret.New(credential), nil
	}
}
