package jwt

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/fobcli/fob/internal/secret"
)

func pemOf(t *testing.T, kind string, der []byte, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// privateKeys are one of each kind, in every form that a key comes in.
func privateKeys(t *testing.T) map[string]string {
	t.Helper()
	weak, _ := rsa.GenerateKey(rand.Reader, 2048)
	ec, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ec384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	keys := map[string]string{"RSA PKCS #1": pemOf(t, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(weak), nil)}
	der, err := x509.MarshalECPrivateKey(ec)
	keys["EC SEC 1"] = pemOf(t, "EC PRIVATE KEY", der, err)
	for name, key := range map[string]any{"RSA": weak, "EC": ec, "P-384": ec384, "Ed25519": ed} {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		keys[name+" PKCS #8"] = pemOf(t, "PRIVATE KEY", der, err)
		text, err := json.Marshal(jose.JSONWebKey{Key: key, KeyID: "k1"})
		if err != nil {
			t.Fatal(err)
		}
		keys[name+" JWK"] = string(text)
	}
	return keys
}

func TestAKeySignsWhatItsPublicHalfVerifies(t *testing.T) {
	for name, text := range privateKeys(t) {
		key, err := Parse(secret.New(text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		again, err := Parse(key.Private())
		if err != nil || again != key {
			t.Errorf("%s: what is kept is another key: %v", name, err)
		}
		token, err := key.SignJWT(Header{Type: "dpop+jwt", EmbedKey: true}, map[string]string{"sub": "x"}, nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.ES384, jose.EdDSA})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		public := signed.Signatures[0].Header.JSONWebKey
		if public == nil || !public.IsPublic() {
			t.Errorf("%s: the header holds no public key", name)
			continue
		}
		if payload, err := signed.Verify(public); err != nil || string(payload) != `{"sub":"x"}` {
			t.Errorf("%s: %s, %v", name, payload, err)
		}
		sum, _ := public.Thumbprint(crypto.SHA256)
		if print, err := key.Thumbprint(); err != nil || print != base64.RawURLEncoding.EncodeToString(sum) {
			t.Errorf("%s: thumbprint %q, %v", name, print, err)
		}
	}
}

func TestTextsThatAreNoKey(t *testing.T) {
	small, _ := rsa.GenerateKey(rand.Reader, 1024) //nolint:gosec // weak by intent
	ec, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	public, _ := json.Marshal(jose.JSONWebKey{Key: ec.Public()})
	for name, text := range map[string]string{
		"empty":      "",
		"words":      "a private key",
		"public":     string(public),
		"symmetric":  `{"kty":"oct","k":"c2VjcmV0"}`,
		"JSON":       `{"canary":"secret"}`,
		"damaged":    "-----BEGIN PRIVATE KEY-----\nY2FuYXJ5\n-----END PRIVATE KEY-----\n",
		"encrypted":  "-----BEGIN ENCRYPTED PRIVATE KEY-----\nY2FuYXJ5\n-----END ENCRYPTED PRIVATE KEY-----\n",
		"small RSA":  pemOf(t, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(small), nil),
		"public PEM": "-----BEGIN PUBLIC KEY-----\nY2FuYXJ5\n-----END PUBLIC KEY-----\n",
	} {
		key, err := Parse(secret.New(text))
		if !errors.Is(err, ErrKey) || !key.IsZero() {
			t.Errorf("%s: %v", name, err)
		}
		if strings.Contains(fmt.Sprint(err), "canary") {
			t.Errorf("%s: the error holds the text: %v", name, err)
		}
	}
}

func TestAlgorithmsOfTheServer(t *testing.T) {
	keys := privateKeys(t)
	for _, test := range []struct {
		key       string
		supported []string
		want      string
	}{
		{"RSA PKCS #8", nil, "RS256"},
		{"RSA PKCS #8", []string{"PS256", "ES256"}, "PS256"},
		{"RSA PKCS #8", []string{"ES256"}, ""},
		{"EC JWK", []string{"RS256", "ES256"}, "ES256"},
		{"EC JWK", []string{"none", "HS256"}, ""},
	} {
		key, err := Parse(secret.New(keys[test.key]))
		if err != nil {
			t.Fatal(err)
		}
		token, err := key.SignJWT(Header{Type: "JWT"}, struct{}{}, test.supported)
		if (err == nil) != (test.want != "") {
			t.Errorf("%s for %v: %v", test.key, test.supported, err)
		}
		if err != nil {
			continue
		}
		signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(test.want)})
		if err != nil || strings.HasSuffix(test.key, "JWK") && signed.Signatures[0].Header.KeyID != "k1" {
			t.Errorf("%s for %v: %v", test.key, test.supported, err)
		}
	}
}

func TestAKeyDoesNotPrintItself(t *testing.T) {
	key, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(struct{ K Key }{key})
	for _, shown := range []string{fmt.Sprintf("%v %+v %#v", key, key, key), string(text)} {
		if strings.Contains(shown, `"d"`) || strings.Contains(shown, key.Private().Reveal()) {
			t.Errorf("the key shows: %s", shown)
		}
	}
}
