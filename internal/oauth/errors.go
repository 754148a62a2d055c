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

// Why a request to the authorization server failed, besides *Error.
var (
	// ErrUnavailable is a network or server failure that may be temporary.
	ErrUnavailable = httpclient.ErrUnavailable
	// ErrMalformed is a response that violates the standards.
	ErrMalformed = httpclient.ErrMalformed
	// ErrRefused is a 401 or 403 without the error that RFC 6749 §5.2 requires.
	ErrRefused = errors.New("the server refused this without a reason")
	// ErrUnsupported is something that the server does not offer.
	ErrUnsupported = errors.New("the server does not support this")
	// ErrTokenRefused is an access token that a resource server refused (RFC 6750 §3.1).
	ErrTokenRefused = errors.New("the access token was refused")
	// ErrWrongSubject is a userinfo response about another account (OIDC Core §5.3.2).
	ErrWrongSubject = errors.New("the userinfo is about another account")
)

// Error is an error response of the server (RFC 6749 §5.2). The texts are the server's;
// Error sanitizes them.
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

// withoutSecrets removes secrets of the request that a server repeats in its error texts,
// which end up in logs. It also searches the sanitized text, from which invisible
// characters were removed. Short secrets may be ordinary words and are not removed.
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

// IsInvalidGrant reports whether the server refused the grant itself: a code or refresh
// token that is expired, revoked or issued to another client.
func IsInvalidGrant(err error) bool { return HasCode(err, "invalid_grant") }

// RefusesClient reports whether the server refused the client's authentication or its use
// of the grant (RFC 6749 §5.2).
func RefusesClient(err error) bool { return HasCode(err, "invalid_client", "unauthorized_client") }

// HasCode reports whether the server responded with one of these error codes.
func HasCode(err error, codes ...string) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && slices.Contains(codes, e.Code)
}

// statusError returns the error for a response that is neither a success nor an OAuth
// error.
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
