package authservertest

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// claims are what this server looks at in a JWT of somebody else's.
type claims struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	Audience  audience `json:"aud"`
	Expires   *float64 `json:"exp"`
	IssuedAt  *float64 `json:"iat"`
	NotBefore *float64 `json:"nbf"`
	ID        string   `json:"jti"`

	Method string `json:"htm"`
	URL    string `json:"htu"`
	Hash   string `json:"ath"`
	Nonce  string `json:"nonce"`
}

// audience is one string or a list of them (RFC 7519 §4.1.3).
type audience []string

func (a *audience) UnmarshalJSON(raw []byte) error {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(raw, (*[]string)(a))
}

// openJWT verifies a JWT's signature and reads it. A nil key stands for the one
// in its own header (RFC 7515 §4.1.3).
func openJWT(raw string, key any, algorithms []jose.SignatureAlgorithm) (jose.Header, claims, error) {
	var c claims
	token, err := jose.ParseSignedCompact(raw, algorithms)
	if err != nil {
		return jose.Header{}, c, err
	}
	header := token.Signatures[0].Protected
	if key == nil {
		if header.JSONWebKey == nil {
			return header, c, errors.New("no jwk in the header")
		}
		key = header.JSONWebKey.Key
	}
	payload, err := token.Verify(key)
	if err != nil {
		return header, c, err
	}
	return header, c, json.Unmarshal(payload, &c)
}

// hasType reports whether a JWT's header has one of these types; "" is a missing type.
func hasType(header jose.Header, types ...string) bool {
	typ, ok := header.ExtraHeaders[jose.HeaderType]
	name, _ := typ.(string)
	return slices.Contains(types, name) && (name != "" || !ok)
}

// algorithmsOf are those that fit a public key (RFC 7518 §3.1, RFC 8037).
func algorithmsOf(key any) []jose.SignatureAlgorithm {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512}
	case *ecdsa.PublicKey:
		return map[int][]jose.SignatureAlgorithm{256: {jose.ES256}, 384: {jose.ES384}, 521: {jose.ES512}}[key.Params().BitSize]
	case ed25519.PublicKey:
		return []jose.SignatureAlgorithm{jose.EdDSA}
	}
	return nil
}

// checkTimes names what is wrong with a JWT's times, which may be longest ahead.
func (c claims) checkTimes(longest time.Duration) string {
	now, leeway := time.Now(), time.Minute
	at := func(seconds *float64) time.Time { return time.Unix(int64(*seconds), 0) }
	switch {
	case c.Expires == nil:
		return "no exp"
	case !now.Before(at(c.Expires)):
		return "exp is past"
	case at(c.Expires).After(now.Add(longest)):
		return "exp is more than " + longest.String() + " ahead"
	case c.IssuedAt != nil && at(c.IssuedAt).After(now.Add(leeway)):
		return "iat is ahead"
	case c.NotBefore != nil && at(c.NotBefore).After(now.Add(leeway)):
		return "nbf is ahead"
	}
	return ""
}

// isNewJTI reports whether a JWT's jti was never seen before, and remembers it.
func (s *Server) isNewJTI(kind, jti string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen[kind+jti] {
		return false
	}
	s.seen[kind+jti] = true
	return true
}
