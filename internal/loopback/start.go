package loopback

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/fobcli/fob/internal/oauth"
)

// On many systems, all users can read the arguments of the program that opens the browser.
// Therefore they only contain the URL of a start page. It redirects its first visitor to
// the server, with a cookie that the callback must return, and ends the login when a second
// visitor comes. Another user who is faster than the browser is stopped by measures of each
// system:
//
//   - Linux: both connections must belong to this user (peer_linux.go).
//   - WSL: Windows browsers connect through a relay, as root or without an owner, so both
//     are accepted. A user who can start Windows programs can become root with
//     'wsl.exe -u root', and other Windows users do not see its processes.
//   - macOS: ps shows all arguments, so osascript reads the URL from stdin and sends it in
//     an Apple event. With $BROWSER it is an argument, and this risk remains.
//   - Windows: there is no launcher, and only its own user and administrators can read a
//     process's command line.
//
// A private file instead of the page would avoid all this, but browsers from snap and
// flatpak cannot read one.

// ErrOpenedTwice means that a login's start page was opened by two visitors: one of them
// read its URL in the launcher's arguments.
var ErrOpenedTwice = errors.New("the login page was opened twice, by the browser and by something else")

// startCookie is limited to the callback's path, which the start page is below. Its name
// contains the port, because cookies are shared by all ports. It is Lax because the
// callback is a navigation from another site, and not Secure because browsers differ on
// whether http on loopback is.
func startCookie(port, path string) http.Cookie {
	return http.Cookie{Name: "fob-login-" + port, Value: rand.Text(), Path: path, HttpOnly: true, SameSite: http.SameSiteLaxMode}
}

// StartURL returns the URL for the launched browser.
func (l *Listener) StartURL() string { return "http://" + l.redirect.Host + l.startPath() }

func (l *Listener) startPath() string {
	_, path := oauth.AsVisited(l.redirect)
	return strings.TrimSuffix(path, "/") + "/" + l.start
}

// hasCookie reports whether a request comes from the browser that opened the start page.
func (c *callback) hasCookie(req *http.Request) bool {
	given := req.CookiesNamed(c.cookie.Name)
	return len(given) == 1 && isEqual(given[0].Value, c.cookie.Value)
}

func isEqual(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

func (c *callback) serveStart(w http.ResponseWriter, req *http.Request) {
	switch {
	case !isVisit(req.Header):
		http.Error(w, "This page is opened once, by a browser that shows it.", http.StatusForbidden)
	case !c.admit(w, req):
	case !c.hasCookie(req) && c.opened.Swap(true):
		writePage(w, http.StatusGone, failurePage)
		c.stop(ErrOpenedTwice) // which closes this connection too
	case c.received.Load():
		writePage(w, http.StatusGone, answeredPage)
	default:
		http.SetCookie(w, &c.cookie)
		w.Header().Set("Location", c.login.Launched.URL())
		w.WriteHeader(http.StatusFound)
	}
}

// isVisit rejects requests that prefetch or preview a page, which must not count as the
// visit.
func isVisit(h http.Header) bool {
	for _, name := range []string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"} {
		if h.Get(name) != "" {
			return false
		}
	}
	dest := h.Get("Sec-Fetch-Dest")
	return dest == "" || dest == "document"
}

type answer struct {
	request *oauth.AuthorizationRequest
	query   url.Values
}

func (c *callback) match(query string) (answer, bool) {
	q, err := url.ParseQuery(query)
	if err != nil {
		return answer{}, false
	}
	for _, r := range []*oauth.AuthorizationRequest{c.login.Shown, c.login.Launched} {
		if r != nil && r.MatchState(q) == nil {
			return answer{r, q}, true
		}
	}
	return answer{}, false
}

// admit rejects connections of other users, if the system reports the owner. They do not end the
// login: otherwise other users could stop every login.
func (c *callback) admit(w http.ResponseWriter, req *http.Request) bool {
	err := c.checkPeer(req)
	if err != nil {
		c.refuse(w, http.StatusForbidden, "Refused a connection that tried to take part in this login: "+err.Error()+". If it was your browser, open the URL above in it.")
	}
	return err == nil
}

func (c *callback) refuse(w http.ResponseWriter, status int, why string) {
	c.warnOnce.Do(func() { c.login.Warn(why) })
	http.Error(w, "This is not the browser in which the login began. The terminal says more.", status)
}

// checkPeer checks the owner of a request's connection.
func checkPeer(req *http.Request) error {
	to, ok := req.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	from, err := netip.ParseAddrPort(req.RemoteAddr)
	if !ok || err != nil {
		return errUnknownPeer
	}
	return checkOwner(from, to.AddrPort())
}

var errUnknownPeer = errors.New("its owner is unknown")
