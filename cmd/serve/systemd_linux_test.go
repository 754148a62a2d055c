package serve

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fobcli/fob/cmd/internal/cmdtest"
	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/serve"
)

// writeCertificate writes a certificate and its key in one file.
func writeCertificate(t *testing.T, a *cmdtest.App, serial int64) (path string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour)}
	chain, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return a.Write("pair.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: chain}))+string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
}

// notifications are what a service sends to systemd.
type notifications struct {
	t *testing.T
	*net.UnixConn
	watchdog bool // WATCHDOG=1 was sent
}

// next returns the next notification, except those for the watchdog.
func (n *notifications) next() string {
	n.t.Helper()
	for text := make([]byte, 1000); ; n.watchdog = true {
		_ = n.SetReadDeadline(time.Now().Add(10 * time.Second))
		size, err := n.Read(text)
		if err != nil {
			n.t.Fatal(err)
		}
		if state := string(text[:size]); state != "WATCHDOG=1" {
			return state
		}
	}
}

// hangUp sends SIGHUP to the service, which runs in this process, and waits for the reload.
func (n *notifications) hangUp() {
	n.t.Helper()
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		n.t.Fatal(err)
	}
	at, found := strings.CutPrefix(n.next(), "RELOADING=1\nMONOTONIC_USEC=")
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	if usec, err := strconv.ParseInt(at, 10, 64); !found || err != nil || usec > now.Nano()/1000 || usec < now.Nano()/1000-10e6 {
		n.t.Fatalf("%q %v", at, err)
	}
	if state := n.next(); state != "READY=1" {
		n.t.Fatal(state)
	}
}

// newService returns a service that does not listen, with a certificate, a pepper and a
// header, and the socket of its systemd.
func newService(t *testing.T) (*service, *cmdtest.App, *notifications) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	a := cmdtest.New(t, "[serve]\nheaders = [\"X-Old\"]\n")
	pair, log := writeCertificate(t, a, 1), slog.New(slog.DiscardHandler)
	certificate, err := serve.LoadCertificate(pair, pair, log)
	if err != nil {
		t.Fatal(err)
	}
	s := &service{
		App: a.App, server: serve.New(serve.Options{Log: log, Now: time.Now, Headers: []string{"X-Old"}}), certificate: certificate, hasConfig: true, log: log,
		peppers: &serve.Peppers{Find: func(context.Context, string) (apikey.Pepper, error) { return apikey.Pepper{ID: "p"}, nil }},
		systemd: &systemd{socket: path},
	}
	if _, err := s.peppers.Get(t.Context(), "p"); err != nil {
		t.Fatal(err)
	}
	return s, a, &notifications{t: t, UnixConn: socket}
}

