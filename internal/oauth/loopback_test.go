package oauth

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

// waiting is a login that waits on its listener.
type waiting struct {
	t        *testing.T
	request  *AuthorizationRequest
	redirect string
	redeemed atomic.Int32
	done     chan error
	cancel   context.CancelFunc
	pasted   chan string
	hold     chan struct{} // closed to let the exchange go on
	refusal  error         // what the exchange ends with
}

func startWaiting(t *testing.T, refusal error) *waiting {
	t.Helper()
	l, err := ListenLoopback("")
	if err != nil {
		t.Fatal(err)
	}
	c := &Client{ClientID: "fob", Metadata: &Metadata{Issuer: "https://sso.example.com", AuthorizationEndpoint: "https://sso.example.com/authorize", JWKSURI: "https://sso.example.com/jwks", IssParameterSupported: true}}
	ctx, cancel := context.WithCancel(t.Context())
	w := &waiting{
		t: t, request: c.NewAuthorizationRequest(l.RedirectURI(), []string{"openid"}, nil), redirect: l.RedirectURI(),
		done: make(chan error, 1), cancel: cancel, pasted: make(chan string), hold: make(chan struct{}), refusal: refusal,
	}
	close(w.hold)
	go func() {
		w.done <- l.Serve(ctx, w.request, w.pasted, func(error) {}, func(context.Context, string) error {
			w.redeemed.Add(1)
			<-w.hold
			return w.refusal
		})
	}()
	t.Cleanup(cancel)
	return w
}

// good is the callback of a login that went well.
func (w *waiting) good() url.Values {
	return url.Values{"code": {"a-code"}, "state": {w.request.state.Reveal()}, "iss": {"https://sso.example.com"}}
}

func (w *waiting) send(method, target string) (int, string, http.Header) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, target, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.StatusCode, string(body), resp.Header
}

func (w *waiting) get(q url.Values) (int, string, http.Header) {
	w.t.Helper()
	return w.send(http.MethodGet, w.redirect+"?"+q.Encode())
}

// mustStillWait finishes the login: what came before did not end it.
func (w *waiting) mustStillWait() {
	w.t.Helper()
	if n := w.redeemed.Load(); n != 0 {
		w.t.Errorf("%d codes were redeemed", n)
	}
	if status, page, _ := w.get(w.good()); status != http.StatusOK || !strings.Contains(page, "You are logged in") {
		w.t.Errorf("the real callback got %d", status)
	}
	if err := <-w.done; err != nil {
		w.t.Errorf("the login ended with %v", err)
	}
}

func TestStrayCallbacksDoNotEndTheLogin(t *testing.T) {
	for name, change := range map[string]func(url.Values){
		"A1 wrong state":                func(q url.Values) { q.Set("state", "guessed") },
		"A2 missing state":              func(q url.Values) { q.Del("state") },
		"A2 empty state":                func(q url.Values) { q.Set("state", "") },
		"A3 error with a bad state":     func(q url.Values) { q.Set("state", "x"); q.Set("error", "access_denied") },
		"A5 duplicate state":            func(q url.Values) { q.Add("state", q.Get("state")) },
		"A9 the state of another login": func(q url.Values) { q.Set("state", randomText()) },
	} {
		t.Run(name, func(t *testing.T) {
			w := startWaiting(t, nil)
			q := w.good()
			change(q)
			if status, page, _ := w.get(q); status != http.StatusBadRequest || strings.Contains(page, "logged in") {
				t.Errorf("it got %d: %s", status, page)
			}
			w.mustStillWait()
		})
	}
}

func TestBadCallbacksEndTheLoginWithoutATokenCall(t *testing.T) {
	for name, change := range map[string]func(url.Values){
		"A4 error with the good state": func(q url.Values) { q.Del("code"); q.Set("error", "access_denied") },
		"A5 duplicate code":            func(q url.Values) { q.Add("code", "another") },
		"A5 duplicate iss":             func(q url.Values) { q.Add("iss", q.Get("iss")) },
		"A6 another iss":               func(q url.Values) { q.Set("iss", "https://evil.example") },
		"A6 iss with a slash":          func(q url.Values) { q.Set("iss", q.Get("iss")+"/") },
		"A6 iss absent":                func(q url.Values) { q.Del("iss") },
		"no code":                      func(q url.Values) { q.Del("code") },
	} {
		t.Run(name, func(t *testing.T) {
			w := startWaiting(t, nil)
			q := w.good()
			change(q)
			if status, page, _ := w.get(q); status != http.StatusBadRequest || !strings.Contains(page, "did not work") {
				t.Errorf("it got %d", status)
			}
			if err := <-w.done; err == nil || w.redeemed.Load() != 0 {
				t.Errorf("the login ended with %v, %d codes redeemed", err, w.redeemed.Load())
			}
		})
	}
}

