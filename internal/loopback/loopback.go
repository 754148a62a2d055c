// Package loopback receives the callback of a login on a loopback address (RFC 8252 §7.3),
// and shows the result in the browser.
package loopback

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/sanitize"
)

// ErrPortInUse means that the redirect URI's fixed port is in use.
var ErrPortInUse = errors.New("the redirect's port is in use")

const (
	maxTries       = 10 // to find a port that is free in both address families
	maxQuery       = 8 << 10
	maxHeader      = 16 << 10
	maxSilent      = 64 // connections that have not sent a request yet
	headerTimeout  = 10 * time.Second
	farewellBudget = 2 * time.Second // for the page to reach the browser
)

// Listener receives the callback of one login. It binds the port before the browser is
// opened.
type Listener struct {
	redirect  *url.URL // with the bound port
	start     string   // the last segment of the start page's path, unguessable
	listeners []net.Listener
	callback  *callback // while Serve runs
}

// Listen binds the redirect URI: http, a loopback host, any path. Without a port it uses
// any free one (RFC 8252 §7.3). localhost is bound on both address families.
func Listen(redirectURI string) (*Listener, error) {
	u, parseErr := url.Parse(redirectURI)
	if err := cmp.Or(CheckRedirectURI(redirectURI), parseErr); err != nil {
		return nil, err
	}
	for try := 1; ; try++ {
		redirect := *u
		l := &Listener{redirect: &redirect, start: rand.Text()}
		err := l.bind()
		if err == nil {
			return l, nil
		}
		err = errors.Join(err, l.Close())
		// A port that is free in one address family may be in use in the other.
		if u.Port() != "" || !errors.Is(err, ErrPortInUse) || try == maxTries {
			return nil, err
		}
	}
}

// CheckRedirectURI accepts http URIs on a loopback host (RFC 8252 §7.3) without parameters.
func CheckRedirectURI(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || oauth.CheckURL(raw) != nil || u.Scheme != "http" || strings.Contains(raw, "?") ||
		!slices.Contains([]string{"127.0.0.1", "::1", "localhost"}, u.Hostname()) {
		return fmt.Errorf("invalid redirect URI %q: it must be http on 127.0.0.1, [::1] or localhost, without parameters", sanitize.Line(raw))
	}
	return nil
}

// bind listens on the host's addresses, all on the port of the first.
func (l *Listener) bind() error {
	hosts := []string{l.redirect.Hostname()}
	if hosts[0] == "localhost" {
		hosts = []string{"127.0.0.1", "::1"}
	}
	port := cmp.Or(l.redirect.Port(), "0")
	for i, host := range hosts {
		var config net.ListenConfig
		listener, err := config.Listen(context.Background(), "tcp", net.JoinHostPort(host, port))
		if err != nil && i > 0 && !isInUse(err) {
			continue // this machine has only one family
		}
		if isInUse(err) {
			return fmt.Errorf("%w: %s", ErrPortInUse, net.JoinHostPort(host, port))
		}
		if err != nil {
			return fmt.Errorf("listening for the redirect: %w", err)
		}
		l.listeners = append(l.listeners, listener)
		port = strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
	}
	l.redirect.Host = net.JoinHostPort(l.redirect.Hostname(), port)
	return nil
}

func isInUse(err error) bool {
	const wsaAddrInUse = syscall.Errno(10048) // WSAEADDRINUSE, Windows' own number
	return errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, wsaAddrInUse)
}

// RedirectURI returns the redirect URI with the bound port.
func (l *Listener) RedirectURI() string { return l.redirect.String() }

