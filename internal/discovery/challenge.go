package discovery

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Challenge is what an API requires of a token (RFC 6750 §3, RFC 9470 §3, RFC 9728 §5.1).
// Its texts are the API's: pass them through sanitize.
type Challenge struct {
	ResourceMetadata string
	Scopes           []string
	Error            string
	ACRValues        string        // how the user must have authenticated, separated by spaces
	MaxAge           time.Duration // of the user's authentication; negative: not limited
}

const maxHead = 64 << 10 // bytes

// ReadChallenge reads the challenge in a response's head: of the last response, if there
// are several, as after a proxy's.
func ReadChallenge(r io.Reader) (*Challenge, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxHead))
	if err != nil {
		return nil, fmt.Errorf("read the challenge: %w", err)
	}
	var fields []string
	inBody := false
	for line := range strings.Lines(strings.TrimPrefix(string(text), "\ufeff")) {
		line = strings.TrimSpace(line)
		name, value, isField := strings.Cut(line, ":")
		switch {
		case strings.HasPrefix(line, "HTTP/"):
			fields, inBody = nil, false
		case line == "":
			inBody = true
		case isField && !inBody && strings.EqualFold(strings.TrimSpace(name), "WWW-Authenticate"):
			fields = append(fields, value)
		}
	}
	return newChallenge(fields)
}

// newChallenge joins what WWW-Authenticate fields say for bearer and DPoP tokens.
func newChallenge(fields []string) (*Challenge, error) {
	params := map[string]string{}
	found := false
	for _, field := range fields {
		for _, c := range parseAuthenticate(field) {
			if !strings.EqualFold(c.scheme, "Bearer") && !strings.EqualFold(c.scheme, "DPoP") {
				continue
			}
			found = true
			for name, value := range c.params {
				if _, known := params[name]; !known {
					params[name] = value
				}
			}
		}
	}
	if !found {
		return nil, errors.New("there is no WWW-Authenticate field for a Bearer or DPoP token")
	}
	c := &Challenge{
		ResourceMetadata: params["resource_metadata"], Scopes: onlyScopes(strings.Fields(params["scope"])),
		Error: params["error"], ACRValues: strings.Join(onlyScopes(strings.Fields(params["acr_values"])), " "), MaxAge: -1,
	}
	if seconds, err := strconv.ParseUint(params["max_age"], 10, 31); err == nil {
		c.MaxAge = time.Duration(seconds) * time.Second
	}
	return c, nil
}

type authChallenge struct {
	scheme string
	params map[string]string // by lower-case name
}

// parseAuthenticate parses one field, which may contain several challenges (RFC 9110
// §11.6.1). It stops where the field is malformed.
func parseAuthenticate(field string) []authChallenge {
	var all []authChallenge
	for {
		field = strings.TrimLeft(field, " \t,")
		word, rest := cutToken(field)
		if word == "" {
			return all
		}
		rest = strings.TrimLeft(rest, " \t")
		value, isParam := strings.CutPrefix(rest, "=")
		if !isParam {
			all = append(all, authChallenge{word, map[string]string{}})
			field = skipToken68(rest)
			continue
		}
		text, rest, ok := cutValue(strings.TrimLeft(value, " \t"))
		if !ok || len(all) == 0 {
			return all
		}
		params := all[len(all)-1].params
		if name := strings.ToLower(word); params[name] == "" {
			params[name] = text
		}
		field = rest
	}
}

func cutToken(text string) (token, rest string) {
	end := strings.IndexFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r) })
	if end < 0 {
		end = len(text)
	}
	return text[:end], text[end:]
}

// skipToken68 skips the credentials that some schemes have instead of parameters.
func skipToken68(text string) string {
	_, rest := cutToken(text)
	for strings.HasPrefix(rest, "/") {
		_, rest = cutToken(rest[1:])
	}
	rest = strings.TrimLeft(strings.TrimLeft(rest, "="), " \t")
	if rest == "" || rest[0] == ',' {
		return rest
	}
	return text
}

// cutValue cuts a token, or a quoted string without its quotes and escapes.
func cutValue(text string) (value, rest string, ok bool) {
	quoted, isQuoted := strings.CutPrefix(text, `"`)
	if !isQuoted {
		value, rest = cutToken(text)
		return value, rest, value != ""
	}
	var b strings.Builder
	for i := 0; i < len(quoted); i++ {
		switch c := quoted[i]; {
		case c == '"':
			return b.String(), quoted[i+1:], true
		case c == '\\' && i+1 < len(quoted):
			i++
			b.WriteByte(quoted[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", "", false
}
