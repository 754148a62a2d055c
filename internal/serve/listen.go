package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/unixsocket"
)

// Limits for each client.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 10 * time.Second
	writeTimeout      = 10 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 32 << 10
	// MaxConnections is the number of open connections; further ones wait.
	MaxConnections = 4096
)

// HTTPServer returns a server for handler with limits on time and size.
func HTTPServer(handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// ErrListen is returned when the server cannot listen on its address.
var ErrListen = errors.New("cannot listen")

// Systemd is the address that selects the socket passed by systemd.
const Systemd = "systemd"

// Listen listens on HOST:PORT, unix:/PATH, or the socket passed by systemd ("systemd",
// sd_listen_fds(3)).
func Listen(ctx context.Context, where string, getenv func(string) string) (net.Listener, error) {
	var l net.Listener
	var err error
	switch path, isUnix := strings.CutPrefix(where, "unix:"); {
	case isUnix:
		l, err = listenUnix(ctx, path)
	case where == Systemd:
		l, err = systemdListener(getenv)
	default:
		l, err = new(net.ListenConfig).Listen(ctx, "tcp", where)
	}
	if err != nil {
		return nil, fmt.Errorf("%w on %s: %w", ErrListen, where, err)
	}
	return &limitedListener{Listener: l, slots: make(chan struct{}, MaxConnections)}, nil
}

// Exposed reports whether other machines can connect to a listener. It checks the bound
// address, because a host name may resolve to any address, an empty host means all
// addresses, and a systemd socket is configured elsewhere.
func Exposed(l net.Listener) bool {
	address, isTCP := l.Addr().(*net.TCPAddr)
	return isTCP && !address.IP.IsLoopback()
}

// listenUnix creates a socket that its owner and group can connect to.
func listenUnix(ctx context.Context, path string) (net.Listener, error) {
	if runtime.GOOS == "windows" { // file modes do not restrict connections there
		return nil, errors.New("unix sockets are not supported on Windows: use --listen 127.0.0.1:8089")
	}
	return unixsocket.Listen(ctx, path, 0o660)
}

// firstSystemdFD is SD_LISTEN_FDS_START.
const firstSystemdFD = 3

func systemdListener(getenv func(string) string) (net.Listener, error) {
	if getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) || getenv("LISTEN_FDS") != "1" {
		return nil, errors.New("systemd passed no socket, or more than one")
	}
	f := os.NewFile(firstSystemdFD, "systemd")
	defer f.Close()
	return net.FileListener(f)
}

// Certificate is a TLS certificate that is reloaded when its files change.
type Certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu         sync.Mutex
	current    *tls.Certificate
	modifiedAt time.Time // modification time of the files that current was read from
	checkedAt  time.Time
}

// LoadCertificate reads a certificate and its key in PEM format.
func LoadCertificate(certFile, keyFile string, log *slog.Logger) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile, log: log}
	return c, c.load()
}

const maxPEM = 1 << 20

func (c *Certificate) load() error {
	pair, err := c.read()
	if err == nil {
		c.current, c.modifiedAt = &pair, c.modified()
	}
	return err
}

func (c *Certificate) read() (tls.Certificate, error) {
	chain, err := atomicfile.ReadRegular(c.certFile, maxPEM)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := atomicfile.ReadRegular(c.keyFile, maxPEM)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(chain, key)
}

func (c *Certificate) modified() time.Time {
	var latest time.Time
	for _, path := range []string{c.certFile, c.keyFile} {
		if info, err := os.Stat(path); err == nil && info.ModTime().After(latest) {
			latest = info.ModTime()
		}
	}
	return latest
}

// Read reads the certificate in the files, which serve puts into use.
func (c *Certificate) Read() (serve func(), err error) {
	pair, err := c.read()
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.current = &pair
	}, err
}

const checkInterval = time.Second

// Listener serves TLS with the certificate that is currently in the files.
func (c *Certificate) Listener(l net.Listener) net.Listener {
	return tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, GetCertificate: c.get})
}

func (c *Certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.checkedAt) < checkInterval {
		return c.current, nil
	}
	c.checkedAt = time.Now()
	if modified := c.modified(); !modified.Equal(c.modifiedAt) {
		if err := c.load(); err != nil { // the files may be half written: use the previous one
			c.log.Warn("the renewed certificate cannot be used", "error", err.Error())
		} else {
			c.log.Info("the certificate was renewed")
		}
	}
	return c.current, nil
}

type limitedListener struct {
	net.Listener
	slots chan struct{}
}

func (l *limitedListener) Accept() (net.Conn, error) {
	l.slots <- struct{}{}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return newConn(c, func() { <-l.slots }), nil
}

// conn is a connection that releases its slot when closed and sets few deadlines.
type conn struct {
	net.Conn
	reads, writes deadline
	release       func()
}

func newConn(c net.Conn, release func()) *conn {
	born := time.Now()
	return &conn{Conn: c, reads: deadline{set: c.SetReadDeadline, born: born}, writes: deadline{set: c.SetWriteDeadline, born: born}, release: sync.OnceFunc(release)}
}

func (c *conn) Read(p []byte) (int, error) {
	if err := c.reads.begin(); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	c.reads.end()
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	if err := c.writes.begin(); err != nil {
		return 0, err
	}
	n, err := c.Conn.Write(p)
	c.writes.end()
	return n, err
}

func (c *conn) SetReadDeadline(t time.Time) error  { return c.reads.request(t) }
func (c *conn) SetWriteDeadline(t time.Time) error { return c.writes.request(t) }

func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.reads.request(t), c.writes.request(t))
}

func (c *conn) Close() error {
	defer c.release()
	return c.Conn.Close()
}

// deadline is the read or the write deadline of a connection. net/http sets eight per
// request, and nearly all are replaced before anything blocks. Setting one on the socket
// costs a timer, so that is only done when a read or write starts.
type deadline struct {
	set  func(time.Time) error // sets the socket's deadline
	born time.Time

	mu        sync.Mutex
	requested time.Time
	applied   time.Time // the deadline set on the socket
	active    int       // reads or writes in progress
}

// deadlineSlack is how much too early the socket's deadline may be. Each request moves the
// idle deadline a little: this way it is only set once per second.
const deadlineSlack = time.Second

// request records a deadline, and sets it if a read or write is in progress.
func (d *deadline) request(t time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.requested = t
	if d.active > 0 {
		return d.apply()
	}
	return nil
}

// begin starts a read or write under the recorded deadline.
func (d *deadline) begin() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.requested.IsZero() && d.requested.Before(d.born) { // a time in the past: net/http interrupts the read
		return os.ErrDeadlineExceeded
	}
	if sooner := d.requested.Sub(d.applied); sooner < 0 || sooner >= deadlineSlack {
		if err := d.apply(); err != nil {
			return err
		}
	}
	d.active++
	return nil
}

func (d *deadline) end() {
	d.mu.Lock()
	d.active--
	d.mu.Unlock()
}

func (d *deadline) apply() error {
	if err := d.set(d.requested); err != nil {
		return err
	}
	d.applied = d.requested
	return nil
}
