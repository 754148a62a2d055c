package oauth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
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
	// ErrUnreachable is the ErrUnavailable of a request that was never sent.
	ErrUnreachable = httpclient.ErrUnreachable
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
	var texts []*string
	if e, ok := errors.AsType[*Error](err); ok {
		texts = []*string{&e.Code, &e.Description}
	}
	if e, ok := errors.AsType[*statusError](err); ok {
		texts = []*string{&e.message}
	}
	for _, text := range texts {
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

// Is makes a refusal for now one of ErrUnavailable.
func (e *Error) Is(target error) bool {
	return target == ErrUnavailable &&
		(httpclient.IsTemporary(e.Status) || e.Code == "temporarily_unavailable" || e.Code == "server_error")
}

// EndsLogin reports whether the server has refused the grant itself for good: a code or
// refresh token that is expired, revoked or not this client's. Besides invalid_grant, servers
// use the codes of OpenID Connect Core §3.1.2.6 and their own.
func EndsLogin(err error) bool {
	e, ok := errors.AsType[*Error](err)
	if !ok || errors.Is(e, ErrUnavailable) {
		return false
	}
	switch e.Code {
	case "invalid_grant", "interaction_required", "login_required", "consent_required",
		"bad_refresh_token",                      // GitHub
		"invalid_refresh_token", "token_revoked": // Slack
		return true
	case "unauthorized_client": // Atlassian
		return strings.Contains(strings.ToLower(e.Description), "refresh_token is invalid")
	}
	return false
}

// RefusesClient reports whether the server does not take the client, as it proves
// itself or for what it asks (RFC 6749 §5.2).
func RefusesClient(err error) bool {
	return HasCode(err, "invalid_client", "unauthorized_client") && !EndsLogin(err)
}

// HasCode reports whether the server responded with one of these error codes.
func HasCode(err error, codes ...string) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && slices.Contains(codes, e.Code)
}

// responseError returns the error that a server has answered the last request with.
func (c *Client) responseError(status int, body []byte) error {
	return withoutSecrets(responseError(status, body), c.sent)
}

// responseError reads a refusal as RFC 6749 §5.2 has it, or else judges by the status.
func responseError(status int, body []byte) error {
	fields := readObject(body)
	code := textOf(fields["error"])
	if code != "" && (status < 300 || status >= 400) && status < 500 {
		return &Error{Status: status, Code: code, Description: textOf(fields["error_description"])}
	}
	return &statusError{status, messageOf(fields)}
}

// statusError is a response that is neither a success nor an OAuth error.
type statusError struct {
	status  int
	message string // from the server
}

func (e *statusError) Error() string {
	text := fmt.Sprintf("%v: it answered %d %s", e.Unwrap(), e.status, http.StatusText(e.status))
	if e.message != "" {
		text += ": " + sanitize.Line(e.message)
	}
	return text
}

func (e *statusError) Unwrap() error {
	switch {
	case e.status >= 300 && e.status < 400:
		return httpclient.ErrRedirect
	case httpclient.IsTemporary(e.status):
		return ErrUnavailable
	case e.status == http.StatusUnauthorized, e.status == http.StatusForbidden:
		return ErrRefused
	}
	return ErrMalformed
}

func isSuccess(status int) bool { return status >= 200 && status < 300 }

// readObject returns the members of a response: of a JSON object, also after a byte order
// mark, or of a form, which GitHub and old servers send.
func readObject(body []byte) map[string]json.RawMessage {
	var fields map[string]json.RawMessage
	body = bytes.TrimPrefix(body, []byte("\ufeff"))
	if json.Unmarshal(body, &fields) == nil {
		return fields
	}
	form, err := url.ParseQuery(strings.TrimSpace(string(body)))
	if err != nil || !form.Has("access_token") && !form.Has("refresh_token") && !form.Has("error") {
		return nil
	}
	fields = make(map[string]json.RawMessage, len(form))
	for name := range form {
		fields[name], _ = json.Marshal(form.Get(name))
	}
	return fields
}

// textOf returns a JSON string's text, and "" for any other value.
func textOf(value json.RawMessage) string {
	var text string
	if json.Unmarshal(value, &text) != nil {
		return ""
	}
	return text
}

// messageOf finds what a server says in a form that is not RFC 6749's: {"message":…},
// {"error":{"message":…}} or {"errors":[…]}.
func messageOf(fields map[string]json.RawMessage) string { return messageIn(fields, 4) }

// messageIn looks at most so many levels deep: each of them parses the rest again.
func messageIn(fields map[string]json.RawMessage, levels int) string {
	if levels == 0 {
		return ""
	}
	for _, name := range []string{"error_description", "message", "error", "errors", "detail", "title"} {
		value := fields[name]
		if text := textOf(value); text != "" {
			return text
		}
		var object map[string]json.RawMessage
		if json.Unmarshal(value, &object) == nil && object != nil {
			return messageIn(object, levels-1)
		}
		var list []json.RawMessage
		if json.Unmarshal(value, &list) == nil && len(list) > 0 {
			return messageIn(map[string]json.RawMessage{"error": list[0]}, levels-1)
		}
	}
	return ""
}