func TestA4TheServersTextIsInert(t *testing.T) {
	err := error(&AuthorizationError{Code: "x\x1b[31m", Description: "one\r\nerror: two\u202e" + strings.Repeat("y", 500)})
	if got := err.Error(); strings.ContainsAny(got, "\x1b\r\n\u202e") || len(got) > 500 {
		t.Errorf("A4, H61: %q", got)
	}
}

func TestA7Replay(t *testing.T) {
	w := startWaiting(t, nil)
	w.hold = make(chan struct{})
	first := make(chan int)
	go func() {
		status, _, _ := w.get(w.good())
		first <- status
	}()
	for w.redeemed.Load() == 0 { // the exchange is under way
		if status, _, _ := w.send(http.MethodGet, w.redirect+"/nothing"); status != http.StatusNotFound {
			t.Fatalf("a probe got %d", status)
		}
	}
	if status, _, _ := w.get(w.good()); status != http.StatusGone {
		t.Errorf("A7: the replay got %d", status)
	}
	close(w.hold)
	if status := <-first; status != http.StatusOK || w.redeemed.Load() != 1 {
		t.Errorf("A7: the first got %d, %d exchanges", status, w.redeemed.Load())
	}
	<-w.done
}

func TestA10OtherRequests(t *testing.T) {
	w := startWaiting(t, nil)
	base := strings.TrimSuffix(w.redirect, "/callback")
	q := "?" + w.good().Encode()
	for _, test := range []struct {
		method, target string
		want           int
	}{
		{"GET", base + "/favicon.ico", 404}, {"GET", base + "/", 404}, {"GET", base + "/callback/" + q, 404},
		{"GET", base + "/x/../callback" + q, 404}, {"GET", base + "/%63allback" + q, 404}, {"GET", base + "/Callback" + q, 404},
		{"HEAD", w.redirect + q, 405}, {"POST", w.redirect + q, 405}, {"OPTIONS", w.redirect + q, 405}, {"PUT", w.redirect + q, 405},
	} {
		if status, _, _ := w.send(test.method, test.target); status != test.want {
			t.Errorf("A10 %s %s: %d, want %d", test.method, strings.TrimPrefix(test.target, base), status, test.want)
		}
	}
	w.mustStillWait()
}

// raw sends bytes and returns the status line.
func (w *waiting) raw(request string) string {
	w.t.Helper()
	u, err := url.Parse(w.redirect)
	if err != nil {
		w.t.Fatal(err)
	}
	conn, err := (&net.Dialer{}).DialContext(w.t.Context(), "tcp", u.Host)
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close()
	go func() { _, _ = io.WriteString(conn, request) }()
	line, _ := bufio.NewReader(conn).ReadString('\n')
	return line
}

func TestA11Host(t *testing.T) {
	w := startWaiting(t, nil)
	path := "/callback?" + w.good().Encode()
	for host, want := range map[string]string{
		"Host: evil.test\r\n":     "421",
		"Host: 127.0.0.1:1\r\n":   "421",
		"Host: 127.0.0.1\r\n":     "421",
		"Host: localhost:80\r\n":  "421",
		"":                        "400",
		"Host: a\r\nHost: b\r\n":  "400",
		"Host: 127.0.0.1:1 x\r\n": "400",
	} {
		if got := w.raw("GET " + path + " HTTP/1.1\r\n" + host + "\r\n"); !strings.Contains(got, want) {
			t.Errorf("A11 %q: %s", host, got)
		}
	}
	if got := w.raw("GET " + path + " HTTP/1.0\r\n\r\n"); !strings.Contains(got, "421") {
		t.Errorf("A11 HTTP/1.0 without a host: %s", got)
	}
	w.mustStillWait()
}

