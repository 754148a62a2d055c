package authservertest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

func TestAuthorizationRequestsThatAreRefused(t *testing.T) {
	s := start(t, Options{})
	for name, q := range map[string]url.Values{
		"unknown client":          request("client_id", "nobody"),
		"no client":               request("client_id", "-"),
		"no redirect":             request("redirect_uri", "-"),
		"another path":            request("redirect_uri", "http://127.0.0.1:1/other"),
		"a path below":            request("redirect_uri", callback+"/x"),
		"another issuer's path":   request("redirect_uri", redirectFor("https://sso.example.com")),
		"a slash more":            request("redirect_uri", callback+"/"),
		"a slash more in front":   request("redirect_uri", "http://127.0.0.1:1//callback"),
		"another letter case":     request("redirect_uri", "http://127.0.0.1:1/Callback"),
		"another spelling":        request("redirect_uri", "http://127.0.0.1:1/%63allback"),
		"a way round":             request("redirect_uri", "http://127.0.0.1:1/x/../callback"),
		"another host":            request("redirect_uri", "http://evil.test:1/callback"),
		"localhost":               request("redirect_uri", "http://localhost:1/callback"),
		"https":                   request("redirect_uri", "https://127.0.0.1:1/callback"),
		"no port":                 request("redirect_uri", "http://127.0.0.1/callback"),
		"a query in the redirect": request("redirect_uri", callback+"?x=1"),
		"a fragment":              request("redirect_uri", callback+"#x"),
		"a user in the redirect":  request("redirect_uri", "http://127.0.0.1:1@evil.test:1/callback"),
		"implicit flow":           request("response_type", "token"),
		"no state":                request("state", "-"),
		"a short state":           request("state", "1234"),
		"no nonce":                request("nonce", "-"),
		"no challenge":            request("code_challenge", "-"),
		"no method":               request("code_challenge_method", "-"),
		"plain":                   request("code_challenge_method", "plain"),
		"no base64url challenge":  request("code_challenge", strings.Repeat("+", 43)),
		"two states":              {"state": {"a", "b"}},
	} {
		if back, err := Redirect(t.Context(), s.Issuer()+"/authorize?"+q.Encode(), http.DefaultClient); err == nil {
			t.Errorf("%s: %s", name, back)
		}
		q.Set("answer", "yes")
		if r := s.post("/authorize", q); r.status != http.StatusBadRequest {
			t.Errorf("%s, straight to the consent: %d", name, r.status)
		}
	}
}

func TestTheBrowserComesBackWithIssAndState(t *testing.T) {
	s := start(t, Options{Path: "/realms/acme"})
	q := s.code(t, request("redirect_uri", "http://127.0.0.1:65535/callback"))
	if q.Get("iss") != s.Issuer() || !strings.HasSuffix(q.Get("iss"), "/realms/acme") || q.Get("state") != strings.Repeat("s", 22) || q.Get("code") == "" {
		t.Errorf("%v", q)
	}
	if err := s.InjectFault("access-denied", 1); err != nil {
		t.Fatal(err)
	}
	if q = s.code(t, request()); q.Get("error") != "access_denied" || q.Has("code") || q.Get("iss") != s.Issuer() {
		t.Errorf("denied: %v", q)
	}
}

func TestRedirectOfThisIssuerAlone(t *testing.T) {
	s := start(t, Options{NoIss: true})
	q := s.code(t, request("redirect_uri", strings.Replace(s.RedirectFor(), "127.0.0.1", "127.0.0.1:5", 1)))
	if q.Get("code") == "" || q.Has("iss") {
		t.Errorf("%v", q)
	}
	if r := send(http.DefaultClient, http.MethodGet, s.Issuer()+"/.well-known/openid-configuration", nil, ""); r.m["authorization_response_iss_parameter_supported"] != nil {
		t.Errorf("it promises iss: %v", r.m)
	}
}

func TestApproveStaysWithTheServerAndLoopback(t *testing.T) {
	s := start(t, Options{})
	var visited atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { visited.Add(1) }))
	defer elsewhere.Close()
	listener := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/callback" {
			visited.Add(1)
		}
		http.Redirect(w, r, elsewhere.URL, http.StatusFound)
		_, _ = io.WriteString(w, "the last page")
	}))
	defer listener.Close()
	status, text, err := Approve(t.Context(), s.Issuer()+"/authorize?"+request("redirect_uri", listener.URL+"/callback").Encode(), http.DefaultClient)
	if err != nil || status != http.StatusFound || !strings.Contains(text, "the last page") {
		t.Errorf("%d %q %v", status, text, err)
	}
	for _, target := range []string{"http://evil.test/callback", "http://192.0.2.1/callback", "https://127.0.0.1/callback", "ftp://localhost/", elsewhere.URL} {
		sender := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost || target == elsewhere.URL {
				http.Redirect(w, r, target, http.StatusSeeOther)
			}
		}))
		if back, err := Redirect(t.Context(), sender.URL, http.DefaultClient); err == nil {
			t.Errorf("it would go to %s", back)
		}
		sender.Close()
	}
	if visited.Load() != 0 {
		t.Error("it went elsewhere")
	}
}
