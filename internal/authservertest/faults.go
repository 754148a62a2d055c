package authservertest

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

type fault struct {
	endpoint string
	answer   func(http.ResponseWriter, *http.Request) // in place of the real answer
	change   func(map[string]any)                     // of the JSON answer
	idToken  func(*idTokenSpec)
	query    func(url.Values) // of the callback
	drop     bool             // the connection, after a refresh was done
	hold     bool             // the answer to a refresh that was done, until Release
	rotate   bool             // the server's keys, when it is injected
	forget   bool             // the registered clients, when it is injected
}

func statusAnswer(code int) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<h1>no</h1>", code) }
}

func bodyAnswer(text string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
}

// echoAnswer repeats the refresh token of the request wherever it can.
func echoAnswer(w http.ResponseWriter, r *http.Request) {
	token := r.FormValue("refresh_token")
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Server", token)
	w.WriteHeader(http.StatusBadRequest)
	fmt.Fprintf(w, `{"error":%q,"error_description":%q,"scope":%q,"x_endpoint":%q}`, token, token, "openid "+token, token)
}

func errorAnswer(code string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"error":%q,"error_description":"as told"}`, code)
	}
}

func setField(name string, value any) func(map[string]any) {
	return func(m map[string]any) { m[name] = value }
}

func dropField(name string) func(map[string]any) {
	return func(m map[string]any) { delete(m, name) }
}

func setClaim(name string, value any) func(*idTokenSpec) {
	return func(s *idTokenSpec) { s.claims[name] = value }
}

func dropClaim(name string) func(*idTokenSpec) {
	return func(s *idTokenSpec) { delete(s.claims, name) }
}

func signedBy(algorithm jose.SignatureAlgorithm, key func() any, kid string) func(*idTokenSpec) {
	return func(s *idTokenSpec) { s.algorithm, s.key, s.kid = algorithm, key(), kid }
}

// faults is the table of all faults, one line each.
func faults() map[string]fault {
	table := map[string]fault{
		"access-denied":   {endpoint: "callback", query: func(q url.Values) { q.Del("code"); q.Set("error", "access_denied") }},
		"invalid-scope":   {endpoint: "callback", query: func(q url.Values) { q.Del("code"); q.Set("error", "invalid_scope") }},
		"callback-script": {endpoint: "callback", query: func(q url.Values) { q.Del("code"); q.Set("error", "<script>\x1b[31m\u202e") }},

		"token-500":       {endpoint: "token", answer: statusAnswer(500)},
		"token-503":       {endpoint: "token", answer: statusAnswer(503)},
		"token-html":      {endpoint: "token", answer: bodyAnswer("<html>a captive portal</html>")},
		"token-empty":     {endpoint: "token", answer: bodyAnswer("")},
		"token-huge":      {endpoint: "token", answer: hugeAnswer},
		"token-gzip-bomb": {endpoint: "token", answer: gzipBomb},
		"token-slow":      {endpoint: "token", answer: slowAnswer},
		"invalid-grant":   {endpoint: "token", answer: errorAnswer("invalid_grant")},
		"invalid-client":  {endpoint: "token", answer: errorAnswer("invalid_client")},
		"token-escape":    {endpoint: "token", answer: bodyAnswer(`{"error":"x\u001b]52;c;aGk=\u0007\u202e\nerror: all is well"}`)},

		"token-echo":       {endpoint: "token", answer: echoAnswer},
		"token-ci-command": {endpoint: "token", answer: bodyAnswer(`{"error":"no","error_description":"##vso[task.prependpath]/tmp/evil"}`)},

		"drop-after-rotate":    {endpoint: "drop", drop: true},
		"token-held":           {endpoint: "hold", hold: true},
		"token-type-mac":       {endpoint: "token", change: setField("token_type", "mac")},
		"access-token-crlf":    {endpoint: "token", change: setField("access_token", "a\r\nX-Evil: 1")},
		"access-token-nul":     {endpoint: "token", change: setField("access_token", "a\x00b")},
		"access-token-space":   {endpoint: "token", change: setField("access_token", "a b")},
		"access-token-ci":      {endpoint: "token", change: setField("access_token", "::add-mask::x")},
		"access-token-missing": {endpoint: "token", change: dropField("access_token")},
		"refresh-token-absent": {endpoint: "token", change: dropField("refresh_token")},
		"refresh-token-empty":  {endpoint: "token", change: setField("refresh_token", "")},
		"scope-escape":         {endpoint: "token", change: setField("scope", "openid \x1b[31mx\u202e")},
		"scope-c1":             {endpoint: "token", change: setField("scope", "openid \u009b31mx\u202e##[add-mask]e")},
		"no-id-token":          {endpoint: "token", change: dropField("id_token")},

		"id-token-iss":        {endpoint: "id-token", idToken: setClaim("iss", "https://evil.example")},
		"id-token-no-sub":     {endpoint: "id-token", idToken: dropClaim("sub")},
		"id-token-aud":        {endpoint: "id-token", idToken: setClaim("aud", "somebody-else")},
		"id-token-no-aud":     {endpoint: "id-token", idToken: dropClaim("aud")},
		"id-token-aud-array":  {endpoint: "id-token", idToken: setClaim("aud", []string{"fob-test"})},
		"id-token-aud-extra":  {endpoint: "id-token", idToken: setClaim("aud", []string{"fob-test", "evil"})},
		"id-token-azp":        {endpoint: "id-token", idToken: setClaim("azp", "evil")},
		"id-token-no-iat":     {endpoint: "id-token", idToken: dropClaim("iat")},
		"id-token-no-exp":     {endpoint: "id-token", idToken: dropClaim("exp")},
		"id-token-expired":    {endpoint: "id-token", idToken: setClaim("exp", time.Now().Add(-time.Hour).Unix())},
		"id-token-future":     {endpoint: "id-token", idToken: setClaim("iat", time.Now().Add(time.Hour).Unix())},
		"id-token-nonce":      {endpoint: "id-token", idToken: setClaim("nonce", "another")},
		"id-token-at-hash":    {endpoint: "id-token", idToken: setClaim("at_hash", "AAAAAAAAAAAAAAAAAAAAAA")},
		"id-token-no-at-hash": {endpoint: "id-token", idToken: dropClaim("at_hash")},
		"id-token-no-name":    {endpoint: "id-token", idToken: func(s *idTokenSpec) { delete(s.claims, "name"); delete(s.claims, "email") }},
		"id-token-eve": {endpoint: "id-token", idToken: func(s *idTokenSpec) {
			s.claims["sub"], s.claims["name"], s.claims["email"] = "eve", "Eve", "eve@example.com"
		}},
		"id-token-acr":            {endpoint: "id-token", idToken: setClaim("acr", "silver")},
		"id-token-acr-odd":        {endpoint: "id-token", idToken: setClaim("acr", 2)},
		"id-token-auth-time":      {endpoint: "id-token", idToken: setClaim("auth_time", time.Now().Add(-2*time.Hour).Unix())},
		"id-token-auth-time-odd":  {endpoint: "id-token", idToken: setClaim("auth_time", "soon")},
		"id-token-namesake":       {endpoint: "id-token", idToken: setClaim("sub", "another-ada")},
		"id-token-none":           {endpoint: "id-token", idToken: func(s *idTokenSpec) { s.unsigned = true }},
		"id-token-other-rs256":    {endpoint: "id-token", idToken: signedBy(jose.RS256, func() any { return keys().otherRSA }, "rsa")},
		"id-token-other-es256":    {endpoint: "id-token", idToken: signedBy(jose.ES256, func() any { return keys().otherEC }, "ec")},
		"id-token-es256":          {endpoint: "id-token", idToken: signedBy(jose.ES256, func() any { return keys().ec }, "ec")},
		"id-token-no-kid":         {endpoint: "id-token", idToken: signedBy(jose.RS256, func() any { return keys().rsa }, "")},
		"id-token-hs256":          {endpoint: "id-token", idToken: signedBy(jose.HS256, func() any { return []byte(strings.Repeat("k", 32)) }, "")},
		"id-token-hs256-with-rsa": {endpoint: "id-token", idToken: signedBy(jose.HS256, func() any { return publicPEM() }, "rsa")},
		"id-token-unknown-kid":    {endpoint: "id-token", idToken: signedBy(jose.RS256, func() any { return keys().rsa }, "rotated")},

		"userinfo-sub":     {endpoint: "userinfo", change: setField("sub", "mallory")},
		"userinfo-401":     {endpoint: "userinfo", answer: statusAnswer(401)},
		"userinfo-500":     {endpoint: "userinfo", answer: statusAnswer(500)},
		"userinfo-name-ci": {endpoint: "userinfo", change: setField("name", "::stop-commands::##[group]\u200b##teamcity[")},
		"userinfo-name":    {endpoint: "userinfo", change: setField("name", "Ada\x1b[31m\u202e\nroot")},

		"revoke-503":         {endpoint: "revocation", answer: statusAnswer(503)},
		"revoke-unsupported": {endpoint: "revocation", answer: errorAnswer("unsupported_token_type")},

		"discovery-issuer":   {endpoint: "discovery", change: setField("issuer", "https://evil.example")},
		"discovery-slash":    {endpoint: "discovery", change: func(m map[string]any) { m["issuer"] = m["issuer"].(string) + "/" }},
		"discovery-case":     {endpoint: "discovery", change: func(m map[string]any) { m["issuer"] = strings.ToUpper(m["issuer"].(string)) }},
		"discovery-500":      {endpoint: "discovery", answer: statusAnswer(500)},
		"discovery-429":      {endpoint: "discovery", answer: statusAnswer(429)},
		"discovery-huge":     {endpoint: "discovery", answer: hugeAnswer},
		"discovery-no-token": {endpoint: "discovery", change: dropField("token_endpoint")},
		"jwks-huge":          {endpoint: "jwks", answer: hugeAnswer},
		"jwks-500":           {endpoint: "jwks", answer: statusAnswer(500)},
	}
	for _, more := range []map[string]fault{
		deviceFaults(), parFaults(), dpopFaults(), registrationFaults(), resourceFaults(), exchangeFaults(), rotationFaults(), endpointFaults(),
	} {
		maps.Copy(table, more)
	}
	for name, value := range map[string]any{
		"string": "1800", "float": 1800.5, "exponent": jsonNumber("1.8e3"), "negative": -5, "zero": 0, "second": 1,
		"null": nil, "huge": jsonNumber("1e400"), "text": "soon",
	} {
		table["expires-in-"+name] = fault{endpoint: "token", change: setField("expires_in", value)}
	}
	for _, endpoint := range []string{"par", "register", "device", "identity", "resource-metadata"} {
		table[endpoint+"-500"] = fault{endpoint: endpoint, answer: statusAnswer(500)}
		table[endpoint+"-html"] = fault{endpoint: endpoint, answer: bodyAnswer("<html>a captive portal</html>")}
		table[endpoint+"-huge"] = fault{endpoint: endpoint, answer: hugeAnswer}
	}
	table["expires-in-absent"] = fault{endpoint: "token", change: dropField("expires_in")}
	for _, code := range []int{301, 302, 303, 307, 308} {
		table[fmt.Sprintf("token-redirect-%d", code)] = fault{endpoint: "token", answer: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://"+r.Host+"/elsewhere", code)
		}}
	}
	return table
}

func hostileURLs() map[string]string {
	return map[string]string{
		"http": "http://sso.example.com/authorize", "file": "file:///etc/passwd", "javascript": "javascript:alert(1)",
		"unc": `\\host\x`, "flag": "-flag", "shell": "https://x/$(touch called)`id`", "newline": "https://x/\nhttps://y/",
		"userinfo": "https://github.com@evil.example/", "space": "https://x/ --flag",
	}
}

// endpointFaults are the metadata's: an endpoint that is hostile, or is not there.
func endpointFaults() map[string]fault {
	table := map[string]fault{
		"discovery-no-mtls-aliases": {endpoint: "discovery", change: dropField("mtls_endpoint_aliases")},
		"mtls-aliases-http": {endpoint: "discovery", change: setField("mtls_endpoint_aliases", map[string]string{
			"token_endpoint": "http://evil.example/token",
		})},
	}
	for name, field := range map[string]string{
		"authorization-endpoint": "authorization_endpoint", "end-session-endpoint": "end_session_endpoint",
	} {
		for kind, hostile := range hostileURLs() {
			table[name+"-"+kind] = fault{endpoint: "discovery", change: setField(field, hostile)}
		}
	}
	for name, field := range map[string]string{
		"device-authorization-endpoint": "device_authorization_endpoint", "par-endpoint": "pushed_authorization_request_endpoint",
		"registration-endpoint": "registration_endpoint",
	} {
		table[name+"-http"] = fault{endpoint: "discovery", change: setField(field, "http://evil.example/")}
		table["discovery-no-"+name] = fault{endpoint: "discovery", change: dropField(field)}
	}
	return table
}

// rotationFaults are of the server's keys, and of the id_tokens that a refresh gives.
func rotationFaults() map[string]fault {
	of := func(change func(*idTokenSpec)) fault { return fault{endpoint: "refreshed-id-token", idToken: change} }
	rotate := func(s *idTokenSpec) { s.rotate = true }
	return map[string]fault{
		"refreshed-id-token-iss":                   of(setClaim("iss", "https://evil.example")),
		"refreshed-id-token-sub":                   of(setClaim("sub", "mallory")),
		"refreshed-id-token-sig":                   of(signedBy(jose.RS256, func() any { return keys().otherRSA }, "rsa")),
		"refreshed-id-token-unknown-kid":           of(rotate),
		"signing-key-rotation":                     {endpoint: "rotation", rotate: true},
		"signing-key-rotation-just-before-signing": {endpoint: "id-token", idToken: rotate},
	}
}

// jsonNumber is a number that is written as it stands.
type jsonNumber string

func (n jsonNumber) MarshalJSON() ([]byte, error) { return []byte(n), nil }

func hugeAnswer(w http.ResponseWriter, _ *http.Request) {
	_, _ = io.WriteString(w, `{"x":"`)
	_, _ = io.Copy(w, io.LimitReader(endlessReader{}, 3<<20))
	_, _ = io.WriteString(w, `"}`)
}

