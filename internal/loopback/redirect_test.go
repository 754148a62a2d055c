package loopback

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/oauth"
)

const named = "/callback/166f46b2b78da2cd5f13"

// FuzzRedirectURI takes a redirect URI, as a flag or config.toml has it, and the path of
// a request or of a pasted URL. The one is on this machine, or refused; the other is the
// redirect's own, spelled in the same way, or ends no login.
func FuzzRedirectURI(f *testing.F) {
	for _, redirect := range []string{
		"http://127.0.0.1" + named, "http://127.0.0.1:8976" + named, "http://localhost:80/callback", "http://[::1]:1/there", "http://127.0.0.1", "http://127.0.0.1:1//callback", "http://127.0.0.1:1/a%2Fb",
		"http://127.0.0.1.evil.example/callback", "http://127.0.0.1@evil.example/", "http://evil.example#@127.0.0.1/", "http://127.0.0.1:1/callback?x=1", "http://127.0.0.1:1/callback#x", "https://127.0.0.1/callback",
		"http://127.0.0.2/callback", "http://[::ffff:127.0.0.1]/", "http://localhost./", "http://LOCALHOST/", "http:127.0.0.1/callback", "http://0/callback", "http://127.1/", `http://127.0.0.1\@evil.example/`, "http://127.0.0.1:x/", "http://127.0.0.1:1/\x00",
	} {
		for _, path := range []string{"", named, "/callback", named + "/", named + "0", "/" + named, "/x/.." + named, "/%63allback" + strings.TrimPrefix(named, "/callback"), named + ";x", named + "#x", named + "%00", strings.ToUpper(named)} {
			f.Add(redirect, path)
		}
	}
	f.Fuzz(func(t *testing.T, redirect, path string) { checkRedirect(t, redirect, path) })
}

func checkRedirect(t *testing.T, redirect, path string) {
	t.Helper()
	if CheckRedirectURI(redirect) != nil {
		return
	}
	u, err := url.Parse(redirect)
	if err != nil || u.Scheme != "http" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || !slices.Contains([]string{"127.0.0.1", "::1", "localhost"}, u.Hostname()) {
		t.Fatalf("%q is accepted: %+v, %v", redirect, u, err)
	}
	// What is no URL, and what a browser would cut off, is not sent.
	sent := "http://" + u.Host + path
	if path != "" && path[0] != '/' || strings.Contains(path, "?") || oauth.CheckURL(sent) != nil {
		return
	}
	_, own, found := strings.Cut(strings.TrimPrefix(redirect, "http://"), "/")
	same := path == "/"+own || path == "" && own == "" || path == "" && !found || path == "/" && !found

	r := newRequest(redirect)
	_, err = r.ParsePasted(sent + "?" + goodCallback(r).Encode())
	if (err == nil) != same {
		t.Errorf("%q, pasted for %q: %v", sent, redirect, err)
	}
	c := newShownCallback(u, r)
	c.outcome <- nil
	if path == "" {
		path = "/"
	}
	req, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET " + path + "?" + goodCallback(r).Encode() + " HTTP/1.1\r\nHost: " + u.Host + "\r\n\r\n")))
	if err != nil {
		return
	}
	w := httptest.NewRecorder()
	c.ServeHTTP(w, req)
	if (w.Code == http.StatusOK) != same || !same && w.Code != http.StatusNotFound {
		t.Errorf("%q for %q got %d", path, redirect, w.Code)
	}
}

// TestI70_OtherPathsAreNotFound: what comes to the redirect of another issuer, or to the
// one that all once had, ends no login.
func TestI70_OtherPathsAreNotFound(t *testing.T) {
	r := newRequest("http://127.0.0.1:5" + named)
	for _, path := range []string{"/callback", "/callback/", "/callback/3e9e0511c5cacf44163e", named + "/", named + "/x", "/" + named, strings.ToUpper(named), "/"} {
		c := newShownCallback(&url.URL{Scheme: "http", Host: "127.0.0.1:5", Path: named}, r)
		c.outcome <- nil
		req := httptest.NewRequest(http.MethodGet, path, nil)
		req.Host, req.URL.RawQuery = "127.0.0.1:5", goodCallback(r).Encode()
		w := httptest.NewRecorder()
		if c.ServeHTTP(w, req); w.Code != http.StatusNotFound || len(c.answers) != 0 {
			t.Errorf("%s got %d", path, w.Code)
		}
		if _, err := r.ParsePasted("http://127.0.0.1:5" + path + "?" + goodCallback(r).Encode()); err == nil {
			t.Errorf("%s is accepted when pasted", path)
		}
	}
}

// newShownCallback waits for a login whose URL was shown, without a network.
func newShownCallback(redirect *url.URL, r *oauth.AuthorizationRequest) *callback {
	return newCallback(&Listener{redirect: redirect}, Login{Shown: r, Warn: func(string) {}}, func(error) {})
}
