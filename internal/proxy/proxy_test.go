package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

const token = "canary-token"

// fixture is a proxy before an upstream over TLS, as a program has it.
type fixture struct {
	*Proxy
	t        *testing.T
	upstream *httptest.Server
	host     string // of the upstream
	client   *http.Client
	refused  int

	mu   sync.Mutex // guards what follows
	seen []*http.Request
	log  []Entry
}

func newFixture(t *testing.T, handler http.HandlerFunc) *fixture {
	t.Helper()
	f := &fixture{t: t}
	f.upstream = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.seen = append(f.seen, r.Clone(context.Background()))
		f.mu.Unlock()
		if handler != nil {
			handler(w, r)
		}
	}))
	t.Cleanup(f.upstream.Close)
	f.host = strings.TrimPrefix(f.upstream.URL, "https://")
	origin, err := ParseOrigin(f.host)
	if err != nil {
		t.Fatal(err)
	}
	f.Proxy, err = Listen(t.Context(), Options{
		Allow: []Origin{origin}, Transport: f.upstream.Client().Transport,
		Authorize: func(_ context.Context, h http.Header) error { h.Set("Authorization", "Bearer "+token); return nil },
		Refused:   func() { f.refused++ },
		Log: func(e Entry) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.log = append(f.log, e)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = f.Serve() }()
	t.Cleanup(func() { _ = f.Close() })
	by, err := url.Parse(f.URL().Reveal())
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{Proxy: http.ProxyURL(by)}
	t.Cleanup(transport.CloseIdleConnections)
	f.client = &http.Client{Transport: transport, Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return f
}

// raw sends a request as it stands and returns the answer; the secret stands for SECRET,
// and its header for PASSWORD.
func (f *fixture) raw(text string) (status int, body string) {
	f.t.Helper()
	address := f.listener.Addr().String()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		f.t.Fatal(err)
	}
	defer conn.Close()
	r := httptest.NewRequest(http.MethodGet, "http://x/", nil)
	r.SetBasicAuth(username, f.secret.Reveal())
	text = strings.NewReplacer("SECRET", f.secret.Reveal(), "PASSWORD", "Proxy-Authorization: "+r.Header.Get("Authorization"), "UPSTREAM", f.host, "HERE", address).Replace(text)
	if _, err := io.WriteString(conn, text); err != nil {
		f.t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		f.t.Fatalf("%q: %v", text, err)
	}
	defer resp.Body.Close()
	all, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, fmt.Sprint(resp.Header) + string(all)
}

func (f *fixture) got() []*http.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen
}

func TestBothWaysIn(t *testing.T) {
	f := newFixture(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "hello") })
	for name, address := range map[string]string{
		"as a proxy":                 "http://" + f.host + "/v1/me?q=a%2Fb",
		"by base URL":                f.BaseURL().Reveal() + "/" + f.host + "/v1/me?q=a%2Fb",
		"by base URL, as to a proxy": f.BaseURL().Reveal() + "/" + f.host + "/v1/me?q=a%2Fb",
	} {
		client := f.client
		if name == "by base URL" {
			client = http.DefaultClient
		}
		resp, err := client.Get(address)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		seen := f.got()
		last := seen[len(seen)-1]
		if string(body) != "hello" || last.Header.Get("Authorization") != "Bearer "+token || last.Host != f.host || last.RequestURI != "/v1/me?q=a%2Fb" {
			t.Errorf("%s: %q, %s, %v", name, body, last.RequestURI, last.Header)
		}
		for header, values := range last.Header {
			if strings.HasPrefix(header, "Proxy-") || strings.HasPrefix(header, "X-Forwarded") || strings.Contains(fmt.Sprint(values), f.secret.Reveal()) {
				t.Errorf("%s: the host was sent %s: %v", name, header, values)
			}
		}
	}
	if len(f.log) != 3 || f.log[0].Path != "/v1/me" || f.log[1].Path != "/v1/me" || f.log[0].Status != 200 {
		t.Errorf("%+v", f.log)
	}
}