// Close closes the port.
func (l *Listener) Close() error {
	var failed error
	for _, listener := range l.listeners {
		if err := listener.Close(); !errors.Is(err, net.ErrClosed) {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

// Login is a login that a Listener waits for. It has up to two requests, each with its own
// state, nonce and verifier; the first callback counts.
type Login struct {
	// Shown is the request whose URL is printed. Its state is in no program's arguments, so
	// any browser may send the callback, or the user may paste it.
	Shown *oauth.AuthorizationRequest
	// Launched is the request that the start page redirects to; nil: no browser is opened.
	Launched *oauth.AuthorizationRequest

	Pasted <-chan string // redirect URLs, handled like the callback; may be nil

	Unlaunched <-chan struct{}      // the browser could not be started: Paste is called; may be nil
	Paste      func() <-chan string // returns Pasted
	Warn       func(string)         // prints one line
	// Finish redeems the authorization code of a request and stores the login.
	Finish func(ctx context.Context, r *oauth.AuthorizationRequest, code string) error
}

// Serve waits for the callback, calls Finish once, shows the result in the browser, closes
// the port and returns Finish's error. Requests that do not belong to the login get a 4xx
// and change nothing; a second visitor of the start page ends the login with
// ErrOpenedTwice. Finish runs to its end, even if the browser disconnects.
func (l *Listener) Serve(ctx context.Context, login Login) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	c := newCallback(l, login, stop)
	l.callback = c
	server := c.server()
	for _, listener := range l.listeners {
		go func() { _ = server.Serve(listener) }()
	}
	code := ""
	a, err := c.wait(ctx)
	if err == nil {
		code, err = a.request.Code(a.query)
	}
	if err == nil { // in this goroutine, because net/http would swallow a panic of Finish
		err = login.Finish(ctx, a.request, code)
	}
	if err != nil && errors.Is(context.Cause(ctx), ErrOpenedTwice) {
		err = ErrOpenedTwice // which may have interrupted the exchange
	}
	// The page shows success only after the login was stored.
	c.outcome <- err
	if c.received.Load() { // the browser is waiting
		select {
		case <-c.pageSent:
		case <-time.After(farewellBudget):
		}
	}
	// Shutdown would wait for the idle connections that browsers open in advance.
	_ = server.Close()
	_ = l.Close() // the server may not know the listener yet
	return err
}

// ShowQuestion shows a page that refers to the terminal, where Finish asks a question.
// Finish may call it once.
func (l *Listener) ShowQuestion() { l.callback.outcome <- errQuestion }

var errQuestion = errors.New("there is a question in the terminal")

type callback struct {
	host, path string
	startPath  string
	cookie     http.Cookie // of the browser that opened the start page
	login      Login
	stop       context.CancelCauseFunc
	checkPeer  func(*http.Request) error
	warnOnce   sync.Once // visitors must not be able to flood the terminal

	opened   atomic.Bool   // the start page
	received atomic.Bool   // whether there is a callback
	answers  chan answer   // delivers the callback
	outcome  chan error    // delivers the result to the page; may be preceded by errQuestion
	pageSent chan struct{} // closed when the page has been sent
}

func newCallback(l *Listener, login Login, stop context.CancelCauseFunc) *callback {
	host, path := oauth.AsVisited(l.redirect)
	return &callback{
		host: host, path: path, startPath: l.startPath(), cookie: startCookie(l.redirect.Port(), path),
		login: login, stop: stop, checkPeer: checkPeer,
		answers: make(chan answer, 1), outcome: make(chan error, 2), pageSent: make(chan struct{}),
	}
}

func (c *callback) server() *http.Server {
	server := &http.Server{
		Handler:                      c,
		ReadTimeout:                  headerTimeout,
		MaxHeaderBytes:               maxHeader,
		ConnState:                    new(silentConns).track,
		DisableGeneralOptionsHandler: true, // it would respond 200 to "OPTIONS *"
		ErrorLog:                     log.New(io.Discard, "", 0),
	}
	server.SetKeepAlivesEnabled(false)
	return server
}

// wait returns the first callback with a matching state, from the browser or pasted.
func (c *callback) wait(ctx context.Context) (answer, error) {
	pasted, unlaunched := c.login.Pasted, c.login.Unlaunched
	for {
		select {
		case <-unlaunched:
			pasted, unlaunched = c.login.Paste(), nil
		case a := <-c.answers:
			return a, nil
		case <-ctx.Done():
			return answer{}, ctx.Err()
		case line, ok := <-pasted:
			if !ok {
				pasted = nil
				continue
			}
			q, err := c.login.Shown.ParsePasted(line)
			if err != nil {
				c.login.Warn(fmt.Sprintf("That URL is not this login's redirect: %s.", err))
				continue
			}
			if !c.received.Swap(true) { // else the browser was first
				close(c.pageSent) // there is no page
				return answer{c.login.Shown, q}, nil
			}
		}
	}
}

func (c *callback) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	setPageHeaders(w.Header())
	path, status := c.examine(req)
	if status != http.StatusOK {
		writeStray(w, req, status)
		return
	}
	if path != c.path {
		c.serveStart(w, req)
		return
	}
	a, ok := c.match(req.URL.RawQuery)
	launched := a.request == c.login.Launched
	switch {
	case !ok:
		writeStray(w, req, http.StatusBadRequest)
		return
	case launched && !c.admit(w, req):
		return
	case launched && !c.hasCookie(req):
		c.refuse(w, http.StatusBadRequest, "The browser came back without the cookie of this login. Allow cookies for "+c.host+", or open the URL above.")
		return
	case c.received.Swap(true):
		writePage(w, http.StatusGone, answeredPage)
		return
	}
	defer close(c.pageSent)
	c.answers <- a
	switch err := <-c.outcome; {
	case errors.Is(err, errQuestion):
		writePage(w, http.StatusOK, questionPage)
	case err != nil:
		writePage(w, http.StatusBadRequest, failurePage)
	default:
		writePage(w, http.StatusOK, successPage)
	}
}

// examine rejects requests that are neither the callback nor the start page, all with the
// same page.
func (c *callback) examine(req *http.Request) (path string, status int) {
	host, path := oauth.AsVisited(&url.URL{Host: req.Host, Path: req.URL.Path, RawPath: req.URL.RawPath})
	switch {
	case host != c.host: // DNS rebinding
		return "", http.StatusMisdirectedRequest
	case path != c.path && (c.login.Launched == nil || !isEqual(path, c.startPath)):
		return "", http.StatusNotFound
	case req.Method != http.MethodGet:
		return "", http.StatusMethodNotAllowed
	case len(req.URL.RawQuery) > maxQuery:
		return "", http.StatusRequestURITooLong
	}
	return path, http.StatusOK
}

// silentConns limits connections without a request by closing the oldest, so that the
// browser can always connect.
type silentConns struct {
	mu    sync.Mutex
	conns []net.Conn // guarded by mu; the oldest first
}

func (s *silentConns) track(conn net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if state != http.StateNew {
		s.conns = slices.DeleteFunc(s.conns, func(c net.Conn) bool { return c == conn })
		return
	}
	s.conns = append(s.conns, conn)
	if len(s.conns) > maxSilent {
		_ = s.conns[0].Close()
		s.conns = s.conns[1:]
	}
}
