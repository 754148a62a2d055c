// Package loopback receives the callback of a login on this machine's loopback
// addresses (RFC 8252 §7.3), and shows the browser how the login went.
package loopback

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/safetext"
)

// DefaultRedirectURI is used where no redirect is given: RFC 8252 §7.3 leaves
// the port of a loopback address free. Logins give one: see config.Profile.Redirect.
const DefaultRedirectURI = "http://127.0.0.1/callback"

// ErrPortInUse means that the redirect's fixed port is taken.
var ErrPortInUse = errors.New("the redirect's port is in use")

const (
	maxTries       = 10 // to find a port that is free in both address families
	maxQuery       = 8 << 10
	maxHeader      = 16 << 10
	maxSilent      = 64 // connections that have not asked anything yet
	headerTimeout  = 10 * time.Second
	farewellBudget = 2 * time.Second // for the page to reach the browser
)

// Listener receives the callback of one login on this machine's loopback
// addresses. It is bound once, before the browser opens, and held.
type Listener struct {
	redirect  *url.URL // with the port that is bound
	listeners []net.Listener
}

// Listen binds the redirect URI: http, a loopback host, any path. Without
// a port any free one is taken. An empty URI is DefaultRedirectURI. localhost is
// bound on both address families.
func Listen(redirectURI string) (*Listener, error) {
	redirectURI = cmp.Or(redirectURI, DefaultRedirectURI)
	if err := CheckRedirectURI(redirectURI); err != nil {
		return nil, err
	}
	u, err := url.Parse(redirectURI)
	if err != nil {
		return nil, err
	}
	for try := 1; ; try++ {
		redirect := *u
		l := &Listener{redirect: &redirect}
		err := l.bind()
		if err == nil {
			return l, nil
		}
		err = errors.Join(err, l.Close())
		// A port that is free in one address family may be taken in the other.
		if u.Port() != "" || !errors.Is(err, ErrPortInUse) || try == maxTries {
			return nil, err
		}
	}
}

// CheckRedirectURI accepts http on a loopback host (RFC 8252 §7.3) without
// parameters.
func CheckRedirectURI(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || oauth.CheckURL(raw) != nil || u.Scheme != "http" || strings.Contains(raw, "?") ||
		!slices.Contains([]string{"127.0.0.1", "::1", "localhost"}, u.Hostname()) {
		return fmt.Errorf("the redirect URI %q is not http on 127.0.0.1, [::1] or localhost, without parameters", safetext.Line(raw))
	}
	return nil
}