var bomb = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = io.Copy(z, io.LimitReader(endlessReader{}, 20<<20))
	_ = z.Close()
	return b.Bytes()
})

func gzipBomb(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Encoding", "gzip")
	_, _ = w.Write(bomb())
}

type endlessReader struct{}

func (endlessReader) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// slowAnswer sends a byte every 50 ms until the client gives up.
func slowAnswer(w http.ResponseWriter, r *http.Request) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
			_, _ = io.WriteString(w, " ")
			_ = http.NewResponseController(w).Flush()
		}
	}
}

// InjectFault makes the server misbehave in the named way, so many times.
func (s *Server) InjectFault(name string, times int) error {
	f, ok := faults()[name]
	if !ok {
		return fmt.Errorf("there is no fault %q", name)
	}
	if f.rotate {
		s.rotated.Store(true)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.hold {
		s.hold()
	}
	if f.forget {
		maps.DeleteFunc(s.clients, func(_ string, c Client) bool { return c.registration != "" })
		return nil
	}
	s.faults[name] += times
	return nil
}

// take returns an injected fault of an endpoint that fits (nil: any does), and uses it up.
func (s *Server) take(endpoint string, fits func(fault) bool) (fault, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	table := faults()
	for name, times := range s.faults {
		if f := table[name]; times > 0 && f.endpoint == endpoint && (fits == nil || fits(f)) {
			s.faults[name]--
			return f, true
		}
	}
	return fault{}, false
}

func (s *Server) faultAnswers(endpoint string, w http.ResponseWriter, r *http.Request) bool {
	f, ok := s.take(endpoint, func(f fault) bool { return f.answer != nil })
	if ok {
		s.countGrant(r)
		f.answer(w, r)
	}
	return ok
}

// takeAll returns the injected faults of an endpoint that fit, and uses them up.
func (s *Server) takeAll(endpoint string, fits func(fault) bool) iter.Seq[fault] {
	return func(yield func(fault) bool) {
		for {
			if f, ok := s.take(endpoint, fits); !ok || !yield(f) {
				return
			}
		}
	}
}

func (s *Server) faultChanges(endpoint string, m map[string]any) {
	for f := range s.takeAll(endpoint, func(f fault) bool { return f.change != nil }) {
		f.change(m)
	}
}

func (s *Server) faultHolds(ctx context.Context) {
	s.mu.Lock()
	released := s.released
	s.mu.Unlock()
	if _, ok := s.take("hold", nil); !ok {
		return
	}
	select {
	case <-released:
	case <-ctx.Done():
	}
}
