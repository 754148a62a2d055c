package jwt

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/fobcli/fob/internal/secret"
)

// ErrOpaque is a token that is not a JWT, so that only its server can read it.
var ErrOpaque = errors.New("the token is opaque, not a JWT: only its server can decode it")

// MaxInspected bounds the token that is decoded, in bytes.
const MaxInspected = 256 << 10

// inspection is the content of a JWT (RFC 7519 §3), unverified.
type inspection struct {
	Header map[string]any `json:"header"`
	Claims map[string]any `json:"claims"`
}

// DecodeJWT decodes the compact form of a signed JWT (RFC 7515 §7.1). Its errors contain no
// part of the token.
func DecodeJWT(token secret.Secret) (*inspection, error) {
	text := token.Reveal()
	if len(text) > MaxInspected || strings.Count(text, ".") != 2 {
		return nil, ErrOpaque
	}
	parts := strings.Split(text, ".")
	var seen inspection
	for i, part := range []*map[string]any{&seen.Header, &seen.Claims} {
		plain, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			return nil, ErrOpaque
		}
		decoder := json.NewDecoder(bytes.NewReader(plain))
		decoder.UseNumber()
		if decoder.Decode(part) != nil || *part == nil {
			return nil, ErrOpaque
		}
		if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
			return nil, ErrOpaque
		}
	}
	return &seen, nil
}

// TimeOf returns the time in a claim that is one: seconds since 1970 (RFC 7519 §2).
func TimeOf(name string, value any) (time.Time, bool) {
	number, _ := value.(json.Number)
	seconds, err := number.Float64()
	if err != nil || !slices.Contains([]string{"exp", "nbf", "iat", "auth_time", "updated_at"}, name) || math.Abs(seconds) > 1e11 {
		return time.Time{}, false
	}
	return time.Unix(int64(seconds), 0), true
}