func TestA12LargeRequests(t *testing.T) {
	w := startWaiting(t, nil)
	u, err := url.Parse(w.redirect)
	if err != nil {
		t.Fatal(err)
	}
	for name, request := range map[string]string{
		"64 KiB query":  "GET /callback?x=" + strings.Repeat("y", 64<<10) + " HTTP/1.1\r\nHost: " + u.Host + "\r\n\r\n",
		"10 KiB query":  "GET /callback?x=" + strings.Repeat("y", 10<<10) + " HTTP/1.1\r\nHost: " + u.Host + "\r\n\r\n",
		"1,000 headers": "GET /callback HTTP/1.1\r\nHost: " + u.Host + "\r\n" + strings.Repeat("X-Header: some value of some length\r\n", 1000) + "\r\n",
	} {
		if got := w.raw(request); !strings.Contains(got, "414") && !strings.Contains(got, "431") {
			t.Errorf("A12 %s: %q", name, got)
		}
	}
	w.mustStillWait()
}

func TestA13SlowConnections(t *testing.T) {
	w := startWaiting(t, nil)
	u, err := url.Parse(w.redirect)
	if err != nil {
		t.Fatal(err)
	}
	for range 200 {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", u.Host)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "GET /callback?")
	}
	w.mustStillWait()
}

func TestA14NothingOfTheRequestIsOnThePage(t *testing.T) {
	const script = "<script>alert(1)</script>"
	for name, q := range map[string]func(*waiting) url.Values{
		"error": func(w *waiting) url.Values {
			q := w.good()
			q.Del("code")
			q.Set("error", script)
			q.Set("error_description", script)
			return q
		},
		"state":  func(w *waiting) url.Values { q := w.good(); q.Set("state", script); return q },
		"code":   func(w *waiting) url.Values { q := w.good(); q.Set("code", script); return q },
		"others": func(w *waiting) url.Values { q := w.good(); q.Set(script, script); return q },
	} {
		w := startWaiting(t, nil)
		if _, page, _ := w.get(q(w)); strings.Contains(strings.ToLower(page), "script") || strings.Contains(page, "alert") {
			t.Errorf("A14 %s: %s", name, page)
		}
		w.cancel()
		<-w.done
	}
}

func TestA15ThePortIsClosedAfterwards(t *testing.T) {
	for name, end := range map[string]func(*waiting){
		"success":         func(w *waiting) { w.get(w.good()) },
		"failure":         func(w *waiting) { q := w.good(); q.Del("code"); w.get(q) },
		"Ctrl-C, timeout": func(w *waiting) { w.cancel() },
	} {
		w := startWaiting(t, nil)
		end(w)
		<-w.done
		u, err := url.Parse(w.redirect)
		if err != nil {
			t.Fatal(err)
		}
		if conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", u.Host); err == nil {
			_ = conn.Close()
			t.Errorf("A15 %s: the port is open", name)
		}
	}
}

