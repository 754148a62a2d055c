package apikey

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Reason is why a key was refused.
type Reason string

// Reasons. Clients without a valid key only see the first four; an unknown id and a wrong
// secret look the same to them.
const (
	Malformed        Reason = "malformed"
	Mistyped         Reason = "mistyped" // the checksum is wrong
	Unknown          Reason = "unknown"
	OtherEnvironment Reason = "other environment"
	IsRevoked        Reason = "revoked"
	IsExpired        Reason = "expired"
	IsDisabled       Reason = "disabled"
	OutOfScope       Reason = "out of scope"
)

// RefusedError is a key that must not be accepted.
type RefusedError struct {
	Reason Reason
	Detail string // details for the key's owner; may be empty
}

func (e *RefusedError) Error() string {
	if e.Detail == "" {
		return "the key is refused: " + string(e.Reason)
	}
	return fmt.Sprintf("the key is refused: %s (%s)", e.Reason, e.Detail)
}

// Need is what a request needs. The zero Need is satisfied by any valid key.
type Need struct {
	Environment string
	Scopes      []string // all of them
}

// Presented is a key in a request.
type Presented struct {
	ID   string // for lookup
	text string
}

// Present parses a key without using a registry. The id of a key issued elsewhere is
// derived from its digest.
func Present(text string, need Need) (Presented, error) {
	parts, err := Parse(text)
	switch {
	case errors.Is(err, ErrChecksum):
		return Presented{}, &RefusedError{Reason: Mistyped}
	case err == nil && need.Environment != "" && parts.Environment != need.Environment:
		return Presented{}, &RefusedError{Reason: OtherEnvironment}
	case err == nil:
		return Presented{ID: parts.ID, text: text}, nil
	case CheckImported(text) != nil:
		return Presented{}, &RefusedError{Reason: Malformed}
	}
	return Presented{ID: ImportedID(DigestOf(text)), text: text}, nil
}

// MinLength is the minimum length of a key, wherever it was issued: shorter ones could be
// guessed from their SHA-256.
const MinLength = 20

// maxImported is the maximum length of keys issued elsewhere.
const maxImported = 1024

// CheckImported rejects texts that cannot be keys issued elsewhere: those have 20 to 1,024
// visible ASCII characters.
func CheckImported(text string) error {
	if len(text) < MinLength || len(text) > maxImported {
		return fmt.Errorf("a key has %d to %d characters", MinLength, maxImported)
	}
	for i := range len(text) {
		if text[i] <= ' ' || text[i] > '~' {
			return errors.New("a key is visible ASCII, without blanks")
		}
	}
	return nil
}

// Check verifies a key with its record (the zero Record if there is none) and the record's
// pepper (nil if it has none). The record is never nil, so that an unknown id takes the
// same steps and time as a wrong secret. The error is a *RefusedError. Success allocates
// nothing.
func (p Presented) Check(r *Record, pepper *Pepper, need Need, now time.Time) error {
	// The zero digest matches no key; the id is checked too, and last.
	if !Hash(p.text, pepper).Equal(r.Digest) || r.ID == "" {
		return errUnknown
	}
	return r.permits(need, now)
}

var errUnknown = &RefusedError{Reason: Unknown}

// permits checks what a key with the right secret may do.
func (r *Record) permits(need Need, now time.Time) error {
	switch r.State(now) {
	case Revoked:
		return &RefusedError{IsRevoked, "at " + laterOf(r.RevokedAt, r.RetiresAt).Format(time.RFC3339)}
	case Expired:
		return &RefusedError{IsExpired, "at " + r.ExpiresAt.Format(time.RFC3339)}
	case Disabled:
		return &RefusedError{Reason: IsDisabled}
	}
	if need.Environment != "" && r.Environment != need.Environment {
		return &RefusedError{Reason: OtherEnvironment}
	}
	scope, short := missingScope(r.Scopes, need.Scopes)
	if !short {
		return nil
	}
	detail := "it lacks " + scope
	if len(r.Scopes) > 0 {
		detail += ", and has " + strings.Join(r.Scopes, " ")
	}
	return &RefusedError{OutOfScope, detail}
}

// maxScopes bounds the scopes of a key, maxScope the length of one.
const (
	maxScopes = 64
	maxScope  = 100
)

// CheckScope rejects invalid scopes. Valid ones are resource:action, each of a-z, 0-9, '.',
// '-' and '_', or '*' for everything at that level.
func CheckScope(scope string) error {
	resource, action, found := strings.Cut(scope, ":")
	if found && isScopeLevel(resource) && isScopeLevel(action) && len(scope) <= maxScope {
		return nil
	}
	if suggestion := suggestScope(scope); suggestion != "" {
		return fmt.Errorf("invalid scope %.80q: did you mean %s?", scope, suggestion)
	}
	return fmt.Errorf("invalid scope %.80q: use resource:action, such as orders:read or orders:*", scope)
}

// suggestScope corrects the most common mistakes in a scope, or returns "".
func suggestScope(scope string) string {
	if scope == "*" {
		return "*:*"
	}
	if strings.ContainsAny(scope, ", ") {
		parts := strings.FieldsFunc(scope, func(r rune) bool { return r == ',' || r == ' ' })
		if len(parts) > 1 && !slices.ContainsFunc(parts, func(s string) bool { return CheckScope(s) != nil }) {
			return "--scope " + strings.Join(parts, " --scope ")
		}
		return ""
	}
	corrected := strings.ToLower(scope)
	if !strings.Contains(corrected, ":") {
		for _, separator := range []string{"/", ".", "_", "-"} {
			if strings.Count(corrected, separator) == 1 {
				corrected = strings.Replace(corrected, separator, ":", 1)
				break
			}
		}
	}
	if corrected != scope && CheckScope(corrected) == nil {
		return corrected
	}
	return ""
}

func isScopeLevel(level string) bool {
	return level == "*" || level != "" && level[0] != '.' && level[0] != '-' && strings.Trim(level, "abcdefghijklmnopqrstuvwxyz0123456789.-_") == ""
}

func scopeCovers(granted, needed string) bool {
	resource, action, _ := strings.Cut(granted, ":")
	neededResource, neededAction, _ := strings.Cut(needed, ":")
	return (resource == "*" || resource == neededResource) && (action == "*" || action == neededAction)
}

// missingScope returns the first needed scope that no granted one covers.
func missingScope(granted, needed []string) (string, bool) {
	for _, need := range needed {
		if !slices.ContainsFunc(granted, func(grant string) bool { return scopeCovers(grant, need) }) {
			return need, true
		}
	}
	return "", false
}
