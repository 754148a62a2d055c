package cmd

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/fobcli/fob/internal/safetext"
	"github.com/fobcli/fob/internal/secret"
)

// errOpaque is a token that says nothing to anybody but the server.
var errOpaque = errors.New("the token is opaque: it is no JWT, and only its server can read it")

// maxInspected bounds the token that is decoded, in bytes.
const maxInspected = 256 << 10

// inspection is what a JWT says (RFC 7519 §3). Nothing of it is verified.
type inspection struct {
	Header map[string]any `json:"header"`
	Claims map[string]any `json:"claims"`
}

// printInspection shows what a token says. It is sent nowhere.
func (a *app) printInspection(token secret.Secret, asJSON bool) error {
	seen, err := decodeJWT(token)
	if err != nil {
		return withHint(err, "'fob status' knows when it ends; its server can tell the rest")
	}
	if asJSON {
		return a.printJSON(seen)
	}
	a.note("What the token says; its signature is not checked here.")
	rows := [][]string{}
	for _, name := range names(seen.Header, "alg", "typ", "kid") {
		rows = append(rows, []string{"header " + safetext.Line(name), a.claimText(name, seen.Header[name])})
	}
	for _, name := range names(seen.Claims, "iss", "sub", "aud", "exp", "nbf", "iat", "jti") {
		rows = append(rows, []string{safetext.Line(name), a.claimText(name, seen.Claims[name])})
	}
	return a.printTable(rows)
}

// decodeJWT reads the compact form of a signed JWT (RFC 7515 §7.1). No part of what it
// cannot read is shown.
func decodeJWT(token secret.Secret) (*inspection, error) {
	text := token.Reveal()
	if len(text) > maxInspected || strings.Count(text, ".") != 2 {
		return nil, errOpaque
	}
	parts := strings.Split(text, ".")
	var seen inspection
	for i, part := range []*map[string]any{&seen.Header, &seen.Claims} {
		plain, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			return nil, errOpaque
		}
		decoder := json.NewDecoder(bytes.NewReader(plain))
		decoder.UseNumber()
		if decoder.Decode(part) != nil || *part == nil {
			return nil, errOpaque
		}
		if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
			return nil, errOpaque
		}
	}
	return &seen, nil
}

// names lists a part's names, the well-known ones first.
func names(part map[string]any, first ...string) []string {
	rank := func(name string) int {
		if i := slices.Index(first, name); i >= 0 {
			return i
		}
		return len(first)
	}
	return slices.SortedFunc(maps.Keys(part), func(a, b string) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
	})
}

// claimText writes a claim on one line, a time in words.
func (a *app) claimText(name string, value any) string {
	switch v := value.(type) {
	case string:
		return safetext.Line(v)
	case json.Number:
		if at, ok := timeOf(name, v); ok {
			return fmt.Sprintf("%s (%s)", timeText(at), agoText(at, a.now()))
		}
		return safetext.Line(v.String())
	}
	text, err := json.Marshal(value)
	if err != nil {
		return ""
	}
	return safetext.Line(string(text))
}

// timeOf reads the claims that are times: seconds since 1970 (RFC 7519 §2).
func timeOf(name string, value json.Number) (time.Time, bool) {
	seconds, err := value.Float64()
	if err != nil || !slices.Contains([]string{"exp", "nbf", "iat", "auth_time", "updated_at"}, name) || math.Abs(seconds) > 1e11 {
		return time.Time{}, false
	}
	return time.Unix(int64(seconds), 0), true
}

// agoText shows how far a time is, in either direction.
func agoText(t, now time.Time) string {
	if left := t.Sub(now); left > 0 {
		return "in " + roughly(left)
	}
	return roughly(now.Sub(t)) + " ago"
}
