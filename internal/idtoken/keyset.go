package idtoken

import (
	"context"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/fobcli/fob/internal/httpclient"
)

// KeySet is the issuer's public signing keys. A login stores them, so that a refresh need
// not fetch them.
type KeySet struct {
	Keys      []jose.JSONWebKey `json:"keys"`
	FetchedAt time.Time         `json:"fetched_at"`
}

const (
	maxKeys = 16 // of a set, so that a record stays small
	// refetchAfter is the minimum age of a set before an unknown key causes another fetch.
	refetchAfter = time.Minute
	// maxRSABits bounds the time of a verification, as in TLS: with the largest key that
	// fits into a response, it would take minutes.
	maxRSABits = 8192
)

// verifySignature verifies a signature with the issuer's keys and returns the payload. For
// an unknown key, it fetches the keys once more, because the issuer may have rotated them.
// ErrUnknownKey: it is still unknown, or no fetch is allowed.
func (v *Verifier) verifySignature(ctx context.Context, token *jose.JSONWebSignature) ([]byte, error) {
	if v.JWKSURI == "" {
		return nil, refusedError("the server names no keys to check it with")
	}
	header := token.Signatures[0].Header
	for allowed := v.fetchesAllowed(); ; allowed-- {
		if v.Keys != nil {
			keys := v.Keys.candidates(header)
			for _, key := range keys {
				if payload, err := token.Verify(key); err == nil {
					return payload, nil
				}
			}
			if len(keys) > 0 && header.KeyID != "" {
				return nil, refusedError("its signature is not that of the key which it names")
			}
		}
		if allowed == 0 {
			return nil, ErrUnknownKey
		}
		if err := v.fetchKeys(ctx); err != nil {
			return nil, err
		}
	}
}

// fetchesAllowed returns how often the keys may be fetched now.
func (v *Verifier) fetchesAllowed() int {
	switch {
	case v.Keys == nil:
		return 2
	case v.Now().Sub(v.Keys.FetchedAt).Abs() < refetchAfter:
		return 0
	}
	return 1
}

// fetchKeys fetches the issuer's keys. Unsupported ones are skipped.
func (v *Verifier) fetchKeys(ctx context.Context) error {
	var set struct{ Keys []json.RawMessage }
	if err := httpclient.GetJSON(ctx, v.HTTP, v.JWKSURI, &set); err != nil {
		return fmt.Errorf("reading the server's keys: %w", err)
	}
	v.Keys = &KeySet{FetchedAt: v.Now().UTC()}
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		if key.UnmarshalJSON(verificationMembers(raw)) != nil || !isVerificationKey(key) || len(v.Keys.Keys) == maxKeys {
			continue
		}
		v.Keys.Keys = append(v.Keys.Keys, key)
	}
	return nil
}

// isVerificationKey reports whether a key is supported for verifying signatures.
func isVerificationKey(key jose.JSONWebKey) bool {
	public, isRSA := key.Key.(*rsa.PublicKey)
	return key.IsPublic() && (key.Use == "" || key.Use == "sig") && (!isRSA || public.N.BitLen() <= maxRSABits)
}

// verificationMembers returns the members of a key that verify signatures: what is odd in the
// others, such as certificates, must not make it unusable. Coordinates on a curve get back the
// leading zero bytes that some servers drop (RFC 7518 §6.2.1.2): it affects one key in 128.
func verificationMembers(raw json.RawMessage) json.RawMessage {
	var all map[string]json.RawMessage
	if json.Unmarshal(raw, &all) != nil {
		return raw
	}
	names := []string{"kty", "kid", "use", "alg", "n", "e"}
	if string(all["kty"]) != `"RSA"` {
		names = append(names, "crv", "x", "y")
	}
	key := make(map[string]string, len(names))
	for _, name := range names {
		var text string
		if json.Unmarshal(all[name], &text) == nil {
			key[name] = text
		}
	}
	size := map[string]int{"P-256": 32, "P-384": 48, "P-521": 66}[key["crv"]]
	for _, name := range []string{"x", "y"} {
		if coordinate, err := base64.RawURLEncoding.DecodeString(key[name]); err == nil && len(coordinate) < size {
			key[name] = base64.RawURLEncoding.EncodeToString(append(make([]byte, size-len(coordinate)), coordinate...))
		}
	}
	plain, err := json.Marshal(key)
	if err != nil {
		return raw
	}
	return plain
}

// candidates returns the keys that a header may refer to: the one with its kid, or without
// kid all with its algorithm.
func (s *KeySet) candidates(header jose.Header) []jose.JSONWebKey {
	var keys []jose.JSONWebKey
	for _, key := range s.Keys {
		if (key.Algorithm == "" || key.Algorithm == header.Algorithm) && (header.KeyID == "" || key.KeyID == header.KeyID) {
			keys = append(keys, key)
		}
	}
	return keys
}
