package destination

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/fobcli/fob/internal/httpclient"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/secret"
)

type api struct {
	http   *http.Client
	base   string      // without a trailing slash
	header http.Header // of every request: credential, API version
	hide   []string    // secrets that messages must not contain
	now    func() time.Time

	readOnly bool
}

// newAPI rejects URLs that a credential must not be sent to: only https, or http on this
// machine.
func newAPI(m Machine, base string) (*api, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, &SetupError{fmt.Sprintf("invalid platform address %q", sanitize.Line(base)), "write it as https://HOST, with nothing but a path behind"}
	}
	if host := u.Hostname(); u.Scheme != "https" && (u.Scheme != "http" || host != "localhost" && host != "127.0.0.1" && host != "::1") {
		return nil, &SetupError{sanitize.Line(base) + " is not an https address: the credential could be intercepted", "use its https address; http is only for this machine"}
	}
	return &api{http: httpclient.WithoutRedirects(m.HTTP), base: strings.TrimRight(base, "/"), header: make(http.Header), now: m.Now, readOnly: m.ReadOnly}, nil
}

// connect is newAPI with the user's credential for the platform, for the delivery of a value.
func (r *rest) connect(ctx context.Context, prefix string, value secret.Secret, variables ...string) (*api, error) {
	token, err := r.credential(ctx, r.scheme, variables...)
	if err != nil {
		return nil, err
	}
	a, err := newAPI(r.Machine, r.base)
	if err != nil {
		return nil, err
	}
	a.authorize(prefix, token)
	a.conceal(value)
	return a, nil
}

// authorize adds a credential to every request, and hides it in messages.
func (a *api) authorize(prefix string, credential secret.Secret) {
	a.header.Set("Authorization", prefix+credential.Reveal())
	a.conceal(credential)
}

// conceal hides a secret in messages, also in JSON and base64, and each of its words,
// because a platform may repeat one line of many.
func (a *api) conceal(s secret.Secret) {
	text := s.Reveal()
	inJSON, _ := json.Marshal(text) // cannot fail for a string
	a.hide = append(a.hide, text, string(inJSON[1:len(inJSON)-1]), base64.StdEncoding.EncodeToString([]byte(text)))
	a.hide = append(a.hide, withLines(text)...)
}

// AnswerError is a response that means that nothing was delivered.
type AnswerError struct {
	Host       string
	Status     int
	Message    string        // the platform's, inert, without the value; may be empty
	RetryAfter time.Duration // from the response; 0: unknown
	body       []byte        // for the platform's own code; never shown
}

func (e *AnswerError) Error() string {
	text := fmt.Sprintf("%s answered %d %s", sanitize.Line(e.Host), e.Status, http.StatusText(e.Status))
	if e.Message != "" {
		text += ": " + e.Message
	}
	return text
}

// Unwrap returns ErrUnavailable if a retry may succeed.
func (e *AnswerError) Unwrap() error {
	if httpclient.IsTemporary(e.Status) {
		return httpclient.ErrUnavailable
	}
	return nil
}

func isAnswer(err error, statuses ...int) bool {
	answer, ok := errors.AsType[*AnswerError](err)
	return ok && slices.Contains(statuses, answer.Status)
}

// Number of attempts, and the longest wait between them.
const (
	maxTries = 3
	maxWait  = 10 * time.Second
)

// do sends in as JSON (nil: no body) and reads the response into out (nil: not read). The
// path begins with a slash, its segments escaped. After temporary failures it retries,
// because every call here is idempotent.
func (a *api) do(ctx context.Context, method, path string, in, out any) error {
	if a.readOnly && method != http.MethodGet {
		return errReadOnly
	}
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	return a.send(ctx, method, path, "application/json", body, out)
}

func (a *api) send(ctx context.Context, method, path, contentType string, body []byte, out any) error {
	for try := 1; ; try++ {
		err := a.once(ctx, method, path, contentType, body, out)
		wait := time.Duration(try) * 300 * time.Millisecond
		if answer, ok := errors.AsType[*AnswerError](err); ok && answer.RetryAfter > 0 {
			wait = answer.RetryAfter
		}
		if !errors.Is(err, httpclient.ErrUnavailable) || try == maxTries || wait > maxWait || !pause(ctx, wait) {
			return err
		}
	}
}

