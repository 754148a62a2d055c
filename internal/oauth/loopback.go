package oauth

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/fobcli/fob/internal/safetext"
)

// DefaultRedirectURI is what one registers with a server: RFC 8252 §7.3 leaves
// the port of a loopback address free.
const DefaultRedirectURI = "http://127.0.0.1/callback"

// ErrPortInUse means that the redirect's fixed port is taken.
var ErrPortInUse = errors.New("the redirect's port is in use")

const (
	maxTries       = 10 // to find a port that is free in both address families
	maxQuery       = 8 << 10
	maxHeader      = 16 << 10
	headerTimeout  = 10 * time.Second
	farewellBudget = 2 * time.Second // for the page to reach the browser
)

// Loopback receives the callback of one login on this machine's loopback
// addresses. It is bound once, before the browser opens, and held.
type Loopback struct {
	redirect  *url.URL // with the port that is bound
	listeners []net.Listener
}

// ListenLoopback binds the redirect URI: http, a loopback host, any path. Without
// a port any free one is taken. An empty URI is DefaultRedirectURI. localhost is
// bound on both address families.
func ListenLoopback(redirectURI string) (*Loopback, error) {
	if redirectURI == "" {
		redirectURI = DefaultRedirectURI
	}
	if err := CheckRedirectURI(redirectURI); err != nil {
		return nil, err
	}
	u, err := url.Parse(redirectURI)
	if err != nil {
		return nil, err
	}
	if u.Path == "" {
		u.Path = "/"
	}
	for try := 1; ; try++ {
		l := &Loopback{redirect: &url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}}
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
	if err != nil || CheckURL(raw) != nil || u.Scheme != "http" || u.RawQuery != "" {
		return fmt.Errorf("the redirect URI %q is not http on 127.0.0.1, [::1] or localhost, without parameters", safetext.Line(raw))
	}
	return nil
}

// bind listens on the host's addresses, all on the port of the first.
func (l *Loopback) bind() error {
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
func (l *Loopback) RedirectURI() string { return l.redirect.String() }

// Close gives the port back.
func (l *Loopback) Close() error {
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
// told why one is not of this login.
func (l *Loopback) Serve(ctx context.Context, r *AuthorizationRequest, pasted <-chan string, complain func(error), finish Finish) error {
	c := &callback{
		host: l.redirect.Host, path: l.redirect.Path, request: r,
		finish: func(code string) error { return finish(ctx, code) },
		done:   make(chan error, 1),
	}
	server := &http.Server{
		Handler:           c,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       headerTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          discard,
	}
	server.SetKeepAlivesEnabled(false)
	for _, listener := range l.listeners {
		go func() { _ = server.Serve(listener) }()
	}
	defer l.farewell(server)
	for {
		select {
		case err := <-c.done:
			return err
		case <-ctx.Done():
			if c.isTaken() { // finish ends with ctx, and knows whether the login is kept
				return <-c.done
			}
			return ctx.Err()
		case line, ok := <-pasted:
			if !ok {
				pasted = nil
				continue
			}
			q, err := r.ParsePasted(line)
			if err != nil {
				complain(err)
				continue
			}
			_, _ = c.take(q) // its error arrives on done
		}
	}
}

// farewell lets the last page reach the browser, within bounds.
func (l *Loopback) farewell(server *http.Server) {
	ctx, stop := context.WithTimeout(context.Background(), farewellBudget)
	defer stop()
	_ = server.Shutdown(ctx)
	_ = server.Close()
	_ = l.Close() // the server may not have taken it yet
}

// callback is the handler of one login.
type callback struct {
	host, path string
	request    *AuthorizationRequest
	finish     func(code string) error
	done       chan error // receives once

	mu    sync.Mutex
	taken bool // guarded by mu: the callback has come
}

func (c *callback) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	setPageHeaders(w.Header())
	q, status := c.examine(req)
	if status != http.StatusOK {
		http.Error(w, http.StatusText(status), status)
		return
	}
	first, err := c.take(q)
	switch {
	case !first:
		http.Error(w, "This login has been answered already.", http.StatusGone)
	case err != nil:
		writePage(w, http.StatusBadRequest, failurePage)
	default:
		writePage(w, http.StatusOK, successPage)
	}
}

// examine turns away whatever is not the one callback that is waited for, without
// a word about why.
func (c *callback) examine(req *http.Request) (url.Values, int) {
	switch {
	case req.Host != c.host: // a page that was rebound to this address by DNS
		return nil, http.StatusMisdirectedRequest
	case req.URL.Path != c.path || req.URL.RawPath != "":
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

func (c *callback) isTaken() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.taken
}

// take finishes the login with the first callback whose state matches. It
// returns false for any later one.
func (c *callback) take(q url.Values) (first bool, err error) {
	c.mu.Lock()
	taken := c.taken
	c.taken = true
	c.mu.Unlock()
	if taken {
		return false, nil
	}
	code, err := c.request.Code(q)
	if err == nil {
		err = c.finish(code)
	}
	c.done <- err
	return true, err
}
