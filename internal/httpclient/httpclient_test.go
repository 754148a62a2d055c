package httpclient

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// tlsServer has a self-signed certificate for a host and a time, and returns the
// file that trusts it.
func tlsServer(t *testing.T, host string, ends time.Time) (*httptest.Server, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: ends.Add(-48 * time.Hour), NotAfter: ends,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"ok":true}`) }))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	caFile := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return server, caFile
}

func get(t *testing.T, url, caFile string) error {
	t.Helper()
	hc, err := New(Options{CAFile: caFile})
	if err != nil {
		t.Fatal(err)
	}
	var answer struct{ OK bool }
	return GetJSON(t.Context(), hc, url, &answer)
}

func TestB28Certificates(t *testing.T) {
	tomorrow := time.Now().Add(24 * time.Hour)
	good, goodCA := tlsServer(t, "127.0.0.1", tomorrow)
	if err := get(t, good.URL, goodCA); err != nil {
		t.Errorf("a certificate that --ca-file trusts: %v", err)
	}
	expired, expiredCA := tlsServer(t, "127.0.0.1", time.Now().Add(-time.Hour))
	wrong, wrongCA := tlsServer(t, "other.example", tomorrow)
	for name, test := range map[string]struct{ url, ca string }{
		"B28 self-signed": {good.URL, ""},
		"B28 expired":     {expired.URL, expiredCA},
		"B28 wrong name":  {wrong.URL, wrongCA},
		"B28 another CA":  {good.URL, wrongCA},
	} {
		if err := get(t, test.url, test.ca); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "tls: failed to verify certificate") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A process that lives long makes many clients, each with connections of its own.
func TestIdleConnectionsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport, err := NewTransport(Options{})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan time.Time, 2) // one for each connection
		transport.DialContext = func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() {
				answerAll(theirs)
				ended <- time.Now()
			}()
			return ours, nil
		}
		hc := &http.Client{Transport: transport}
		var answer struct{ OK bool }
		for range 2 { // in a row, on one connection
			if err := GetJSON(t.Context(), hc, "http://localhost/", &answer); err != nil || !answer.OK {
				t.Fatalf("%+v, %v", answer, err)
			}
		}
		last := time.Now()
		if idle := (<-ended).Sub(last); idle != idleTimeout || len(ended) != 0 {
			t.Errorf("the connection was idle for %s", idle)
		}
		if err := GetJSON(t.Context(), hc, "http://localhost/", &answer); err != nil {
			t.Errorf("after that: %v", err)
		}
		<-ended
	})
}

// answerAll serves a connection until its other end closes.
func answerAll(conn net.Conn) {
	defer conn.Close()
	for in := bufio.NewReader(conn); ; {
		if _, err := http.ReadRequest(in); err != nil {
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{\"ok\":true}")
	}
}

func TestCAFileThatIsNone(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(empty, []byte("not PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{empty, empty + ".none"} {
		if _, err := New(Options{CAFile: path}); err == nil {
			t.Errorf("%s is accepted", path)
		}
	}
}

func TestRedirectsOfAGet(t *testing.T) {
	var target string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/same":
			http.Redirect(w, r, "/json", http.StatusFound)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/away":
			http.Redirect(w, r, target, http.StatusFound)
		default:
			_, _ = io.WriteString(w, `{}`)
		}
	}))
	defer server.Close()
	if err := get(t, server.URL+"/same", ""); err != nil {
		t.Errorf("a redirect on the same loopback host: %v", err)
	}
	for name, path := range map[string]string{"a loop": "/loop", "to http elsewhere": "/away"} {
		target = "http://192.0.2.1/"
		if err := get(t, server.URL+path, ""); !errors.Is(err, ErrRedirect) {
			t.Errorf("%s: %v", name, err)
		}
	}
	hc, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/same", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer x")
	var v any
	if err := DoJSON(hc, req, &v); !errors.Is(err, ErrRedirect) {
		t.Errorf("a request with a token in it: %v", err)
	}
}

func TestStatusAndBody(t *testing.T) {
	body, status := `{`, http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	defer server.Close()
	if err := get(t, server.URL, ""); err == nil {
		t.Error("broken JSON is accepted")
	}
	status = http.StatusNotFound
	var statusErr *StatusError
	if err := get(t, server.URL, ""); !errors.As(err, &statusErr) || statusErr.Status != 404 {
		t.Errorf("404: %v", err)
	}
}

func TestRunningTimeout(t *testing.T) {
	ctx, stop := WithRunningTimeout(t.Context(), 20*time.Millisecond)
	defer stop()
	<-ctx.Done()
	if cause := context.Cause(ctx); !errors.Is(cause, context.DeadlineExceeded) || !strings.Contains(cause.Error(), "no complete response within 20ms") {
		t.Errorf("the cause is %v", cause)
	}
	ctx, stop = WithRunningTimeout(t.Context(), time.Hour)
	stop()
	<-ctx.Done()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		t.Errorf("stopped: the cause is %v", cause)
	}
	ctx, stop = WithRunningTimeout(t.Context(), 0)
	defer stop()
	if ctx.Err() != nil {
		t.Error("no timeout is one at once")
	}
}

// A platform's own settings say whom to trust: nobody else, and by the name they give.
func TestRootsOfAPlatform(t *testing.T) {
	server, caFile := tlsServer(t, "cluster.example", time.Now().Add(24*time.Hour))
	roots, err := os.ReadFile(caFile)
	if err != nil {
		t.Fatal(err)
	}
	_, otherFile := tlsServer(t, "cluster.example", time.Now().Add(24*time.Hour))
	other, err := os.ReadFile(otherFile)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		o     Options
		trust bool
	}{
		"its own":                      {Options{Roots: roots, ServerName: "cluster.example"}, true},
		"its own, under another name":  {Options{Roots: roots}, false},
		"others":                       {Options{Roots: other, ServerName: "cluster.example"}, false},
		"others, whatever CAFile says": {Options{Roots: other, CAFile: caFile, ServerName: "cluster.example"}, false},
	} {
		hc, err := New(c.o)
		if err != nil {
			t.Fatal(err)
		}
		var answer struct{ OK bool }
		if err := GetJSON(t.Context(), hc, server.URL, &answer); (err == nil) != c.trust {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := New(Options{Roots: []byte("none")}); err == nil {
		t.Error("roots that are no PEM were taken")
	}
}

func TestWithoutRedirects(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/next" {
			http.Redirect(w, r, "/next", http.StatusTemporaryRedirect)
		}
	}))
	defer server.Close()
	hc, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		hc      *http.Client
		refused bool
	}{{WithoutRedirects(hc), true}, {hc, false}} {
		resp, err := c.hc.Get(server.URL)
		if errors.Is(err, ErrRedirect) != c.refused {
			t.Error(err)
		}
		if err == nil {
			resp.Body.Close()
		}
	}
}

func TestGetJSON_IgnoresMembersOfTheWrongType(t *testing.T) {
	for body, want := range map[string]string{
		`{"a":"1","b":["2"],"c":{"d":"3"}}`:      "1 [2] 3",
		`{"a":1,"b":["2"],"c":{"d":"3"}}`:        " [2] 3",
		`{"a":"1","b":"2","c":{"d":3},"e":null}`: "1 [] ",
		`{"a":["1"],"b":{},"c":[]}`:              " [] ",
		`["1"]`:                                  "is not JSON",
		`"1"`:                                    "is not JSON",
		`{"a":"1"`:                               "is not JSON",
		`<html>`:                                 "is not JSON",
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }))
		var v struct {
			A string
			B []string
			C struct{ D string }
		}
		got := ""
		if err := GetJSON(t.Context(), server.Client(), server.URL, &v); errors.Is(err, ErrNotJSON) {
			got = "is not JSON"
		} else if got = fmt.Sprint(v.A, " ", v.B, " ", v.C.D); err != nil {
			t.Error(err)
		}
		if server.Close(); got != want {
			t.Errorf("%s: %q, not %q", body, got, want)
		}
	}
}