// pause waits, unless the deadline would pass before.
func pause(ctx context.Context, wait time.Duration) bool {
	if deadline, bounded := ctx.Deadline(); bounded && time.Until(deadline) < wait {
		return false
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(wait):
		return true
	}
}

// unlessLate calls write, and again as long as its error is that another writer was first.
func unlessLate(ctx context.Context, tries int, isLate func(error) bool, write func() error) error {
	for try := 1; ; try++ {
		err := write()
		if !isLate(err) || try == tries || !pause(ctx, rand.N(time.Duration(try)*50*time.Millisecond)) {
			return err
		}
	}
}

// setField sets a field of a secret. It reports false if the value is already there, by an
// attempt whose response was lost.
func setField(fields map[string]json.RawMessage, field string, value secret.Secret) (map[string]json.RawMessage, bool) {
	var text string
	if json.Unmarshal(fields[field], &text) == nil && text == value.Reveal() {
		return fields, false
	}
	if fields == nil {
		fields = make(map[string]json.RawMessage)
	}
	fields[field], _ = json.Marshal(value.Reveal()) // cannot fail for a string
	return fields, true
}

func (a *api) once(ctx context.Context, method, path, contentType string, body []byte, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, bytes.NewReader(body))
	if err != nil {
		return errors.New("the platform's address cannot be asked")
	}
	for name, values := range a.header {
		if strings.ContainsFunc(strings.Join(values, ""), unicode.IsControl) {
			return &SetupError{"the credential for the platform, or another of its settings, has a line break in it", "give it without, as in $(cat FILE)"}
		}
		req.Header[name] = values
	}
	if req.Header.Get("Accept") == "" {
		req.Header.Set("Accept", "application/json")
	}
	if body != nil {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := httpclient.Do(a.http, req)
	if err != nil {
		return err
	}
	if resp.Status < 200 || resp.Status > 299 {
		return &AnswerError{req.URL.Host, resp.Status, a.messageIn(resp.Body), a.retryAfter(resp.Header), resp.Body}
	}
	if bytes.HasPrefix(bytes.TrimSpace(resp.Body), []byte("<")) {
		return fmt.Errorf("%w: %s answered with a page for people, as a login in between does", httpclient.ErrMalformed, sanitize.Line(req.URL.Host))
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(resp.Body, out); err != nil {
		return fmt.Errorf("%w: %s did not answer with JSON", httpclient.ErrMalformed, sanitize.Line(req.URL.Host))
	}
	return nil
}

// retryAfter reads the Retry-After header (RFC 9110 §10.2.3), or when a rate limit is
// reset, as sent by GitHub and GitLab.
func (a *api) retryAfter(h http.Header) time.Duration {
	for _, prefix := range []string{"X-Ratelimit-", "Ratelimit-"} {
		at, err := strconv.ParseInt(h.Get(prefix+"Reset"), 10, 64)
		if err == nil && at > 0 && at < 1<<40 && h.Get(prefix+"Remaining") == "0" && h.Get("Retry-After") == "" {
			return max(time.Unix(at, 0).Sub(a.now()), 0)
		}
	}
	text := h.Get("Retry-After")
	if seconds, err := strconv.Atoi(text); err == nil && seconds >= 0 && seconds < 1<<30 {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(at.Sub(a.now()), 0)
	}
	return 0
}

const maxMessage = 16 << 10

// messageIn returns a platform's error message, or "" for HTML.
func (a *api) messageIn(body []byte) string {
	var answer struct {
		Message, Error any
		Errors         any
	}
	if json.Unmarshal(body, &answer) != nil {
		return ""
	}
	for _, found := range []any{answer.Message, answer.Error, answer.Errors} {
		text, isText := found.(string)
		if !isText && found != nil {
			inJSON, err := json.Marshal(found)
			if err != nil {
				continue
			}
			text = string(inJSON)
		}
		if len(text) > maxMessage { // redacting more would take too long
			return ""
		}
		if text != "" {
			return sanitize.RedactLine(text, a.hide...)
		}
	}
	return ""
}
