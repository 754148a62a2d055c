// Package idtoken verifies id_tokens: their claims, and their signature by the issuer's
// keys, which a login pins.
package idtoken

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/secret"
)

// clockLeeway is the tolerated difference between the server's clock and ours.
const clockLeeway = 2 * time.Minute

var (
	// ErrRefused is an id_token that must not be trusted.
	ErrRefused = errors.New("the id_token was refused")
	// ErrUnknownKey is an id_token whose key is not among the issuer's, as far as those can
	// be fetched now.
	ErrUnknownKey = errors.New("the id_token is signed with a key that is not known")
)

// Verifier verifies the id_tokens of one issuer for one client.
type Verifier struct {
	HTTP      *http.Client
	Issuer    string
	JWKSURI   string // the issuer's; empty: it has none
	ClientID  string
	Audiences []string // besides the client, trusted with its id_tokens
	Keys      *KeySet  // the issuer's, as far as they are known; a check may renew them
	Now       func() time.Time
	ServerNow func() time.Time // by the issuer's clock
}

// Token is the account in a verified id_token (OIDC Core §2).
type Token struct {
	Subject           string
	Name              string
	PreferredUsername string
	Email             string
	ACR               string    // how the user authenticated; empty: unknown
	AuthTime          time.Time // when; zero: unknown
	ExpiresAt         time.Time
}

type claimSet struct {
	Issuer            string       `json:"iss"`
	Subject           string       `json:"sub"`
	Audience          audience     `json:"aud"`
	AuthorizedParty   string       `json:"azp"`
	Expiry            *float64     `json:"exp"`
	IssuedAt          *float64     `json:"iat"`
	Nonce             string       `json:"nonce"`
	AccessTokenHash   *string      `json:"at_hash"`
	Name              optionalText `json:"name"`
	PreferredUsername optionalText `json:"preferred_username"`
	Email             optionalText `json:"email"`
	ACR               optionalText `json:"acr"`
	AuthTime          any          `json:"auth_time"`
}

// optionalText is a claim that no login depends on: one that is not a string is ignored.
type optionalText string

func (d *optionalText) UnmarshalJSON(text []byte) error {
	_ = json.Unmarshal(text, (*string)(d))
	return nil
}

// audience is a string or an array of strings (OIDC Core §2).
type audience []string

func (a *audience) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(a))
}

// signatureAlgorithms are asymmetric. HS* would accept a public key or the client secret as
// the signing key, and none has no signature.
var signatureAlgorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
	jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// AudienceError is the ErrRefused of an id_token that is also for an audience that the
// client does not trust (OIDC Core §3.1.3.7, 3).
type AudienceError struct{ Audience string }

func (e *AudienceError) Error() string {
	return fmt.Sprintf("%v: it is also for %q, which is not a trusted audience", ErrRefused, sanitize.Line(e.Audience))
}

func (e *AudienceError) Unwrap() error { return ErrRefused }

func (v *Verifier) untrusted(all []string) string {
	for _, one := range all {
		if one != v.ClientID && !slices.Contains(v.Audiences, one) {
			return one
		}
	}
	return ""
}

func refusedError(why string) error { return fmt.Errorf("%w: %s", ErrRefused, why) }

// Verify verifies an id_token by OIDC Core §3.1.3.7: signature, iss, aud, azp, exp, iat,
// nonce, and at_hash if present. Failures are ErrRefused, unless the key set cannot be
// read.
func (v *Verifier) Verify(ctx context.Context, raw, nonce string, accessToken secret.Secret) (*Token, error) {
	if raw == "" {
		return nil, refusedError("the server sent none")
	}
	token, err := parseSigned(raw)
	if err != nil {
		return nil, err
	}
	payload, err := v.verifySignature(ctx, token)
	if errors.Is(err, ErrUnknownKey) {
		err = refusedError("no key of the server fits its signature")
	}
	if err != nil {
		return nil, err
	}
	claims, err := parseClaims(payload)
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare([]byte(claims.Nonce), []byte(nonce)) != 1 {
		return nil, refusedError("nonce is of another login")
	}
	if err := v.checkClaims(claims, token, accessToken); err != nil {
		return nil, err
	}
	return v.token(claims), nil
}

func parseClaims(payload []byte) (*claimSet, error) {
	var claims claimSet
	if err := json.Unmarshal(payload, &claims); err != nil {
		return nil, refusedError("its claims are not JSON of the right types")
	}
	return &claims, nil
}

