package authservertest

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// keyPair is made once in a process: RSA keys take a while.
type keyPair struct {
	rsa, otherRSA *rsa.PrivateKey
	nextRSA       *rsa.PrivateKey // that a rotation brings
	ec, otherEC   *ecdsa.PrivateKey
}

var keys = sync.OnceValue(func() keyPair {
	newRSA := func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) }
	newEC := func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }
	return keyPair{newRSA(), newRSA(), newRSA(), newEC(), newEC()}
})

func (s *Server) serveJWKS(w http.ResponseWriter, _ *http.Request) {
	k := keys()
	set := []any{
		jose.JSONWebKey{Key: k.rsa.Public(), KeyID: "rsa", Algorithm: "RS256", Use: "sig"},
		jose.JSONWebKey{Key: k.ec.Public(), KeyID: "ec", Algorithm: "ES256", Use: "sig"},
		map[string]string{"kty": "from-the-future", "kid": "x"},
	}
	if s.rotated.Load() {
		set[0] = jose.JSONWebKey{Key: k.nextRSA.Public(), KeyID: "rsa-next", Algorithm: "RS256", Use: "sig"}
	}
	s.answer(w, "jwks", map[string]any{"keys": set})
}

// idTokenSpec is an id_token, or another JWT, before it is signed, for faults to spoil.
type idTokenSpec struct {
	claims    map[string]any
	algorithm jose.SignatureAlgorithm
	key       any
	kid       string
	typ       string // default: JWT
	unsigned  bool   // alg none
	rotate    bool   // the server's keys, just before signing
}

// noNonce stands for a missing nonce: the id_tokens of a refresh have none (OIDC Core
// §12.2).
const noNonce = "\x00"

// addIDToken adds an id_token to an answer where the scope asks for one.
func (s *Server) addIDToken(m map[string]any, f *family, scope, nonce string) {
	if s.opts.NoOpenID || !slices.Contains(strings.Fields(scope), "openid") {
		return
	}
	faults := "id-token"
	if nonce == noNonce {
		faults, nonce = "refreshed-id-token", ""
	}
	raw := s.idToken(f.client.ID, nonce, m["access_token"].(string), faults)
	m["id_token"] = raw
	s.record(raw)
}

func (s *Server) idToken(clientID, nonce, accessToken, faults string) string {
	sum := sha256.Sum256([]byte(accessToken))
	now := time.Now()
	spec := idTokenSpec{
		claims: map[string]any{
			"iss": s.Issuer(), "sub": "ada", "aud": clientID,
			"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
			"at_hash": base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2]),
			"name":    "Ada Lovelace", "email": "ada@example.com",
		},
		algorithm: jose.RS256, key: keys().rsa, kid: "rsa",
	}
	if nonce != "" {
		spec.claims["nonce"] = nonce
	}
	for f := range s.takeAll(faults, nil) {
		f.idToken(&spec)
	}
	if spec.rotate {
		s.rotated.Store(true)
	}
	if s.rotated.Load() && spec.kid == "rsa" && spec.key == any(keys().rsa) {
		spec.key, spec.kid = keys().nextRSA, "rsa-next"
	}
	return spec.sign()
}

// jwtAccessToken is RFC 9068 §2. s.mu is held.
func (s *Server) jwtAccessToken(t *accessToken) string {
	now := time.Now()
	spec := idTokenSpec{
		claims: map[string]any{
			"iss": s.Issuer(), "sub": t.family.subject, "aud": t.audience, "client_id": t.family.client.ID,
			"iat": now.Unix(), "exp": t.expires.Unix(), "jti": rand.Text(), "scope": t.scope,
		},
		algorithm: jose.RS256, key: keys().rsa, kid: "rsa", typ: "at+jwt",
	}
	if t.jkt != "" {
		spec.claims["cnf"] = map[string]string{"jkt": t.jkt}
	}
	if t.certificate != "" {
		spec.claims["cnf"] = map[string]string{"x5t#S256": t.certificate}
	}
	if s.rotated.Load() {
		spec.key, spec.kid = keys().nextRSA, "rsa-next"
	}
	return spec.sign()
}

func (spec idTokenSpec) sign() string {
	claims := must(json.Marshal(spec.claims))
	if spec.unsigned {
		encode := base64.RawURLEncoding.EncodeToString
		return encode([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + encode(claims) + "."
	}
	options := (&jose.SignerOptions{}).WithType(jose.ContentType(cmp.Or(spec.typ, "JWT")))
	if spec.kid != "" {
		options = options.WithHeader("kid", spec.kid)
	}
	signer := must(jose.NewSigner(jose.SigningKey{Algorithm: spec.algorithm, Key: spec.key}, options))
	return must(must(signer.Sign(claims)).CompactSerialize())
}

// publicPEM is what everybody knows of the RSA key: no key to sign with.
func publicPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(keys().rsa.Public()))})
}
