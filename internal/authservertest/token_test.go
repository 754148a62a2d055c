package authservertest

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestCodesThatAreRefused(t *testing.T) {
	s := start(t, Options{})
	for name, pairs := range map[string][]string{
		"another verifier":   {"code_verifier", strings.Repeat("v", 43)},
		"no verifier":        {"code_verifier", "-"},
		"a short verifier":   {"code_verifier", "v"},
		"another redirect":   {"redirect_uri", "http://127.0.0.1:2/callback"},
		"no redirect":        {"redirect_uri", "-"},
		"another client":     {"client_id", "fob-localhost"},
		"a made-up code":     {"code", "authservertest-code-guessed"},
		"no code":            {"code", "-"},
		"unknown grant type": {"grant_type", "password"},
		"no grant type":      {"grant_type", "-"},
		"unknown client":     {"client_id", "nobody"},
		"no client":          {"client_id", "-"},
		"a secret too much":  {"client_secret", "x"},
	} {
		want := map[string]string{
			"unknown grant type": "unsupported_grant_type", "no grant type": "invalid_request",
			"unknown client": "invalid_client", "no client": "invalid_client", "a secret too much": "invalid_client",
		}[name]
		if want == "" {
			want = "invalid_grant"
		}
		code := s.code(t, request()).Get("code")
		if r := s.post("/token", redemption(code, pairs...)); r.status/100 != 4 || r.text("error") != want {
			t.Errorf("%s: %+v", name, r)
		}
	}
	short := s.code(t, request("code_challenge", challengeOf("short"))).Get("code")
	if r := s.post("/token", redemption(short, "code_verifier", "short")); r.text("error") != "invalid_grant" {
		t.Errorf("a short verifier that matches: %+v", r)
	}
	twice := redemption(s.code(t, request()).Get("code"))
	twice.Add("code_verifier", verifier)
	if r := s.post("/token", twice); r.text("error") != "invalid_request" {
		t.Errorf("two verifiers: %+v", r)
	}
	resp, err := http.Post(s.Issuer()+"/token", "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	if resp.Body.Close(); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("JSON: %d", resp.StatusCode)
	}
	if r := s.post("/token?client_id=fob-test", redemption("x")); r.text("error") != "invalid_request" {
		t.Errorf("parameters in the URL: %+v", r)
	}
}

func TestAReusedCodeEndsWhatItGave(t *testing.T) {
	s := start(t, Options{})
	form := redemption(s.code(t, request()).Get("code"))
	first := s.post("/token", form)
	if again := s.post("/token", form); again.text("error") != "invalid_grant" {
		t.Errorf("%+v", again)
	}
	if s.Introspect(first.text("access_token")) || s.Introspect(first.text("refresh_token")) {
		t.Error("the tokens of a stolen code live on")
	}
}

func TestClientsAuthenticateAsRegistered(t *testing.T) {
	s := start(t, Options{})
	for _, test := range []struct {
		client, post string
		basic        []string
		ok           bool
	}{
		{"fob-test", "", nil, true},
		{"-", "", []string{"fob-test", ""}, false},
		{"-", "", []string{"fob-secret", ClientSecret}, true},
		{"fob-secret", "", []string{"fob-secret", ClientSecret}, true},
		{"fob-test", "", []string{"fob-secret", ClientSecret}, false},
		{"fob-secret", ClientSecret, []string{"fob-secret", ClientSecret}, false},
		{"fob-secret", ClientSecret, nil, false},
		{"fob-secret", "", nil, false},
		{"-", "", []string{"fob-secret", "wrong"}, false},
		{"fob-post", ClientSecret, nil, true},
		{"fob-post", "wrong", nil, false},
		{"-", "", []string{"fob-post", ClientSecret}, false},
	} {
		form := change(url.Values{"token": {"unknown"}}, []string{"client_id", test.client})
		if test.post != "" {
			form.Set("client_secret", test.post)
		}
		if r := s.post("/revoke", form, test.basic...); (r.status == http.StatusOK) != test.ok || !test.ok && r.text("error") != "invalid_client" {
			t.Errorf("%+v: %+v", test, r)
		}
	}
}

func TestRotationAndReuse(t *testing.T) {
	s := start(t, Options{})
	first := s.login(t)
	foreign := change(refreshing(first.text("refresh_token")), []string{"client_id", "fob-localhost"})
	if r := s.post("/token", foreign); r.text("error") != "invalid_grant" {
		t.Errorf("another client's: %+v", r)
	}
	second := s.post("/token", refreshing(first.text("refresh_token")))
	if second.status != http.StatusOK || second.text("refresh_token") == first.text("refresh_token") || !s.Introspect(second.text("access_token")) || s.Introspect(first.text("refresh_token")) {
		t.Fatalf("%+v", second)
	}
	if again := s.post("/token", refreshing(first.text("refresh_token"))); again.text("error") != "invalid_grant" {
		t.Errorf("%+v", again)
	}
	if s.Introspect(second.text("access_token")) || s.post("/token", refreshing(second.text("refresh_token"))).text("error") != "invalid_grant" {
		t.Error("the family lives on")
	}
	if s.Count("token/code") != 1 || s.Count("token/refresh") != 4 || s.Count("token") != 5 {
		t.Errorf("%d codes and %d refreshes in %d requests", s.Count("token/code"), s.Count("token/refresh"), s.Count("token"))
	}
}

