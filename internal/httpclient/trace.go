package httpclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/trace"
)

// What a trace shows: everything else may be a secret and is redacted. Names are those of
// the OAuth and OpenID specifications and of HTTP.
var (
	plainHeaders = []string{"Accept", "Cache-Control", "Content-Length", "Content-Type", "Date", "Retry-After", "Server", "User-Agent"}
	plainFields  = []string{
		"alg", "aud", "audience", "claims_supported", "client_id", "crv", "error", "expires_in", "grant_type", "interval", "iss", "issuer", "kid", "kty",
		"prompt", "redirect_uri", "refresh_expires_in", "requested_token_type", "resource", "response_type", "scope", "subject_token_type", "token_type",
		"token_type_hint", "use", "verification_uri",
	}
	plainEndings = []string{"_endpoint", "_supported", "_token_type"} // of metadata (RFC 8414 §2)
)

const (
	redacted   = "[redacted]"
	shortest   = 8        // minimum length of secrets that are searched for: shorter ones may be any word
	traceLimit = 16 << 10 // bytes of a body
)

func isPlain(name string) bool {
	return slices.Contains(plainFields, name) || slices.ContainsFunc(plainEndings, func(ending string) bool { return strings.HasSuffix(name, ending) })
}

type exchange struct {
	ctx     context.Context
	secrets []string // as they were sent: a response may repeat them
}

func traced(req *http.Request, roundTrip func(*http.Request) (*http.Response, error)) (*http.Response, error) {
	e := &exchange{ctx: req.Context()}
	e.learn(req.Header)
	trace.Printf(e.ctx, "> %s %s", req.Method, e.url(req.URL))
	e.headers(">", req.Header)
	if req.Body != nil {
		text, err := io.ReadAll(req.Body)
		if err = errors.Join(err, req.Body.Close()); err != nil {
			return nil, err
		}
		if len(text) > 0 {
			trace.Printf(e.ctx, "> %s", e.document(req.Header.Get("Content-Type"), text))
		}
		req.Body = io.NopCloser(bytes.NewReader(text))
	}
	start := time.Now()
	resp, err := roundTrip(req)
	if err != nil {
		trace.Printf(e.ctx, "< %s", trace.Outcome(errors.New(sanitize.Line(withoutURL(err).Error())), start))
		return nil, err
	}
	trace.Printf(e.ctx, "< %d %s (%s)", resp.StatusCode, http.StatusText(resp.StatusCode), time.Since(start).Round(time.Millisecond/10))
	resp.Body = &tracedBody{ReadCloser: resp.Body, done: func(text []byte) {
		e.learn(resp.Header)
		shown := e.document(resp.Header.Get("Content-Type"), text)
		e.headers("<", resp.Header) // which may repeat a secret of the body
		if len(text) > 0 {
			trace.Printf(e.ctx, "< %s", shown)
		}
	}}
	return resp, nil
}

// learn records the secrets in headers, to redact them where they are repeated.
func (e *exchange) learn(headers http.Header) {
	for name, values := range headers {
		for _, value := range values {
			e.text(slices.Contains(plainHeaders, name), value)
		}
	}
	request := http.Request{Header: headers}
	if _, password, ok := request.BasicAuth(); ok { // a server may repeat them decoded (RFC 6749 §2.3.1)
		e.secrets = append(e.secrets, password)
		if decoded, err := url.QueryUnescape(password); err == nil {
			e.secrets = append(e.secrets, decoded)
		}
	}
}

func (e *exchange) headers(arrow string, headers http.Header) {
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		trace.Printf(e.ctx, "%s %s: %s", arrow, e.headerName(name), e.text(slices.Contains(plainHeaders, name), strings.Join(headers[name], ", ")))
	}
}

// headerName redacts secrets in any case, because net/http changes the case of names.
func (e *exchange) headerName(name string) string {
	for _, secret := range e.secrets {
		if len(secret) >= shortest && strings.Contains(strings.ToLower(name), strings.ToLower(secret)) {
			return redacted
		}
	}
	return name
}

func (e *exchange) text(plain bool, value string) string {
	if !plain {
		e.secrets = append(e.secrets, value)
		for part := range strings.FieldsSeq(value) { // of a header, after its scheme
			e.secrets = append(e.secrets, part)
		}
		return redacted
	}
	for _, secret := range e.secrets {
		if len(secret) >= shortest {
			value = strings.ReplaceAll(value, secret, redacted)
		}
	}
	if u, err := url.Parse(value); err == nil && u.Host != "" && (u.User != nil || u.RawQuery != "" || u.Fragment != "") {
		return e.url(u)
	}
	return value
}

func (e *exchange) url(u *url.URL) string {
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	if u.RawQuery == "" {
		return shown.String()
	}
	return shown.String() + "?" + e.form(u.Query())
}

func (e *exchange) document(contentType string, text []byte) string {
	if len(text) > traceLimit {
		return fmt.Sprintf("[more than %d bytes]", traceLimit)
	}
	kind, _, _ := mime.ParseMediaType(contentType)
	switch {
	case kind == "application/x-www-form-urlencoded":
		if form, err := url.ParseQuery(string(text)); err == nil {
			e.form(form) // records secrets that other fields may repeat
			return e.form(form)
		}
	case strings.HasSuffix(kind, "json"):
		var value any
		if err := json.Unmarshal(text, &value); err == nil {
			e.json("", value, true)
			line, _ := json.Marshal(e.json("", value, true))
			return string(line)
		}
	}
	return fmt.Sprintf("[%d bytes]", len(text))
}

func (e *exchange) form(form url.Values) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(form)) {
		for _, value := range form[name] {
			parts = append(parts, name+"="+e.text(isPlain(name), value))
		}
	}
	return strings.Join(parts, "&")
}

// json redacts all values except those of plain fields, booleans and null. named allows
// plain fields in value: the outermost object and the keys of a JWK Set have standard
// names; other names may be the user's, as in a vault.
func (e *exchange) json(name string, value any, named bool) any {
	switch v := value.(type) {
	case map[string]any:
		shown := make(map[string]any, len(v))
		for _, field := range slices.Sorted(maps.Keys(v)) {
			shown[e.text(true, field)] = e.json(field, v[field], named && (name == "" || name == "keys"))
		}
		return shown
	case []any:
		shown := make([]any, len(v))
		for i := range v {
			shown[i] = e.json(name, v[i], named)
		}
		return shown
	case string:
		return e.text(named && isPlain(name), v)
	case float64:
		if named && isPlain(name) {
			return v
		}
		return redacted
	}
	return value // a boolean or null
}

// tracedBody records what is read of a body.
type tracedBody struct {
	io.ReadCloser
	read bytes.Buffer
	done func([]byte)
}

func (b *tracedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.read.Len() <= traceLimit {
		b.read.Write(p[:n])
	}
	return n, err
}

func (b *tracedBody) Close() error {
	if b.done != nil {
		b.done(b.read.Bytes())
		b.done = nil
	}
	clear(b.read.Bytes())
	return b.ReadCloser.Close()
}