// Whatever a program writes, the credential goes to the allowed host alone.
func TestH63_NoOtherHost(t *testing.T) {
	f := newFixture(t, nil)
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("another host was asked: %v", r.Header) }))
	defer other.Close()
	stranger := strings.TrimPrefix(other.URL, "http://")
	for name, c := range map[string]struct {
		text string
		want int
	}{
		"another host":              {"GET http://" + stranger + "/ HTTP/1.1\r\nHost: UPSTREAM\r\nPASSWORD\r\n\r\n", 403},
		"another by base URL":       {"GET /SECRET/" + stranger + "/ HTTP/1.1\r\nHost: HERE\r\n\r\n", 403},
		"a tunnel":                  {"CONNECT UPSTREAM HTTP/1.1\r\nHost: UPSTREAM\r\nPASSWORD\r\n\r\n", 405},
		"a tunnel to another":       {"CONNECT " + stranger + " HTTP/1.1\r\nHost: UPSTREAM\r\nPASSWORD\r\n\r\n", 405},
		"an echo":                   {"TRACE http://UPSTREAM/ HTTP/1.1\r\nHost: UPSTREAM\r\nPASSWORD\r\n\r\n", 405},
		"a user in the URL":         {"GET http://UPSTREAM@" + stranger + "/ HTTP/1.1\r\nHost: UPSTREAM\r\nPASSWORD\r\n\r\n", 400},
		"a user before the host":    {"GET http://x@UPSTREAM/ HTTP/1.1\r\nHost: UPSTREAM\r\nPASSWORD\r\n\r\n", 400},
		"another scheme":            {"GET ftp://UPSTREAM/ HTTP/1.1\r\nHost: UPSTREAM\r\nPASSWORD\r\n\r\n", 400},
		"a dot behind the host":     {"GET http://127.0.0.1.:1/ HTTP/1.1\r\nHost: UPSTREAM\r\nPASSWORD\r\n\r\n", 403},
		"a host encoded":            {"GET /SECRET/%31" + "27.0.0.1:1/ HTTP/1.1\r\nHost: HERE\r\n\r\n", 400},
		"a user by base URL":        {"GET /SECRET/UPSTREAM@" + stranger + "/ HTTP/1.1\r\nHost: HERE\r\n\r\n", 400},
		"a fragment by base URL":    {"GET /SECRET/" + stranger + "%23UPSTREAM/ HTTP/1.1\r\nHost: HERE\r\n\r\n", 400},
		"the proxy itself, wrongly": {"GET http://HERE/WRONG/UPSTREAM/ HTTP/1.1\r\nHost: HERE\r\nPASSWORD\r\n\r\n", 403},
		"no password":               {"GET http://UPSTREAM/ HTTP/1.1\r\nHost: UPSTREAM\r\n\r\n", 407},
		"a wrong password":          {"GET http://UPSTREAM/ HTTP/1.1\r\nHost: UPSTREAM\r\nProxy-Authorization: Basic Zm9iOng=\r\n\r\n", 407},
		"another user":              {"GET http://UPSTREAM/ HTTP/1.1\r\nHost: UPSTREAM\r\nProxy-Authorization: Bearer SECRET\r\n\r\n", 407},
		"a wrong base URL":          {"GET /WRONG/UPSTREAM/ HTTP/1.1\r\nHost: HERE\r\n\r\n", 403},
		"an empty base URL":         {"GET //UPSTREAM/ HTTP/1.1\r\nHost: HERE\r\n\r\n", 403},
		"a name that was rebound":   {"GET /SECRET/UPSTREAM/ HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403},
		"two lengths":               {"POST http://UPSTREAM/ HTTP/1.1\r\nHost: UPSTREAM\r\nPASSWORD\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400},
		"two hosts":                 {"GET /SECRET/UPSTREAM/ HTTP/1.1\r\nHost: HERE\r\nHost: evil.example\r\n\r\n", 400},
		"a space before the colon":  {"GET http://UPSTREAM/ HTTP/1.1\r\nHost: UPSTREAM\r\nPASSWORD\r\nAuthorization : x\r\n\r\n", 400},
		"a length that is signed":   {"POST http://UPSTREAM/ HTTP/1.1\r\nHost: UPSTREAM\r\nPASSWORD\r\nContent-Length: +5\r\n\r\nhello", 400},
		"chunks, nearly":            {"POST http://UPSTREAM/ HTTP/1.1\r\nHost: UPSTREAM\r\nPASSWORD\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501},
		"chunks, twice":             {"POST http://UPSTREAM/ HTTP/1.1\r\nHost: UPSTREAM\r\nPASSWORD\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501},
		"CR in a header":            {"GET http://UPSTREAM/ HTTP/1.1\r\nHost: UPSTREAM\r\nPASSWORD\r\nX: a\rHost: evil.example\r\n\r\n", 400},
		"NUL in a header":           {"GET http://UPSTREAM/ HTTP/1.1\r\nHost: UPSTREAM\r\nPASSWORD\r\nX: a\x00b\r\n\r\n", 400},
		"a header without a name":   {"GET http://UPSTREAM/ HTTP/1.1\r\nHost: UPSTREAM\r\nPASSWORD\r\n: x\r\n\r\n", 400},
		"all of the server":         {"OPTIONS * HTTP/1.1\r\nHost: UPSTREAM\r\nPASSWORD\r\n\r\n", 200}, // of the proxy alone
		"HTTP/2 by foreknowledge":   {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 403},
		"headers that never end":    {"GET http://UPSTREAM/ HTTP/1.1\r\nHost: UPSTREAM\r\nPASSWORD\r\nX: " + strings.Repeat("x", 80<<10) + "\r\n\r\n", 431},
	} {
		status, answer := f.raw(c.text)
		if status != c.want || strings.Contains(answer, token) || strings.Contains(answer, f.secret.Reveal()) {
			t.Errorf("%s: %d, not %d: %.300s", name, status, c.want, answer)
		}
	}
	for _, e := range f.log {
		if strings.Contains(fmt.Sprint(e), f.secret.Reveal()) {
			t.Errorf("the log has the secret of this run: %+v", e)
		}
	}
	if seen := f.got(); len(seen) > 0 {
		t.Errorf("%d requests came through: %s", len(seen), seen[0].RequestURI)
	}
}

// What the program says of credentials and connections ends at the proxy.
func TestH63_HeadersOfTheProgram(t *testing.T) {
	f := newFixture(t, nil)
	if status, answer := f.raw("POST http://UPSTREAM/x HTTP/1.1\r\nHost: evil.example\r\nPASSWORD\r\nAuthorization: Basic b3du\r\nConnection: Authorization, X-Hop\r\nX-Hop: 1\r\nContent-Length: 2\r\n\r\nhi"); status != 200 {
		t.Fatal(status, answer)
	}
	r := f.got()[0]
	if len(r.Header["Authorization"]) != 1 || r.Header.Get("Authorization") != "Bearer "+token || r.Header.Get("X-Hop") != "" || r.Host != f.host || r.ContentLength != 2 {
		t.Errorf("%s: %v", r.Host, r.Header)
	}
}

// What a host could take for a second request is the body of one, or one that has to show
// the password itself.
func TestH63_NoSmuggledRequest(t *testing.T) {
	var bodies []string
	f := newFixture(t, func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies = append(bodies, string(body))
	})
	const second = "GET http://UPSTREAM/second HTTP/1.1\r\nHost: UPSTREAM\r\n\r\n"
	for name, text := range map[string]string{
		"chunks and a length": "POST http://UPSTREAM/first HTTP/1.1\r\nHost: UPSTREAM\r\nPASSWORD\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + second,
		"a short length":      "POST http://UPSTREAM/first HTTP/1.1\r\nHost: UPSTREAM\r\nPASSWORD\r\nContent-Length: 0\r\n\r\n" + second,
		"a length twice":      "POST http://UPSTREAM/first HTTP/1.1\r\nHost: UPSTREAM\r\nPASSWORD\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n" + second,
		"a folded header":     "POST http://UPSTREAM/first HTTP/1.1\r\nHost: UPSTREAM\r\nPASSWORD\r\nX: a\r\n Content-Length: 7\r\nContent-Length: 0\r\n\r\n" + second,
	} {
		if status, answer := f.raw(text); status != 200 {
			t.Errorf("%s: %d, %.200s", name, status, answer)
		}
	}
	for i, r := range f.got() {
		if r.URL.Path != "/first" || bodies[i] != "" || len(r.Header["Content-Length"]) > 1 || r.Header.Get("Transfer-Encoding") != "" {
			t.Errorf("the host was asked for %s with %q, %v", r.URL.Path, bodies[i], r.Header)
		}
	}
}

// What comes after a change of the protocol nobody could tell of: a WebSocket alone may.
func TestH63_OtherProtocols(t *testing.T) {
	f := newFixture(t, nil)
	for protocol, want := range map[string]string{"h2c": "", "TLS/1.3": "", "websocket": "websocket"} {
		if status, answer := f.raw("GET http://UPSTREAM/x HTTP/1.1\r\nHost: UPSTREAM\r\nPASSWORD\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: " + protocol + "\r\nHTTP2-Settings: AAMAAABk\r\n\r\n"); status != 200 {
			t.Fatal(status, answer)
		}
		seen := f.got()
		if last := seen[len(seen)-1]; last.Header.Get("Upgrade") != want || last.Header.Get("HTTP2-Settings") != "" {
			t.Errorf("%s: the host was sent %v", protocol, last.Header)
		}
	}
}

// A redirect to an allowed host comes back through the proxy; another is the program's own
// way, without the credential.
func TestH63_Redirects(t *testing.T) {
	location := ""
	f := newFixture(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", location)
		w.WriteHeader(http.StatusFound)
	})
	base := f.BaseURL().Reveal() + "/" + f.host
	for _, c := range []struct{ location, proxied, based string }{
		{"/next?a=1", "http://" + f.host + "/next?a=1", base + "/next?a=1"},
		{"https://" + f.host + "/next", "http://" + f.host + "/next", base + "/next"},
		{"https://evil.example/next", "https://evil.example/next", "https://evil.example/next"},
		{"http://" + f.host + "/next", "http://" + f.host + "/next", "http://" + f.host + "/next"},
		{"//evil.example/next", "//evil.example/next", "//evil.example/next"},
		{"https://127.0.0.1.evil.example/", "https://127.0.0.1.evil.example/", "https://127.0.0.1.evil.example/"},
		{"https://" + f.host + "@evil.example/", "https://" + f.host + "@evil.example/", "https://" + f.host + "@evil.example/"},
		{"https:/\\evil.example/", "https:/\\evil.example/", "https:/\\evil.example/"},
		{"https://x@" + f.host + "/", "https://x@" + f.host + "/", "https://x@" + f.host + "/"},
	} {
		location = c.location
		resp, err := f.client.Get("http://" + f.host + "/")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		direct := http.Client{CheckRedirect: f.client.CheckRedirect}
		based, err := direct.Get(base + "/")
		if err != nil {
			t.Fatal(err)
		}
		based.Body.Close()
		if resp.Header.Get("Location") != c.proxied || based.Header.Get("Location") != c.based {
			t.Errorf("%s: %s, %s", c.location, resp.Header.Get("Location"), based.Header.Get("Location"))
		}
	}
}

// A program that follows a redirect says from where: the host does not learn this run's
// secret by that.
func TestH64TheHostLearnsNoBaseURL(t *testing.T) {
	f := newFixture(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/next" {
			http.Redirect(w, r, "/next", http.StatusFound)
		}
	})
	resp, err := new(http.Client).Get(f.BaseURL().Reveal() + "/" + f.host + "/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if seen := f.got(); len(seen) != 2 || strings.Contains(fmt.Sprint(seen[1].Header), f.secret.Reveal()) {
		t.Errorf("%d requests, the last with %v", len(seen), seen[len(seen)-1].Header)
	}
}

