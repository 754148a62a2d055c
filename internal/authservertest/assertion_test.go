package authservertest

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

func asService(id string, pairs ...string) url.Values {
	return change(url.Values{"grant_type": {grantClient}, "client_id": {id}}, pairs)
}

// assert is a client's good assertion, changed.
func (s *Server) assert(t *testing.T, p prover, id string, changes map[string]any) string {
	t.Helper()
	return p.sign(t, map[string]any{
		"iss": id, "sub": id, "aud": s.Issuer(), "jti": rand.Text(), "iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(),
	}, changes, false)
}

func fobKey(t *testing.T) prover {
	t.Helper()
	block, _ := pem.Decode(ClientKeyPEM())
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return prover{key.(*ecdsa.PrivateKey), jose.ES256, "JWT"}
}

func TestAssertionsThatAreRefused(t *testing.T) {
	s := start(t, Options{PAR: true})
	p := fobKey(t)
	for name, changes := range map[string]map[string]any{
		"another iss": {"iss": "x"}, "another sub": {"sub": "fob-tls"}, "another aud": {"aud": "https://evil.example"}, "no aud": {"aud": nil},
		"for PAR": {"aud": s.Issuer() + "/par"}, "no exp": {"exp": nil}, "late": {"exp": time.Now().Add(-time.Second).Unix()},
		"for ever": {"exp": time.Now().Add(time.Hour).Unix()}, "no jti": {"jti": nil}, "iat ahead": {"iat": time.Now().Add(time.Hour).Unix()},
	} {
		if r := s.post("/token", asService("fob-key", "client_assertion_type", jwtBearer, "client_assertion", s.assert(t, p, "fob-key", changes))); r.text("error") != "invalid_client" {
			t.Errorf("%s: %+v", name, r)
		}
	}
	for name, pairs := range map[string][]string{
		"another type of JWT": {"client_assertion", s.assert(t, prover{p.key, p.alg, "dpop+jwt"}, "fob-key", nil)},
		"another key":         {"client_assertion", s.assert(t, prover{newProver(t).key, p.alg, "JWT"}, "fob-key", nil)},
		"a secret for a key":  {"client_assertion", s.assert(t, prover{[]byte(JWTClientSecret), jose.HS256, "JWT"}, "fob-key", nil)},
		"another client":      {"client_assertion", s.assert(t, p, "fob-key", nil), "client_id", "fob-jwt"},
		"a secret beside it":  {"client_assertion", s.assert(t, p, "fob-key", nil), "client_secret", "x"},
		"another form of it":  {"client_assertion", s.assert(t, p, "fob-key", nil), "client_assertion_type", "x"},
		"no form of it":       {"client_assertion", s.assert(t, p, "fob-key", nil), "client_assertion_type", "-"},
		"none":                {"client_assertion_type", "-"},
	} {
		if r := s.post("/token", asService("fob-key", append([]string{"client_assertion_type", jwtBearer}, pairs...)...)); r.text("error") != "invalid_client" {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestAssertionsThatAreTaken(t *testing.T) {
	s := start(t, Options{PAR: true})
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	large := keys().otherRSA
	s.AddClient(Client{ID: "ed", AuthMethod: "private_key_jwt", PublicKey: edwards.Public(), Grants: []string{grantClient}})
	s.AddClient(Client{ID: "rsa", AuthMethod: "private_key_jwt", PublicKey: large.Public().(*rsa.PublicKey), Grants: []string{grantClient}})
	for _, test := range []struct {
		id      string
		p       prover
		changes map[string]any
	}{
		{"fob-key", fobKey(t), nil},
		{"fob-key", fobKey(t), map[string]any{"aud": []string{"x", s.Issuer() + "/token"}}},
		{"fob-jwt", prover{[]byte(JWTClientSecret), jose.HS256, "client-authentication+jwt"}, nil},
		{"ed", prover{edwards, jose.EdDSA, "JWT"}, nil},
		{"rsa", prover{large, jose.PS256, "JWT"}, nil},
	} {
		form := asService("-", "client_assertion_type", jwtBearer, "client_assertion", s.assert(t, test.p, test.id, test.changes))
		form.Del("client_id")
		if r := s.post("/token", form); r.status != http.StatusOK || r.m["refresh_token"] != nil {
			t.Errorf("%s: %+v", test.id, r)
		}
		if r := s.post("/token", form); r.text("error") != "invalid_client" {
			t.Errorf("%s, once more: %+v", test.id, r)
		}
	}
	pushed := request("client_id", "fob-key", "client_assertion_type", jwtBearer, "client_assertion", s.assert(t, fobKey(t), "fob-key", map[string]any{"aud": s.Issuer() + "/par"}))
	if r := s.post("/par", pushed); r.status != http.StatusCreated {
		t.Errorf("%+v", r)
	}
}

func TestClientCredentials(t *testing.T) {
	s := start(t, Options{})
	r := s.post("/token", asService("fob-service", "scope", "reports:read offline_access"), "fob-service", ClientSecret)
	if r.status != http.StatusOK || r.text("scope") != "reports:read" || r.m["refresh_token"] != nil || r.m["id_token"] != nil {
		t.Errorf("%+v", r)
	}
	for _, id := range []string{"fob-test", "fob-ci"} {
		if r := s.post("/token", asService(id)); r.text("error") != "unauthorized_client" {
			t.Errorf("%s: %+v", id, r)
		}
	}
	if r := s.post("/token", redemption("x", "client_id", "-"), "fob-service", ClientSecret); r.text("error") != "unauthorized_client" {
		t.Errorf("%+v", r)
	}
	if s.Count("token/client-credentials") != 3 {
		t.Errorf("%d", s.Count("token/client-credentials"))
	}
}
