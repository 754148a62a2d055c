package loopback

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/oauth"
)

func TestA10OtherRequests(t *testing.T) {
	w := startWaiting(t, nil)
	base := strings.TrimSuffix(w.redirect, "/callback")
	q := "?" + goodCallback(w.request).Encode()
	for _, test := range []struct {
		method, target string
		want           int
	}{
		{"GET", base + "/favicon.ico", 404}, {"GET", base + "/", 404}, {"GET", base + "/callback/" + q, 404},
		{"GET", base + "/x/../callback" + q, 404}, {"GET", base + "/%63allback" + q, 404}, {"GET", base + "/Callback" + q, 404},
		{"GET", base + "//callback" + q, 404}, {"POST", base + "/other", 404},
		{"HEAD", w.redirect + q, 405}, {"POST", w.redirect + q, 405}, {"OPTIONS", w.redirect + q, 405}, {"PUT", w.redirect + q, 405},
	} {
		status, _, header := w.send(test.method, test.target)
		if status != test.want || status == 405 && header.Get("Allow") != "GET" {
			t.Errorf("A10 %s %s: %d, want %d", test.method, strings.TrimPrefix(test.target, base), status, test.want)
		}
	}
	if got := w.raw("OPTIONS * HTTP/1.1\r\nHost: " + w.host + "\r\n\r\n"); !strings.Contains(got, "404") {
		t.Errorf("A10 OPTIONS *: %s", got)
	}
	w.mustStillWait()
}

func TestA11Host(t *testing.T) {
	w := startWaiting(t, nil)
	path := "/callback?" + goodCallback(w.request).Encode()
	for host, want := range map[string]string{
		"Host: evil.test\r\n":            "421",
		"Host: evil.test:80\r\n":         "421",
		"Host: 127.0.0.1:1\r\n":          "421",
		"Host: 127.0.0.1\r\n":            "421",
		"Host: " + w.host + ".\r\n":      "421",
		"Host: " + w.host + "0\r\n":      "421",
		"Host: localhost:80\r\n":         "421",
		"":                               "400",
		"Host: \r\n":                     "421",
		"Host: a\r\nHost: b\r\n":         "400",
		"Host: 127.0.0.1:1 x\r\n":        "400",
		"X: y\r\nHost: " + w.host + "@x": "400",
	} {
		if got := w.raw("GET " + path + " HTTP/1.1\r\n" + host + "\r\n\r\n"); !strings.Contains(got, want) {
			t.Errorf("A11 %q: %s", host, got)
		}
	}
	for _, request := range []string{
		"GET " + path + " HTTP/1.0\r\n\r\n",
		"GET http://evil.test" + path + " HTTP/1.1\r\nHost: " + w.host + "\r\n\r\n",
	} {
		if got := w.raw(request); !strings.Contains(got, "421") {
			t.Errorf("A11 %.30q: %s", request, got)
		}
	}
	w.mustStillWait()
}

func TestA12LargeRequests(t *testing.T) {
	w := startWaiting(t, nil)
	for name, test := range map[string]struct{ request, want string }{
		"64 KiB query":  {"GET /callback?x=" + strings.Repeat("y", 64<<10) + " HTTP/1.1\r\nHost: " + w.host + "\r\n\r\n", "431"},
		"10 KiB query":  {"GET /callback?x=" + strings.Repeat("y", 10<<10) + " HTTP/1.1\r\nHost: " + w.host + "\r\n\r\n", "414"},
		"1,000 headers": {"GET /callback HTTP/1.1\r\nHost: " + w.host + "\r\n" + strings.Repeat("X-Header: some value of some length\r\n", 1000) + "\r\n", "431"},
	} {
		if got := w.raw(test.request); !strings.Contains(got, test.want) {
			t.Errorf("A12 %s: %q", name, got)
		}
	}
	w.mustStillWait()
}

// endless is a header line that does not end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return copy(p, strings.Repeat("y", len(p))), nil }

