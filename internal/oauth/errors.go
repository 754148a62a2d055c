package oauth

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/fobcli/fob/internal/httpclient"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/secret"
)

// Why a request to the authorization server failed, beside *Error.
var (
	// ErrUnavailable is a network or server failure: another try may succeed.
	ErrUnavailable = httpclient.ErrUnavailable
	// ErrMalformed is an answer that the standards do not allow.
	ErrMalformed = httpclient.ErrMalformed
	// ErrRefused is a 401 or 403 without the error that RFC 6749 §5.2 wants.
	ErrRefused = errors.New("the server refused this without a reason")
	// ErrUnsupported is something that the server does not offer.
	ErrUnsupported = errors.New("the server does not support this")
	// ErrTokenRefused is an access token that a resource does not take (RFC 6750 §3.1).
	ErrTokenRefused = errors.New("the access token was refused")
	// ErrWrongSubject is a userinfo answer about somebody else (OIDC Core §5.3.2).
	ErrWrongSubject = errors.New("the userinfo is about another account")
)

// Error is the server's own error answer (RFC 6749 §5.2). Its texts come from the
// server; Error shows them made inert.
type Error struct {
	Status      int
	Code        string
	Description string
}

func (e *Error) Error() string {
	text := "the server says " + sanitize.Line(e.Code)
	if e.Description != "" {
		text += ": " + sanitize.Line(e.Description)
	}
	return text
}

const minSecret = 8 // bytes

// withoutSecrets takes out of a refusal what a server repeats of the request: its words are
// shown, and stand in logs that others read. They are searched once more as they are shown,
// without what is invisible. What is short may be a word of theirs.
func withoutSecrets(err error, secrets []secret.Secret) error {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return err
	}
	for _, text := range []*string{&e.Code, &e.Description} {
		for _, s := range secrets {
			value := s.Reveal()
			if len(value) < minSecret {
				continue
			}
			*text = strings.ReplaceAll(*text, value, "[redacted]")
			if shown := sanitize.Lines(*text); strings.Contains(shown, value) {
				*text = strings.ReplaceAll(shown, value, "[redacted]")
			}
		}
	}
	return err
}

// IsInvalidGrant reports whether the server has refused the grant itself: a code
// or refresh token that is expired, revoked or not this client's.
func IsInvalidGrant(err error) bool { return HasCode(err, "invalid_grant") }

// RefusesClient reports whether the server does not take the client, as it proves
// itself or for what it asks (RFC 6749 §5.2).
func RefusesClient(err error) bool { return HasCode(err, "invalid_client", "unauthorized_client") }

// HasCode reports whether the server has answered with one of these error codes.
func HasCode(err error, codes ...string) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && slices.Contains(codes, e.Code)
}

// statusError judges an answer that is neither a success nor an OAuth error.
func statusError(status int) error {
	kind := ErrMalformed
	switch {
	case status >= 300 && status < 400:
		kind = httpclient.ErrRedirect
	case httpclient.IsTemporary(status):
		kind = ErrUnavailable
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		kind = ErrRefused
	}
	return fmt.Errorf("%w: it answered %d %s", kind, status, http.StatusText(status))
}
