package authservertest

import (
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
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// keyPair is made once in a process: RSA keys take a while.
type keyPair struct {
	rsa, otherRSA *rsa.PrivateKey
	ec, otherEC   *ecdsa.PrivateKey
}

var keys = sync.OnceValue(func() keyPair {
	var k keyPair
	var err error
	for _, key := range []**rsa.PrivateKey{&k.rsa, &k.otherRSA} {
		if *key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			panic(err)
		}
	}
	for _, key := range []**ecdsa.PrivateKey{&k.ec, &k.otherEC} {
		if *key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			panic(err)
		}
	}
	return k
})

func (s *Server) serveJWKS(w http.ResponseWriter, _ *http.Request) {
	k := keys()
	m := map[string]any{"keys": []any{
		jose.JSONWebKey{Key: k.rsa.Public(), KeyID: "rsa", Algorithm: "RS256", Use: "sig"},
		jose.JSONWebKey{Key: k.ec.Public(), KeyID: "ec", Algorithm: "ES256", Use: "sig"},
		map[string]string{"kty": "from-the-future", "kid": "x"},
	}}
	s.answer(w, "jwks", m)
}

// idTokenSpec is an id_token before it is signed, for faults to spoil.
type idTokenSpec struct {
	claims    map[string]any
	algorithm jose.SignatureAlgorithm
	key       any
	kid       string
	unsigned  bool // alg none
}

func (s *Server) idToken(clientID, nonce, accessToken string) string {
	sum := sha256.Sum256([]byte(accessToken))
	now := time.Now()
	spec := idTokenSpec{
		claims: map[string]any{
			"iss": s.Issuer(), "sub": "ada", "aud": clientID, "nonce": nonce,
			"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
			"at_hash": base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2]),
			"name":    "Ada Lovelace", "email": "ada@example.com",
		},
		algorithm: jose.RS256, key: keys().rsa, kid: "rsa",
	}
	s.faultIDToken(&spec)
	return spec.sign()
}

func (spec idTokenSpec) sign() string {
	claims, err := json.Marshal(spec.claims)
	if err != nil {
		panic(err)
	}
	if spec.unsigned {
		encode := base64.RawURLEncoding.EncodeToString
		return encode([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + encode(claims) + "."
	}
	options := (&jose.SignerOptions{}).WithType("JWT")
	if spec.kid != "" {
		options = options.WithHeader("kid", spec.kid)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: spec.algorithm, Key: spec.key}, options)
	if err != nil {
		panic(err)
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		panic(err)
	}
	compact, err := signed.CompactSerialize()
	if err != nil {
		panic(err)
	}
	return compact
}

// publicPEM is what everybody knows of the RSA key: no key to sign with.
func publicPEM() []byte {
	der, err := x509.MarshalPKIXPublicKey(keys().rsa.Public())
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}