func TestA12AnEndlessHeaderIsNotRead(t *testing.T) {
	w := startWaiting(t, nil)
	conn := dial(t, w.host)
	_, _ = io.WriteString(conn, "GET /callback HTTP/1.1\r\nX: ")
	const most = 64 << 20 // far over what the kernel holds for a socket
	if n, err := io.Copy(conn, io.LimitReader(endless{}, most)); err == nil {
		t.Errorf("A12: it took %d bytes of one header", n)
	}
	w.mustStillWait()
}

func TestA13SlowConnections(t *testing.T) {
	w := startWaiting(t, nil)
	var slow []net.Conn
	for range 200 {
		conn := dial(t, w.host)
		_, _ = io.WriteString(conn, "GET /callback?")
		slow = append(slow, conn)
	}
	for i, conn := range slow[:200-maxSilent] {
		_ = conn.SetReadDeadline(time.Now().Add(headerTimeout / 2))
		if _, err := conn.Read(make([]byte, 1)); err == nil || isTimeout(err) {
			t.Fatalf("A13: the slow connection %d is still held: %v", i, err)
		}
	}
	w.mustStillWait()
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

func TestA15ThePortIsClosedAfterwards(t *testing.T) {
	for name, end := range map[string]func(*waiting){
		"success": func(w *waiting) { w.get(goodCallback(w.request)) },
		"failure": func(w *waiting) { q := goodCallback(w.request); q.Del("code"); w.get(q) },
		"paste":   func(w *waiting) { w.pasted <- w.redirect + "?" + goodCallback(w.request).Encode() },
		"Ctrl-C":  func(w *waiting) { w.cancel() },
	} {
		w := startWaiting(t, nil)
		end(w)
		if err := <-w.done; name == "Ctrl-C" && !errors.Is(err, context.Canceled) {
			t.Errorf("A15 %s: Serve() = %v", name, err)
		}
		mustBeClosed(t, "A15 "+name, w.host)
	}
}

func TestA15ThePortIsClosedAfterTheTimeout(t *testing.T) {
	for _, timeout := range slices.Concat([]time.Duration{10 * time.Millisecond}, make([]time.Duration, 50)) { // 0: before the server has begun
		l, err := Listen(defaultRedirect)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithTimeout(t.Context(), timeout)
		err = l.Serve(ctx, Login{Shown: newRequest(l.RedirectURI()), Finish: succeed})
		stop()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("A15: Serve() = %v", err)
		}
		mustBeClosed(t, "A15 timeout", l.redirect.Host)
	}
}

func succeed(context.Context, *oauth.AuthorizationRequest, string) error { return nil }

func mustBeClosed(t *testing.T, when, address string) {
	t.Helper()
	if conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address); err == nil {
		_ = conn.Close()
		t.Errorf("%s: %s is open", when, address)
	}
}