func TestA15OnlyLoopbackIsListenedOn(t *testing.T) {
	for _, uri := range []string{"", "http://127.0.0.1/x", "http://localhost/cb", "http://127.0.0.1:0/x"} {
		l, err := ListenLoopback(uri)
		if err != nil {
			t.Fatal(err)
		}
		for _, listener := range l.listeners {
			if ip := listener.Addr().(*net.TCPAddr).IP; !ip.IsLoopback() {
				t.Errorf("A15 %s: it listens on %s", uri, ip)
			}
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, uri := range []string{"http://0.0.0.0/x", "http://192.0.2.1/x", "https://127.0.0.1/x", "http://evil.test/x", "http://127.0.0.1.evil.test/", "http://127.0.0.1/x?y", "ftp://127.0.0.1/", "http://u@127.0.0.1/"} {
		if l, err := ListenLoopback(uri); err == nil {
			_ = l.Close()
			t.Errorf("A15 %s is listened on", uri)
		}
	}
}

func TestFixedPort(t *testing.T) {
	l, err := ListenLoopback("")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if _, err := ListenLoopback(l.RedirectURI()); !errors.Is(err, ErrPortInUse) {
		t.Errorf("a port that is taken: %v", err)
	}
}

func TestLocalhostIsServedOnBothFamilies(t *testing.T) {
	l, err := ListenLoopback("http://localhost/cb")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if !strings.HasPrefix(l.RedirectURI(), "http://localhost:") {
		t.Error(l.RedirectURI())
	}
	ports := map[int]bool{}
	for _, listener := range l.listeners {
		ports[listener.Addr().(*net.TCPAddr).Port] = true
	}
	if len(ports) != 1 {
		t.Errorf("ports %v", ports)
	}
}

func TestAFailedExchangeShowsTheOtherPage(t *testing.T) {
	refusal := errors.New("the exchange failed")
	w := startWaiting(t, refusal)
	if status, page, _ := w.get(w.good()); status != http.StatusBadRequest || strings.Contains(page, "You are logged in") || !strings.Contains(page, "did not work") {
		t.Errorf("%d: %s", status, page)
	}
	if err := <-w.done; !errors.Is(err, refusal) {
		t.Errorf("Serve() = %v", err)
	}
}

func TestPastedRedirects(t *testing.T) {
	w := startWaiting(t, nil)
	good := w.redirect + "?" + w.good().Encode()
	for _, line := range []string{
		"", "code=x", "http://127.0.0.1:1/callback?" + w.good().Encode(), strings.Replace(good, "http:", "https:", 1),
		strings.Replace(good, "/callback", "/other", 1), strings.Replace(good, "127.0.0.1", "user@127.0.0.1", 1),
		w.redirect + "?code=x&state=guessed", "\x00",
	} {
		if _, err := w.request.ParsePasted(line); err == nil {
			t.Errorf("%q is taken for the callback", line)
		}
		w.pasted <- line
	}
	w.pasted <- "  " + good + "\r"
	if err := <-w.done; err != nil || w.redeemed.Load() != 1 {
		t.Errorf("Serve() = %v, %d redeemed", err, w.redeemed.Load())
	}
}

func TestPageHeaders(t *testing.T) {
	w := startWaiting(t, nil)
	_, page, header := w.get(w.good())
	_, rest, _ := strings.Cut(page, "<style>")
	style, _, _ := strings.Cut(rest, "</style>")
	sum := sha256.Sum256([]byte(style))
	if csp := header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'; style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") {
		t.Errorf("CSP %q is not of this style", csp)
	}
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"} {
		if got := header.Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	for _, sign := range []string{"{", "http://", "https://"} {
		if body := strings.ReplaceAll(page, style, ""); strings.Contains(body, sign) {
			t.Errorf("the page holds %q", sign)
		}
	}
}

func TestRequestParameters(t *testing.T) {
	c := &Client{ClientID: "fob", Metadata: &Metadata{AuthorizationEndpoint: "https://x/authorize?tenant=1", JWKSURI: "https://x/jwks"}}
	r := c.NewAuthorizationRequest("http://127.0.0.1:5/callback", []string{"openid", "email"}, map[string]string{"prompt": "consent"})
	u, err := url.Parse(r.URL())
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	sum := sha256.Sum256([]byte(r.codeVerifier.Reveal()))
	for name, want := range map[string]string{
		"tenant": "1", "response_type": "code", "client_id": "fob", "redirect_uri": "http://127.0.0.1:5/callback", "scope": "openid email",
		"prompt": "consent", "code_challenge_method": "S256", "code_challenge": base64.RawURLEncoding.EncodeToString(sum[:]),
		"nonce": r.Nonce, "state": r.state.Reveal(),
	} {
		if q.Get(name) != want || want == "" {
			t.Errorf("%s is %q, want %q", name, q.Get(name), want)
		}
	}
	if again := c.NewAuthorizationRequest(r.RedirectURI, nil, nil); again.state == r.state || again.codeVerifier == r.codeVerifier || again.Nonce != "" {
		t.Error("a second request is not fresh, or has a nonce without openid")
	}
	if shown := fmt.Sprintf("%+v", r.state); strings.Contains(shown, q.Get("state")) {
		t.Error("the state prints itself")
	}
}

func FuzzCallback(f *testing.F) {
	c := &Client{Metadata: &Metadata{Issuer: "https://x", IssParameterSupported: true}}
	r := c.NewAuthorizationRequest("http://127.0.0.1:1/callback", nil, nil)
	f.Add("code=a&state=b&iss=https://x")
	f.Add("state=&state=&%zz;;&code")
	f.Fuzz(func(t *testing.T, query string) {
		q, _ := url.ParseQuery(query)
		if code, err := r.Code(q); err == nil {
			t.Fatalf("a code %q without the state", code)
		}
	})
}
