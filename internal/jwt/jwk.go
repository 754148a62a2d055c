// Package jwt signs JWTs with private keys: a client's own key (RFC 7523), and the key that
// DPoP binds tokens to (RFC 9449).
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
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/fobcli/fob/internal/secret"
)

// ErrKey is a text that does not contain a supported private key.
var ErrKey = errors.New("it is not a private key in PEM or JWK")

const minRSABits = 2048

// Key is a private signing key that never prints itself. The zero value is none.
type Key struct {
	// The key as a JWK (RFC 7517), in a Secret because of fmt.
	text secret.Secret
}

// Generate returns a new P-256 key, which every server with ES256 supports.
func Generate() (Key, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Key{}, err
	}
	return newKey(jose.JSONWebKey{Key: private})
}

// Parse parses a private key: a JWK, or PEM of PKCS #8, PKCS #1 or SEC 1. Anything else is
// ErrKey, without any part of the text.
func Parse(text secret.Secret) (Key, error) {
	raw := strings.TrimSpace(text.Reveal())
	if strings.HasPrefix(raw, "{") {
		var key jose.JSONWebKey
		if key.UnmarshalJSON([]byte(raw)) != nil {
			return Key{}, ErrKey
		}
		return newKey(key)
	}
	private, err := parsePEM([]byte(raw))
	if err != nil {
		return Key{}, err
	}
	return newKey(jose.JSONWebKey{Key: private})
}

func parsePEM(text []byte) (any, error) {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return nil, ErrKey
		}
		switch block.Type {
		case "PRIVATE KEY":
			return orErrKey(x509.ParsePKCS8PrivateKey(block.Bytes))
		case "RSA PRIVATE KEY":
			return orErrKey(x509.ParsePKCS1PrivateKey(block.Bytes))
		case "EC PRIVATE KEY":
			return orErrKey(x509.ParseECPrivateKey(block.Bytes))
		case "ENCRYPTED PRIVATE KEY":
			return nil, fmt.Errorf("%w: it is encrypted", ErrKey)
		}
	}
}

func orErrKey[K any](key K, err error) (any, error) {
	if err != nil {
		return nil, ErrKey
	}
	return key, nil
}

// newKey rejects keys that cannot sign safely: public, symmetric and weak ones.
func newKey(key jose.JSONWebKey) (Key, error) {
	switch private := key.Key.(type) {
	case *rsa.PrivateKey:
		if private.N.BitLen() < minRSABits {
			return Key{}, fmt.Errorf("%w: RSA with less than %d bits", ErrKey, minRSABits)
		}
	case *ecdsa.PrivateKey, ed25519.PrivateKey:
	default:
		return Key{}, ErrKey
	}
	key.Certificates, key.CertificatesURL = nil, nil
	text, err := key.MarshalJSON()
	if err != nil {
		return Key{}, ErrKey
	}
	return Key{secret.New(string(text))}, nil
}

// IsZero reports whether there is no key.
func (k Key) IsZero() bool { return k.text.IsZero() }

// Private returns the key as a JWK to store; Parse reads it.
func (k Key) Private() secret.Secret { return k.text }

func (k Key) unpack() (jose.JSONWebKey, error) {
	var key jose.JSONWebKey
	if k.IsZero() || key.UnmarshalJSON([]byte(k.text.Reveal())) != nil {
		return key, ErrKey
	}
	return key, nil
}

// Thumbprint returns the key's SHA-256 thumbprint in base64url (RFC 7638).
func (k Key) Thumbprint() (string, error) {
	key, err := k.unpack()
	if err != nil {
		return "", err
	}
	sum, err := key.Thumbprint(crypto.SHA256)
	return base64.RawURLEncoding.EncodeToString(sum), err
}

// Header is a JWT's header without its algorithm.
type Header struct {
	Type     string // typ
	EmbedKey bool   // the public key as jwk, instead of kid (RFC 9449 §4.2)
}

// SignJWT signs claims with the first algorithm that suits the key and that the verifier
// supports; an empty list means all.
func (k Key) SignJWT(h Header, claims any, supported []string) (string, error) {
	key, err := k.unpack()
	if err != nil {
		return "", err
	}
	algorithm, err := chooseAlgorithm(key, supported)
	if err != nil {
		return "", err
	}
	options := (&jose.SignerOptions{EmbedJWK: h.EmbedKey}).WithType(jose.ContentType(h.Type))
	signing := key.Key
	if !h.EmbedKey && key.KeyID != "" {
		signing = key // includes its kid
	}
	return sign(jose.SigningKey{Algorithm: algorithm, Key: signing}, options, claims)
}

// SignWithSecret signs claims with HMAC-SHA-256 and a shared secret (RFC 7518 §3.2).
func SignWithSecret(key secret.Secret, claims any) (string, error) {
	options := (&jose.SignerOptions{}).WithType("JWT")
	return sign(jose.SigningKey{Algorithm: jose.HS256, Key: []byte(key.Reveal())}, options, claims)
}

func sign(key jose.SigningKey, options *jose.SignerOptions, claims any) (string, error) {
	signer, err := jose.NewSigner(key, options)
	if err != nil {
		return "", errors.New("the key does not sign")
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", errors.New("the key does not sign")
	}
	return signed.CompactSerialize()
}

// chooseAlgorithm returns the key's alg, or the most common one of its type, if it is
// supported.
func chooseAlgorithm(key jose.JSONWebKey, supported []string) (jose.SignatureAlgorithm, error) {
	algorithms := algorithmsOf(key)
	for _, algorithm := range algorithms {
		if len(supported) == 0 || slices.Contains(supported, string(algorithm)) {
			return algorithm, nil
		}
	}
	return "", fmt.Errorf("the server takes none of the key's algorithms %v", algorithms)
}

func algorithmsOf(key jose.JSONWebKey) []jose.SignatureAlgorithm {
	if key.Algorithm != "" {
		return []jose.SignatureAlgorithm{jose.SignatureAlgorithm(key.Algorithm)}
	}
	switch private := key.Key.(type) {
	case *ecdsa.PrivateKey:
		switch private.Curve {
		case elliptic.P384():
			return []jose.SignatureAlgorithm{jose.ES384}
		case elliptic.P521():
			return []jose.SignatureAlgorithm{jose.ES512}
		}
		return []jose.SignatureAlgorithm{jose.ES256}
	case ed25519.PrivateKey:
		return []jose.SignatureAlgorithm{jose.EdDSA}
	}
	return []jose.SignatureAlgorithm{jose.RS256, jose.PS256, jose.RS512, jose.PS512}
}