func TestA15OnlyLoopbackIsListenedOn(t *testing.T) {
	elsewhere := otherAddresses(t)
	for uri, hosts := range map[string][]string{
		defaultRedirect:            {"127.0.0.1"},
		"http://127.0.0.1/x":       {"127.0.0.1"},
		"http://127.0.0.1:0/x":     {"127.0.0.1"},
		"http://[::1]/x":           {"::1"},
		"http://localhost/call%2F": {"127.0.0.1", "::1"},
	} {
		if !hasIPv6(t) {
			hosts = slices.DeleteFunc(hosts, func(host string) bool { return host == "::1" })
		}
		if len(hosts) == 0 {
			continue
		}
		l, err := Listen(uri)
		if err != nil {
			t.Fatal(err)
		}
		port := l.redirect.Port()
		var bound []string
		for _, listener := range l.listeners {
			host, at, err := net.SplitHostPort(listener.Addr().String())
			if err != nil || at != port {
				t.Errorf("A15 %q: %s is not at the port %s", uri, listener.Addr(), port)
			}
			bound = append(bound, host)
		}
		if !slices.Equal(bound, hosts) {
			t.Errorf("A15 %q: it listens on %v, want %v", uri, bound, hosts)
		}
		for _, address := range elsewhere {
			mustBeClosed(t, "A15 "+uri, net.JoinHostPort(address, port))
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

// otherAddresses are this machine's addresses that are not loopback ones.
func otherAddresses(t *testing.T) (others []string) {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range addresses {
		if network, ok := address.(*net.IPNet); ok && network.IP.IsGlobalUnicast() {
			others = append(others, network.IP.String())
		}
	}
	return others
}

func hasIPv6(t *testing.T) bool {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "[::1]:0")
	if err != nil {
		return false
	}
	return listener.Close() == nil
}

func TestRedirectURIsThatAreRefused(t *testing.T) {
	for _, uri := range []string{
		"http://0.0.0.0/x", "http://[::]/x", "http://192.0.2.1/x", "http://127.0.0.2/x", "http://[::1%25lo]/x", "http:///x", "http://:80/x",
		"https://127.0.0.1/x", "ftp://127.0.0.1/", "http://evil.test/x", "http://127.0.0.1.evil.test/", "http://localhost.evil.test/",
		"http://127.0.0.1/x?y", "http://127.0.0.1/x?", "http://127.0.0.1/x#y", "http://u@127.0.0.1/", "http://127.0.0.1:x/", "127.0.0.1/x", "-x", "http://127.0.0.1:65536/x",
	} {
		if l, err := Listen(uri); err == nil {
			_ = l.Close()
			t.Errorf("%s is listened on", uri)
		}
	}
}

func TestTheRedirectIsSentAsItIsWritten(t *testing.T) {
	for _, uri := range []string{"http://127.0.0.1:%s", "http://127.0.0.1:%s/", "http://localhost:%s/a%%2Fb/c%%20d", "http://127.0.0.1:%s//x"} {
		port := freePort(t)
		uri = strings.ReplaceAll(strings.Replace(uri, "%s", port, 1), "%%", "%")
		l, err := Listen(uri)
		if err != nil {
			t.Fatal(err)
		}
		if got := l.RedirectURI(); got != uri {
			t.Errorf("%s became %s", uri, got)
		}
		r := newRequest(l.RedirectURI())
		done := make(chan error, 1)
		go func() { done <- l.Serve(t.Context(), Login{Shown: r, Finish: succeed}) }()
		w := &waiting{t: t, redirect: uri}
		if status, _, _ := w.get(goodCallback(r)); status != http.StatusOK {
			t.Errorf("%s: the callback got %d", uri, status)
			_ = l.Close()
			continue
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := Listen("http://localhost/")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.redirect.Port()
}

func TestAPortThatIsTaken(t *testing.T) {
	for _, family := range []string{"http://127.0.0.1/", "http://[::1]/"} {
		if strings.Contains(family, "[") && !hasIPv6(t) {
			continue
		}
		other, err := Listen(family)
		if err != nil {
			t.Fatal(err)
		}
		fixed := "http://localhost:" + other.redirect.Port() + "/callback"
		if l, err := Listen(fixed); !errors.Is(err, ErrPortInUse) {
			t.Errorf("%s beside %s: %v, %v", fixed, other.RedirectURI(), l, err)
		}
		if err := other.Close(); err != nil {
			t.Error(err)
		}
		l, err := Listen(fixed) // the failed try has left nothing bound
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(l.Close(), l.Close()); err != nil {
			t.Errorf("closed twice: %v", err)
		}
	}
}

func TestLocalhostIsServedOnBothFamilies(t *testing.T) {
	addresses := []string{"127.0.0.1"}
	if hasIPv6(t) {
		addresses = append(addresses, "::1")
	}
	for _, address := range addresses {
		l, err := Listen("http://localhost/callback")
		if err != nil {
			t.Fatal(err)
		}
		r := newRequest(l.RedirectURI())
		done := make(chan error, 1)
		go func() { done <- l.Serve(t.Context(), Login{Shown: r, Finish: succeed}) }()
		w := &waiting{t: t, host: net.JoinHostPort(address, l.redirect.Port())}
		request := "GET /callback?" + goodCallback(r).Encode() + " HTTP/1.1\r\nHost: "
		if got := w.raw(request + w.host + "\r\n\r\n"); !strings.Contains(got, "421") {
			t.Errorf("A11 the address for the name: %s", got)
		}
		if got := w.raw(request + "localhost:" + l.redirect.Port() + "\r\n\r\n"); !strings.Contains(got, "200") {
			t.Errorf("%s: %s", address, got)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
