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