// A host whose certificate is not trusted gets nothing.
func TestTLSIsVerified(t *testing.T) {
	f := newFixture(t, nil)
	f.reverse.Transport = &http.Transport{}
	resp, err := f.client.Get("http://" + f.host + "/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusBadGateway || len(f.got()) > 0 || f.log[0].Err == nil {
		t.Errorf("%d, %+v", resp.StatusCode, f.log)
	}
}

// Without a credential nothing is sent; a refused one is told of.
func TestNoCredential(t *testing.T) {
	f := newFixture(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	resp, err := f.client.Get("http://" + f.host + "/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized || f.refused != 1 {
		t.Errorf("%d, %d", resp.StatusCode, f.refused)
	}
	ended := errors.New("log in again")
	f.opts.Authorize = func(context.Context, http.Header) error { return ended }
	if resp, err = f.client.Get("http://" + f.host + "/"); err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusBadGateway || len(f.got()) != 1 || !errors.Is(f.log[1].Err, ended) {
		t.Errorf("%d, %+v", resp.StatusCode, f.log)
	}
}

func TestParseOrigin(t *testing.T) {
	for text, want := range map[string]Origin{
		"api.example.com":           {"https", "api.example.com"},
		"API.example.com:443":       {"https", "api.example.com"},
		"https://api.example.com/":  {"https", "api.example.com"},
		"api.example.com:8443":      {"https", "api.example.com:8443"},
		"http://127.0.0.1:8080":     {"http", "127.0.0.1:8080"},
		"http://[::1]:8080":         {"http", "[::1]:8080"},
		"[2001:db8::1]":             {"https", "[2001:db8::1]"},
		"":                          {},
		"http://api.example.com":    {},
		"*.example.com":             {},
		"api.example.com.":          {},
		"api.example.com/v1":        {},
		"x@api.example.com":         {},
		"api.exämple.com":           {},
		"ftp://api.example.com":     {},
		"api.example.com?x":         {},
		"api.example.com:x":         {},
		"http://127.0.0.1.evil.com": {},
	} {
		got, err := ParseOrigin(text)
		if got != want || (err != nil) != (want == Origin{}) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
}

// Whatever stands in a request: it is refused, or goes to an allowed host, and takes the
// secret of this run nowhere.
func FuzzTarget(f *testing.F) {
	origin := Origin{"https", "api.example.com"}
	p, err := Listen(f.Context(), Options{Allow: []Origin{origin}, Authorize: func(context.Context, http.Header) error { return nil }})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = p.listener.Close() })
	basic := httptest.NewRequest(http.MethodGet, "http://x/", nil)
	basic.SetBasicAuth(username, p.secret.Reveal())
	known := strings.NewReplacer("SECRET", p.secret.Reveal(), "PASSWORD", basic.Header.Get("Authorization"), "HERE", p.listener.Addr().String())
	f.Add("GET", "http://api.example.com/v1?q=1", "api.example.com", "PASSWORD")
	f.Add("POST", "/SECRET/api.example.com:443/v1", "HERE", "")
	f.Add("GET", "http://HERE/SECRET/api.example.com/%2e%2e/x", "HERE", "PASSWORD")
	f.Add("GET", "http://api.example.com@evil.example/", "api.example.com", "PASSWORD")
	f.Add("GET", "/SECRET/evil.example%23api.example.com/", "HERE", "")
	f.Fuzz(func(t *testing.T, method, target, host, password string) {
		text := known.Replace(method + " " + target + " HTTP/1.1\r\nHost: " + host + "\r\nProxy-Authorization: " + password + "\r\n\r\n")
		in, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
		if err != nil {
			return
		}
		to, err := p.targetOf(in)
		if err != nil {
			return
		}
		if !strings.Contains(text, p.secret.Reveal()) && !strings.Contains(text, basic.Header.Get("Authorization")) {
			t.Fatalf("%q was let through without the secret", text)
		}
		in = in.WithContext(context.WithValue(t.Context(), targetKey{}, to))
		out := in.Clone(in.Context())
		p.rewrite(&httputil.ProxyRequest{In: in, Out: out})
		sent, err := url.Parse(out.URL.String())
		if err != nil || out.Host != "" || sent.Scheme != origin.Scheme || sent.Host != origin.Host || sent.User != nil {
			t.Errorf("%q goes to %q, %v", text, out.URL, err)
		}
	})
}
