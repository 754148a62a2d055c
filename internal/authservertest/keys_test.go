package authservertest

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// keyID is the key that an id_token names, and whether the key set has it now.
func (s *Server) keyID(t *testing.T, raw string) (id string, listed bool) {
	t.Helper()
	token, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	id = token.Signatures[0].Header.KeyID
	return id, strings.Contains(fetch(t, http.DefaultClient, s.Issuer()+"/jwks", ""), `"kid":"`+id+`"`)
}

func TestKeyRotation(t *testing.T) {
	for _, fault := range []string{"signing-key-rotation", "signing-key-rotation-just-before-signing", "refreshed-id-token-unknown-kid"} {
		s := start(t, Options{})
		before := fetch(t, http.DefaultClient, s.Issuer()+"/jwks", "")
		if err := s.InjectFault(fault, 1); err != nil {
			t.Fatal(err)
		}
		if changed := before != fetch(t, http.DefaultClient, s.Issuer()+"/jwks", ""); changed != (fault == "signing-key-rotation") {
			t.Errorf("%s: the keys are changed %v when it is injected", fault, changed)
		}
		r := s.post("/token", refreshing(s.login(t).text("refresh_token")))
		if id, listed := s.keyID(t, r.text("id_token")); id != "rsa-next" || !listed {
			t.Errorf("%s: %s, listed: %v", fault, id, listed)
		}
	}
}

func TestARefreshRenewsTheIDToken(t *testing.T) {
	s := start(t, Options{})
	r := s.post("/token", refreshing(s.login(t).text("refresh_token")))
	if got := anatomy(r.text("id_token")); strings.Contains(got, "nonce") || !strings.Contains(got, "sub:ada") || !strings.Contains(got, "at_hash") {
		t.Error(got)
	}
	silent := start(t, Options{NoRefreshedIDToken: true})
	if r := silent.post("/token", refreshing(silent.login(t).text("refresh_token"))); r.m["id_token"] != nil {
		t.Errorf("%+v", r)
	}
}

func TestJWTAccessTokens(t *testing.T) {
	s := start(t, Options{JWTAccessTokens: true})
	raw := s.login(t).text("access_token")
	token, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	payload, err := token.Verify(keys().rsa.Public())
	var claims map[string]any
	if err != nil || json.Unmarshal(payload, &claims) != nil || !hasType(token.Signatures[0].Protected, "at+jwt") {
		t.Fatal(err)
	}
	for _, name := range []string{"iss", "exp", "aud", "sub", "client_id", "iat", "jti", "scope"} { // RFC 9068 §2.2
		if claims[name] == nil {
			t.Errorf("no %s", name)
		}
	}
	if page := fetch(t, http.DefaultClient, s.Issuer()+"/userinfo", raw); !strings.HasPrefix(page, "200") {
		t.Error(page)
	}
}

func TestSigningOut(t *testing.T) {
	s := start(t, Options{})
	hint := s.login(t).text("id_token")
	status, text, err := Approve(t.Context(), s.Issuer()+"/end-session?client_id=fob-test&id_token_hint="+hint, http.DefaultClient)
	if err != nil || status != http.StatusOK || !strings.Contains(text, "You are signed out") || s.Count("end-session") != 1 || s.Count("signed-out") != 1 {
		t.Errorf("%d %q %v", status, text, err)
	}
	for _, wrong := range []string{"id_token_hint=x", "client_id=nobody"} {
		if page := fetch(t, http.DefaultClient, s.Issuer()+"/end-session?"+wrong, ""); !strings.HasPrefix(page, "400") {
			t.Error(page)
		}
	}
	if r := s.post("/end-session", url.Values{"answer": {"no"}}); r.status != http.StatusOK || s.Count("signed-out") != 1 {
		t.Errorf("%+v", r)
	}
}

func TestTheServersShare(t *testing.T) {
	s := start(t, Options{})
	s.login(t)
	if s.Share() <= 0 || strings.HasPrefix(fetch(t, http.DefaultClient, s.Issuer()+"/test/share", ""), "200 0\n") {
		t.Error("a login takes no time")
	}
	if s.post("/test/share", nil); s.Share() != 0 {
		t.Errorf("%v", s.Share())
	}
}
