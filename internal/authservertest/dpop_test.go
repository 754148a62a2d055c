package authservertest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// prover is a client's key.
type prover struct {
	key any
	alg jose.SignatureAlgorithm
	typ jose.ContentType
}

func newProver(t *testing.T) prover {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return prover{key, jose.ES256, "dpop+jwt"}
}

// proof is a good proof, changed; nil drops a claim.
func (p prover) proof(t *testing.T, method, target string, changes map[string]any) string {
	t.Helper()
	return p.sign(t, map[string]any{"htm": method, "htu": target, "iat": time.Now().Unix(), "jti": rand.Text()}, changes, true)
}

func (p prover) sign(t *testing.T, payload, changes map[string]any, embed bool) string {
	t.Helper()
	for name, value := range changes {
		if payload[name] = value; value == nil {
			delete(payload, name)
		}
	}
	raw, err := json.Marshal(payload)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: p.alg, Key: p.key}, (&jose.SignerOptions{EmbedJWK: embed}).WithType(p.typ))
	if err != nil {
		t.Fatal(err)
	}
	token, err := signer.Sign(raw)
	if err != nil {
		t.Fatal(err)
	}
	compact, err := token.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

func (p prover) thumbprint(t *testing.T) string {
	t.Helper()
	sum, err := (&jose.JSONWebKey{Key: p.key}).Thumbprint(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(sum)
}

// prove posts a form to the token endpoint with a proof.
func (s *Server) prove(t *testing.T, p prover, form url.Values, changes map[string]any) reply {
	t.Helper()
	return s.postWith(http.DefaultClient, "/token", form, http.Header{"DPoP": {p.proof(t, "POST", s.Issuer()+"/token", changes)}})
}

func TestProofsThatAreRefused(t *testing.T) {
	s := start(t, Options{})
	p := newProver(t)
	form := refreshing(s.login(t).text("refresh_token"))
	for name, changes := range map[string]map[string]any{
		"another method": {"htm": "GET"}, "another URL": {"htu": s.Issuer() + "/par"}, "a query": {"htu": s.Issuer() + "/token?x=1"},
		"a fragment": {"htu": s.Issuer() + "/token#x"}, "no jti": {"jti": nil}, "no iat": {"iat": nil}, "no htm": {"htm": nil}, "no htu": {"htu": nil},
		"old": {"iat": time.Now().Add(-2 * time.Minute).Unix()}, "ahead": {"iat": time.Now().Add(2 * time.Minute).Unix()},
	} {
		if r := s.prove(t, p, form, changes); r.status != http.StatusBadRequest || r.text("error") != "invalid_dpop_proof" {
			t.Errorf("%s: %+v", name, r)
		}
	}
	good := p.proof(t, "POST", s.Issuer()+"/token", nil)
	for name, proofs := range map[string][]string{
		"another type": {prover{p.key, p.alg, "JWT"}.proof(t, "POST", s.Issuer()+"/token", nil)},
		"no key":       {p.sign(t, map[string]any{"htm": "POST", "htu": s.Issuer() + "/token", "iat": time.Now().Unix(), "jti": "x"}, nil, false)},
		"two":          {good, good},
		"spoilt":       {good[:len(good)-8] + "AAAAAAAA"},
		"empty":        {""},
	} {
		if r := s.postWith(http.DefaultClient, "/token", form, http.Header{"DPoP": proofs}); r.text("error") != "invalid_dpop_proof" {
			t.Errorf("%s: %+v", name, r)
		}
	}
	replayed := map[string]any{"jti": "once"}
	if first := s.prove(t, p, form, replayed); first.text("token_type") != "DPoP" {
		t.Errorf("%+v", first)
	}
	if again := s.prove(t, p, form, replayed); again.text("error") != "invalid_dpop_proof" {
		t.Errorf("replayed: %+v", again)
	}
}

func TestTokensAreBoundToTheirKey(t *testing.T) {
	s := start(t, Options{})
	p, other := newProver(t), newProver(t)
	code := s.code(t, request("dpop_jkt", p.thumbprint(t))).Get("code")
	if r := s.prove(t, other, redemption(code), nil); r.text("error") != "invalid_grant" {
		t.Errorf("another key's code: %+v", r)
	}
	r := s.prove(t, p, redemption(code), nil)
	if r.text("token_type") != "DPoP" {
		t.Fatalf("%+v", r)
	}
	form := refreshing(r.text("refresh_token"))
	if r := s.post("/token", form); r.text("error") != "invalid_dpop_proof" {
		t.Errorf("no proof: %+v", r)
	}
	if r := s.prove(t, other, form, nil); r.text("error") != "invalid_grant" {
		t.Errorf("another key's refresh token: %+v", r)
	}
	token := r.text("access_token")
	ath := map[string]any{"ath": challengeOf(token)}
	for name, test := range map[string]struct {
		scheme string
		p      prover
		claims map[string]any
		status int
	}{
		"good":        {"DPoP", p, ath, 200},
		"as a bearer": {"Bearer", p, ath, 401},
		"no ath":      {"DPoP", p, nil, 401},
		"another key": {"DPoP", other, ath, 401},
		"another ath": {"DPoP", p, map[string]any{"ath": challengeOf("x")}, 401},
	} {
		for _, path := range []string{"/userinfo", "/api"} {
			header := http.Header{"Authorization": {test.scheme + " " + token}, "DPoP": {test.p.proof(t, "GET", s.Issuer()+path, test.claims)}}
			got := send(http.DefaultClient, http.MethodGet, s.Issuer()+path, header, "")
			if got.status != test.status || got.status == 401 && !strings.HasPrefix(got.header.Get("WWW-Authenticate"), "DPoP error=") {
				t.Errorf("%s at %s: %+v", name, path, got)
			}
		}
	}
}

func TestDPoPOptions(t *testing.T) {
	s := start(t, Options{DPoPNonce: true, DPoPRequired: true})
	p := newProver(t)
	form := redemption(s.code(t, request()).Get("code"))
	if r := s.post("/token", form); r.text("error") != "invalid_dpop_proof" {
		t.Errorf("no proof: %+v", r)
	}
	for range 2 {
		r := s.prove(t, p, form, nil)
		if r.status != http.StatusBadRequest || r.text("error") != "use_dpop_nonce" || r.header.Get("DPoP-Nonce") == "" {
			t.Fatalf("no nonce: %+v", r)
		}
		if r := s.prove(t, p, form, map[string]any{"nonce": "another"}); r.text("error") != "use_dpop_nonce" {
			t.Errorf("another nonce: %+v", r)
		}
	}
	if r := s.prove(t, p, form, map[string]any{"nonce": s.nonce}); r.text("token_type") != "DPoP" || r.header.Get("DPoP-Nonce") != s.nonce {
		t.Errorf("%+v", r)
	}
}