// serial returns the serial number of the certificate in use.
func serial(t *testing.T, c *serve.Certificate) int64 {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	secure := c.Listener(listener)
	go func() {
		if conn, err := secure.Accept(); err == nil {
			_ = conn.(*tls.Conn).Handshake()
			_ = conn.Close()
		}
	}()
	conn, err := tls.Dial("tcp", listener.Addr().String(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

// Until the registry was read, the service is not ready, whatever was reloaded.
func TestReload_BeforeTheFirstPollIsNotReady(t *testing.T) {
	s, _, n := newService(t)
	s.reload(t.Context())
	s.systemd.polled(true)
	if state := n.next(); state != "READY=1" {
		t.Errorf("%q before the first poll", state)
	}
	s.reload(t.Context())
	for _, want := range []string{"RELOADING=1", "READY=1"} {
		if state := n.next(); !strings.HasPrefix(state, want) {
			t.Errorf("%q, not %q", state, want)
		}
	}
}

// If a pepper is unreadable, the certificate stays, too.
func TestReload_AllOrNothing(t *testing.T) {
	s, a, _ := newService(t)
	pair := filepath.Join(a.Home, "pair.pem")
	info, err := os.Stat(pair)
	if err != nil {
		t.Fatal(err)
	}
	writeCertificate(t, a, 2)
	if err := os.Chtimes(pair, time.Time{}, info.ModTime()); err != nil { // else it is noticed anyway
		t.Fatal(err)
	}
	find := s.peppers.Find
	s.peppers.Find = func(context.Context, string) (apikey.Pepper, error) { return apikey.Pepper{}, errors.New("unreadable") }
	if err := s.readFiles(t.Context()); err == nil || serial(t, s.certificate) != 1 {
		t.Errorf("%v; certificate %d", err, serial(t, s.certificate))
	}
	s.peppers.Find = find
	if err := s.readFiles(t.Context()); err != nil || serial(t, s.certificate) != 2 {
		t.Errorf("%v; certificate %d", err, serial(t, s.certificate))
	}
}

// Without its file, a service would read keys from the default headers again.
func TestReload_RefusesALostFile(t *testing.T) {
	s, a, _ := newService(t)
	if err := os.Remove(filepath.Join(a.Home, "config.toml")); err != nil {
		t.Fatal(err)
	}
	if err := s.readFiles(t.Context()); err == nil || !strings.Contains(err.Error(), "config.toml is missing") {
		t.Errorf("%v", err)
	}
	s.hasConfig = false // there was none
	if err := s.readFiles(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestServe_ReloadsAtSIGHUP(t *testing.T) {
	dir := t.TempDir()
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: dir + "/notify", Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	n := &notifications{t: t, UnixConn: socket}
	rule := func(path string) string { return "[[serve.rule]]\npath = \"" + path + "\"\n" }
	a := cmdtest.New(t, rule("/old"), "NOTIFY_SOCKET="+dir+"/notify", "WATCHDOG_USEC=1000000")
	a.Clock.Now = time.Now
	key := createRegistry(t, a.App)
	pair := writeCertificate(t, a, 1)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	served := make(chan error, 1)
	go func() {
		served <- runServe(ctx, a.App, nil, serveOptions{Listen: "unix:" + dir + "/s", TLSCert: pair, TLSKey: pair, MaxStale: serve.DefaultMaxStale, CacheSize: 10})
	}()
	if state := n.next(); state != "READY=1" {
		t.Fatal(state)
	}
	check := func(what, allowed, refused string, serial int64) {
		t.Helper()
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", dir+"/s")
		}}}
		for uri, want := range map[string]int{allowed: http.StatusOK, refused: http.StatusForbidden} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://fob/verify", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+key.Key.Reveal())
			r.Header.Set("X-Original-Uri", uri)
			r.Header.Set("X-Original-Method", "GET")
			resp, err := client.Do(r)
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			if got := resp.TLS.PeerCertificates[0].SerialNumber.Int64(); resp.StatusCode != want || got != serial {
				t.Errorf("%s: %s: %d, not %d; certificate %d, not %d", what, uri, resp.StatusCode, want, got, serial)
			}
		}
	}
	check("at the start", "/old", "/new", 1)
	for what, bad := range map[string]string{
		"an invalid rule":     rule("/new") + rule("new"),
		"an invalid header":   "[serve]\nheaders = [\"a b\"]\n" + rule("/new"),
		"no TOML":             rule("/new") + "[",
		"an unknown setting":  rule("/new") + "colour = \"red\"\n",
		"no rule":             "",
		"a missing file":      "(missing)",
		"another user's file": "(foreign)",
	} {
		a.Write("config.toml", bad)
		switch path := filepath.Join(a.Home, "config.toml"); bad {
		case "(missing)":
			err = os.Remove(path)
		case "(foreign)":
			err = errors.Join(os.WriteFile(path, []byte(rule("/new")), 0o600), os.Chmod(path, 0o666)) //nolint:gosec // the point of the test
		}
		if err != nil {
			t.Fatal(err)
		}
		a.Stderr()
		n.hangUp()
		if log := a.Stderr(); !strings.Contains(log, "reloading failed") {
			t.Errorf("%s is not logged:\n%s", what, log)
		}
		check(what, "/old", "/new", 1)
		_ = os.Chmod(filepath.Join(a.Home, "config.toml"), 0o600)
	}
	a.Write("config.toml", rule("/new"))
	a.Write("pair.pem", "half a certificate")
	n.hangUp()
	check("half a certificate", "/old", "/new", 1)
	a.Write("config.toml", rule("/old"))
	writeCertificate(t, a, 2)
	n.hangUp()
	check("another certificate", "/old", "/new", 2)
	a.Write("config.toml", rule("/new"))
	n.hangUp()
	check("another rule", "/new", "/old", 2)
	for !n.watchdog && t.Context().Err() == nil {
		n.hangUp()
	}
	stop()
	if state := n.next(); state != "STOPPING=1" {
		t.Error(state)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}
