package discovery

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/httpclient"
)

// apiAt serves metadata of an API by path, and its challenge everywhere else.
func apiAt(t *testing.T, documents map[string]map[string]any, challenge func(host string) string) (url string, hc *http.Client, visited func() []string) {
	t.Helper()
	var paths []string
	server := httptest.NewTLSServer(nil)
	t.Cleanup(server.Close)
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		paths = append(paths, r.URL.Path)
		document, ok := documents[r.URL.Path]
		switch {
		case ok:
			answer := map[string]any{"authorization_servers": []string{"https://sso.example.com"}}
			for name, value := range document {
				if text, isText := value.(string); isText {
					value = strings.ReplaceAll(text, "HOST", server.URL)
				}
				answer[name] = value
			}
			_ = json.NewEncoder(w).Encode(answer)
		case strings.HasPrefix(r.URL.Path, "/.well-known/"):
			http.NotFound(w, r)
		default:
			w.Header().Set("WWW-Authenticate", challenge(server.URL))
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	return server.URL, server.Client(), func() []string { return paths }
}

// RFC 9728 §3.1 and §5.1: the challenge's document, else the path's, else the host's, each
// only if it may speak for the URL (§3.3).
func TestFindResource(t *testing.T) {
	const path, root = "/.well-known/oauth-protected-resource/v1/api", "/.well-known/oauth-protected-resource"
	naming := func(place string) string { return `Bearer resource_metadata="` + place + `", scope="read"` }
	for _, test := range []struct {
		name, challenge string
		documents       map[string]map[string]any
		want            string // the resource; empty: refused
	}{
		{"the path's document", "Bearer", map[string]map[string]any{path: {"resource": "HOST/v1/api"}, root: {"resource": "HOST"}}, "HOST/v1/api"},
		{"the host's document", "Bearer", map[string]map[string]any{root: {"resource": "HOST"}}, "HOST"},
		{"the host's, with a slash", "Bearer", map[string]map[string]any{root: {"resource": "HOST/"}}, "HOST/"},
		{"one that the challenge names", naming("HOST/custom.json"), map[string]map[string]any{"/custom.json": {"resource": "HOST/v1/api"}, path: {"resource": "HOST"}}, "HOST/v1/api"},
		{"a missing one that the challenge names", naming("HOST/.well-known/gone"), map[string]map[string]any{path: {"resource": "HOST/v1/api"}}, "HOST/v1/api"},
		{"a challenge without https", naming("http://127.0.0.1:1/x"), map[string]map[string]any{path: {"resource": "HOST/v1/api"}}, "HOST/v1/api"},
		{"an optional member of the wrong type", "Bearer", map[string]map[string]any{path: {"resource": "HOST/v1/api", "scopes_supported": 7}}, "HOST/v1/api"},
		{"another API's name", "Bearer", map[string]map[string]any{path: {"resource": "https://evil.example/v1/api"}}, ""},
		{"another API of the host", "Bearer", map[string]map[string]any{path: {"resource": "HOST/v1/other"}}, ""},
		{"the host, claimed by a path", "Bearer", map[string]map[string]any{path: {"resource": "HOST"}}, ""},
		{"the host, claimed by a custom document", naming("HOST/custom.json"), map[string]map[string]any{"/custom.json": {"resource": "HOST"}}, ""},
		{"a path that is only a prefix of the text", naming("HOST" + root + "/v1/ap"), map[string]map[string]any{root + "/v1/ap": {"resource": "HOST/v1/ap"}}, ""},
		{"no document", "Bearer", nil, ""},
	} {
		host, hc, _ := apiAt(t, test.documents, func(host string) string { return strings.ReplaceAll(test.challenge, "HOST", host) })
		p, err := FindResource(t.Context(), hc, host+"/v1/api", nil)
		switch want := strings.ReplaceAll(test.want, "HOST", host); {
		case want == "" && err == nil:
			t.Errorf("%s: accepted as %s", test.name, p.Resource)
		case want != "" && err != nil:
			t.Errorf("%s: %v", test.name, err)
		case want != "" && p.Resource != want:
			t.Errorf("%s: %s, not %s", test.name, p.Resource, want)
		}
	}
}

// A challenge that the user passes is used instead of a request to the API.
func TestFindResource_UsesTheGivenChallenge(t *testing.T) {
	host, hc, visited := apiAt(t, map[string]map[string]any{"/custom.json": {"resource": "HOST/api", "scopes_supported": []string{"all"}}}, func(string) string { return "" })
	p, err := FindResource(t.Context(), hc, host+"/api", &Challenge{ResourceMetadata: host + "/custom.json", Scopes: []string{"read"}})
	if err != nil || !slices.Equal(visited(), []string{"/custom.json"}) || !slices.Equal(p.Scopes(), []string{"read"}) {
		t.Errorf("%+v, %v, visited %q", p, err, visited())
	}
}

func TestFindResource_MismatchIsMalformed(t *testing.T) {
	host, hc, _ := apiAt(t, map[string]map[string]any{"/.well-known/oauth-protected-resource": {"resource": "https://evil.example"}}, func(string) string { return "" })
	if _, err := FindResource(t.Context(), hc, host, nil); !errors.Is(err, httpclient.ErrMalformed) {
		t.Error(err)
	}
}

func TestReadChallenge(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       Challenge
	}{
		{"a header line", `WWW-Authenticate: Bearer scope="a b", resource_metadata="https://x/y"`, Challenge{Scopes: []string{"a", "b"}, ResourceMetadata: "https://x/y", MaxAge: -1}},
		{"a head after a proxy's", "HTTP/1.1 200 Connection established\r\nWWW-Authenticate: Bearer scope=no\r\n\r\nHTTP/2 401\r\nwww-authenticate: bearer error=\"invalid_token\"\r\n\r\nWWW-Authenticate: Bearer scope=body\r\n", Challenge{Error: "invalid_token", MaxAge: -1}},
		{"several schemes in a line", `WWW-Authenticate: Negotiate abc==, Basic realm="a, Bearer scope=\"no\"", Bearer SCOPE=a , error = "x"`, Challenge{Scopes: []string{"a"}, Error: "x", MaxAge: -1}},
		{"several lines", "WWW-Authenticate: Basic\nWWW-Authenticate: DPoP algs=\"ES256\", scope=a\nWWW-Authenticate: Bearer scope=b, error=x", Challenge{Scopes: []string{"a"}, Error: "x", MaxAge: -1}},
		{"step-up", `WWW-Authenticate: Bearer error="insufficient_user_authentication", acr_values="gold silver", max_age="5"`, Challenge{Error: "insufficient_user_authentication", ACRValues: "gold silver", MaxAge: 5 * time.Second}},
		{"a max_age that is none", "WWW-Authenticate: Bearer max_age=-1", Challenge{MaxAge: -1}},
		{"control characters in a scope", "WWW-Authenticate: Bearer scope=\"a \x1b[31m b\"", Challenge{Scopes: []string{"a", "b"}, MaxAge: -1}},
	} {
		got, err := ReadChallenge(strings.NewReader(test.text))
		if err != nil || !slices.Equal(got.Scopes, test.want.Scopes) || got.ResourceMetadata != test.want.ResourceMetadata || got.Error != test.want.Error || got.ACRValues != test.want.ACRValues || got.MaxAge != test.want.MaxAge {
			t.Errorf("%s: %+v, %v", test.name, got, err)
		}
	}
	for _, text := range []string{"", "HTTP/1.1 401 Unauthorized\r\n\r\n", "WWW-Authenticate: Basic realm=x", "WWW-Authenticate: Negotiate abc"} {
		if got, err := ReadChallenge(strings.NewReader(text)); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

func FuzzChallenge(f *testing.F) {
	f.Add(`Bearer scope="a", Negotiate x==, DPoP`)
	f.Add(`Bearer a="\`)
	f.Fuzz(func(t *testing.T, field string) {
		for _, c := range parseAuthenticate(field) {
			if c.scheme == "" {
				t.Fatalf("%q: an empty scheme", field)
			}
		}
	})
}