func (v *Verifier) token(c *claimSet) *Token {
	ahead := v.Now().Sub(v.ServerNow()).Truncate(clockLeeway) // the result's times are by this machine's clock
	t := &Token{
		Subject: c.Subject, Name: string(c.Name), PreferredUsername: string(c.PreferredUsername), Email: string(c.Email),
		ACR: string(c.ACR), ExpiresAt: unixTime(*c.Expiry).Add(ahead),
	}
	if seconds, known := c.AuthTime.(float64); known {
		t.AuthTime = unixTime(seconds).Add(ahead)
	}
	return t
}

// parseSigned only accepts the compact form: three parts, known algorithm. base64 would
// skip line breaks, which would be printed with the token.
func parseSigned(raw string) (*jose.JSONWebSignature, error) {
	if strings.Count(raw, ".") != 2 || !sanitize.IsVisibleASCII(raw) {
		return nil, refusedError("it is not a signed JWT")
	}
	token, err := jose.ParseSignedCompact(raw, signatureAlgorithms)
	if err != nil {
		return nil, refusedError("its signature is not of an algorithm that fob accepts")
	}
	return token, nil
}

// checkClaims checks the claims that every id_token must have.
func (v *Verifier) checkClaims(claims *claimSet, token *jose.JSONWebSignature, accessToken secret.Secret) error {
	now := v.ServerNow()
	algorithm := jose.SignatureAlgorithm(token.Signatures[0].Header.Algorithm)
	switch {
	case claims.Issuer != v.Issuer:
		return refusedError("iss is another issuer")
	case claims.Subject == "":
		return refusedError("it has no sub")
	case !slices.Contains(claims.Audience, v.ClientID):
		return refusedError("aud is another client")
	case v.untrusted(claims.Audience) != "":
		return &AudienceError{v.untrusted(claims.Audience)}
	case claims.AuthorizedParty != "" && claims.AuthorizedParty != v.ClientID:
		return refusedError("azp is another client")
	case claims.Expiry == nil || !now.Add(-clockLeeway).Before(unixTime(*claims.Expiry)):
		return refusedError("it has expired, or has no exp")
	case claims.IssuedAt == nil || unixTime(*claims.IssuedAt).After(now.Add(clockLeeway)):
		return refusedError("it comes from the future, or has no iat")
	case claims.AccessTokenHash != nil && !matchesHash(*claims.AccessTokenHash, algorithm, accessToken):
		return refusedError("at_hash is of another access token")
	}
	return nil
}

// maxTime is the last second of the year 9999, the maximum of most time formats.
const maxTime = 253402300799

func unixTime(t float64) time.Time { return time.Unix(int64(min(max(t, 0), maxTime)), 0).UTC() }

// matchesHash compares at_hash: the left half of the token's hash (OIDC Core §3.1.3.6).
func matchesHash(atHash string, algorithm jose.SignatureAlgorithm, accessToken secret.Secret) bool {
	var h hash.Hash
	switch name := string(algorithm); {
	case strings.HasSuffix(name, "384"):
		h = sha512.New384()
	case strings.HasSuffix(name, "512"), algorithm == jose.EdDSA:
		h = sha512.New()
	default:
		h = sha256.New()
	}
	h.Write([]byte(accessToken.Reveal()))
	sum := h.Sum(nil)
	want := base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
	return subtle.ConstantTimeCompare([]byte(atHash), []byte(want)) == 1
}

// VerifyRefreshed verifies the id_token of a refresh (OIDC Core §12.2): like Verify, with
// the login's iss and sub. The token came directly from the token endpoint, so TLS may
// replace its signature (§3.1.3.7, 6): if its key cannot be fetched now, the error is
// ErrUnknownKey, and the login remains valid.
func (v *Verifier) VerifyRefreshed(ctx context.Context, raw, subject string, accessToken secret.Secret) (*Token, error) {
	token, err := parseSigned(raw)
	if err != nil {
		return nil, err
	}
	claims, err := parseClaims(token.UnsafePayloadWithoutVerification())
	if err != nil {
		return nil, err
	}
	if claims.Subject != subject {
		return nil, refusedError("sub is another account")
	}
	if err := v.checkClaims(claims, token, accessToken); err != nil {
		return nil, err
	}
	if _, err := v.verifySignature(ctx, token); err != nil {
		return nil, err
	}
	return v.token(claims), nil
}