// bind listens on the host's addresses, all on the port of the first.
func (l *Listener) bind() error {
	hosts := []string{l.redirect.Hostname()}
	if hosts[0] == "localhost" {
		hosts = []string{"127.0.0.1", "::1"}
	}
	port := l.redirect.Port()
	if port == "" {
		port = "0"
	}
	for i, host := range hosts {
		var config net.ListenConfig
		listener, err := config.Listen(context.Background(), "tcp", net.JoinHostPort(host, port))
		if err != nil && i > 0 && !isInUse(err) {
			continue // this machine has one family alone
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

// RedirectURI is the redirect with the port that is bound.
func (l *Listener) RedirectURI() string { return l.redirect.String() }

// Close gives the port back.
func (l *Listener) Close() error {
	var failed error
	for _, listener := range l.listeners {
		if err := listener.Close(); !errors.Is(err, net.ErrClosed) {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

// Finish redeems an authorization code and stores the login.
type Finish func(ctx context.Context, code string) error

// Serve waits for the callback of a login, redeems it once with finish, shows the
// browser how that went, closes the port and returns finish's error. Requests
// that are not of this login get a plain 4xx and change nothing. Pasted redirect
// URLs that come on pasted (may be nil) are treated as the callback; complain is
// told why one is not of this login. finish does not outlive Serve, and does not
// end with the browser's request.
func (l *Listener) Serve(ctx context.Context, r *oauth.AuthorizationRequest, pasted <-chan string, complain func(error), finish Finish) error {
	c := newCallback(l.redirect, r)
	server := c.server()
	for _, listener := range l.listeners {
		go func() { _ = server.Serve(listener) }()
	}
	q, err := c.wait(ctx, pasted, complain)
	if err == nil {
		err = redeem(ctx, r, q, finish)
	}
	// The page follows the outcome: success is shown for a login that is stored.
	c.outcome <- err
	c.farewell()
	// Not Shutdown: it would wait for the spare connections that browsers open.
	_ = server.Close()
	_ = l.Close() // the server may not have taken it yet
	return err
}

// redeem runs on Serve's goroutine: net/http would swallow a panic of finish, and
// the login would wait on.
func redeem(ctx context.Context, r *oauth.AuthorizationRequest, q url.Values, finish Finish) error {
	code, err := r.Code(q)
	if err != nil {
		return err
	}
	return finish(ctx, code)
}

// callback is the handler of one login.
type callback struct {
	host, path string
	request    *oauth.AuthorizationRequest

	taken   atomic.Bool     // the callback has come
	arrived chan url.Values // receives it
	outcome chan error      // receives how the login ended, for the page
	shown   chan struct{}   // closed when the page is on its way
}

func newCallback(redirect *url.URL, r *oauth.AuthorizationRequest) *callback {
	host, path := oauth.AsVisited(redirect)
	return &callback{
		host: host, path: path, request: r,
		arrived: make(chan url.Values, 1), outcome: make(chan error, 1), shown: make(chan struct{}),
	}
}

func (c *callback) server() *http.Server {
	server := &http.Server{
		Handler:                      c,
		ReadTimeout:                  headerTimeout,
		MaxHeaderBytes:               maxHeader,
		ConnState:                    new(silent).track,
		DisableGeneralOptionsHandler: true, // it would answer "OPTIONS *" with 200
		ErrorLog:                     discard,
	}
	server.SetKeepAlivesEnabled(false)
	return server
}

// wait returns the first callback whose state matches, from the browser or
// pasted.
func (c *callback) wait(ctx context.Context, pasted <-chan string, complain func(error)) (url.Values, error) {
	for {
		select {
		case q := <-c.arrived:
			return q, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		case line, ok := <-pasted:
			if !ok {
				pasted = nil
				continue
			}
			q, err := c.request.ParsePasted(line)
			if err != nil {
				complain(err)
				continue
			}
			if !c.taken.Swap(true) { // else the browser was first
				close(c.shown) // there is no page
				return q, nil
			}
		}
	}
}

// farewell lets the last page reach a browser that waits for it.
func (c *callback) farewell() {
	if !c.taken.Load() {
		return
	}
	select {
	case <-c.shown:
	case <-time.After(farewellBudget):
	}
}

func (c *callback) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	setPageHeaders(w.Header())
	q, status := c.examine(req)
	if status != http.StatusOK {
		http.Error(w, http.StatusText(status), status)
		return
	}
	if c.taken.Swap(true) {
		http.Error(w, "This login has been answered already.", http.StatusGone)
		return
	}
	defer close(c.shown)
	c.arrived <- q
	if err := <-c.outcome; err != nil {
		writePage(w, http.StatusBadRequest, failurePage)
		return
	}
	writePage(w, http.StatusOK, successPage)
}

// examine turns away whatever is not the one callback that is waited for, without
// a word about why.
func (c *callback) examine(req *http.Request) (url.Values, int) {
	host, path := oauth.AsVisited(&url.URL{Host: req.Host, Path: req.URL.Path, RawPath: req.URL.RawPath})
	switch {
	case host != c.host: // a page that was rebound to this address by DNS
		return nil, http.StatusMisdirectedRequest
	case path != c.path:
		return nil, http.StatusNotFound
	case req.Method != http.MethodGet:
		return nil, http.StatusMethodNotAllowed
	case len(req.URL.RawQuery) > maxQuery:
		return nil, http.StatusRequestURITooLong
	}
	q, err := url.ParseQuery(req.URL.RawQuery)
	if err != nil || c.request.MatchState(q) != nil {
		return nil, http.StatusBadRequest
	}
	return q, http.StatusOK
}

// silent bounds the connections that have not asked anything yet: when there are
// too many, the oldest goes, so that the browser always gets in.
type silent struct {
	mu    sync.Mutex
	conns []net.Conn // guarded by mu; the oldest first
}

func (s *silent) track(conn net.Conn, state http.ConnState) {
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