func TestOfManyAtOnceOneRefreshSucceeds(t *testing.T) {
	s := start(t, Options{})
	for range 50 {
		form := refreshing(s.login(t).text("refresh_token"))
		var succeeded atomic.Int32
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				if s.post("/token", form).status == http.StatusOK {
					succeeded.Add(1)
				}
			})
		}
		group.Wait()
		if n := succeeded.Load(); n != 1 {
			t.Fatalf("%d refreshes succeeded with one token", n)
		}
	}
}

func TestATokenWithoutSuccessorStaysGood(t *testing.T) {
	s := start(t, Options{})
	form := refreshing(s.login(t).text("refresh_token"))
	for _, fault := range []string{"refresh-token-absent", "refresh-token-empty"} {
		if err := s.InjectFault(fault, 1); err != nil {
			t.Fatal(err)
		}
		if r := s.post("/token", form); r.status != http.StatusOK || r.text("refresh_token") != "" {
			t.Errorf("%s: %+v", fault, r)
		}
	}
	if r := s.post("/token", form); r.status != http.StatusOK || r.text("refresh_token") == "" {
		t.Errorf("afterwards: %+v", r)
	}
}

func TestOptions(t *testing.T) {
	t.Run("grace period", func(t *testing.T) {
		for grace, want := range map[time.Duration][]int{time.Hour: {200, 200, 200}, time.Nanosecond: {200, 400, 400}} {
			s := start(t, Options{Grace: grace})
			form := refreshing(s.login(t).text("refresh_token"))
			for i, want := range want {
				if r := s.post("/token", form); r.status != want {
					t.Errorf("grace %s, use %d: %+v", grace, i+1, r)
				}
			}
		}
	})
	t.Run("no rotation", func(t *testing.T) {
		s := start(t, Options{NoRotation: true})
		form := refreshing(s.login(t).text("refresh_token"))
		for range 3 {
			if r := s.post("/token", form); r.status != http.StatusOK || r.m["refresh_token"] != nil {
				t.Errorf("%+v", r)
			}
		}
	})
	t.Run("no refresh token", func(t *testing.T) {
		if r := start(t, Options{NoRefreshToken: true}).login(t); r.m["refresh_token"] != nil {
			t.Errorf("%+v", r)
		}
	})
	t.Run("offline_access needs consent", func(t *testing.T) {
		s := start(t, Options{})
		r := s.post("/token", redemption(s.code(t, request("prompt", "-")).Get("code")))
		if r.m["refresh_token"] != nil || r.text("scope") != "openid email" {
			t.Errorf("%+v", r)
		}
	})
	t.Run("lifetimes", func(t *testing.T) {
		r := start(t, Options{TokenLifetime: time.Minute, LoginLifetime: time.Hour}).login(t)
		if r.m["expires_in"] != 60.0 || r.m["refresh_expires_in"] != 3600.0 {
			t.Errorf("%+v", r)
		}
	})
	t.Run("expiry", func(t *testing.T) {
		s := start(t, Options{TokenLifetime: time.Nanosecond})
		if s.Introspect(s.login(t).text("access_token")) {
			t.Error("an expired token is active")
		}
	})
	t.Run("no OpenID", func(t *testing.T) {
		if r := start(t, Options{NoOpenID: true}).login(t); r.m["id_token"] != nil || r.text("refresh_token") == "" {
			t.Errorf("%+v", r)
		}
	})
}

func TestRevocation(t *testing.T) {
	s := start(t, Options{})
	r := s.login(t)
	access, refresh := r.text("access_token"), r.text("refresh_token")
	for _, token := range []string{access, refresh} {
		if got := s.post("/revoke", url.Values{"client_id": {"fob-localhost"}, "token": {token}}); got.text("error") != "invalid_grant" || !s.Introspect(token) {
			t.Errorf("another client revokes: %+v", got)
		}
	}
	if got := s.post("/revoke", url.Values{"client_id": {"fob-test"}}); got.text("error") != "invalid_request" {
		t.Errorf("no token: %+v", got)
	}
	if s.post("/revoke", url.Values{"client_id": {"fob-test"}, "token": {access}}).status != http.StatusOK || s.Introspect(access) || !s.Introspect(refresh) {
		t.Error("revoking an access token")
	}
	next := s.post("/token", refreshing(refresh))
	s.post("/revoke", url.Values{"client_id": {"fob-test"}, "token": {next.text("refresh_token")}})
	if s.Introspect(next.text("access_token")) || s.Introspect(next.text("refresh_token")) {
		t.Error("revoking a refresh token leaves its family")
	}
}
