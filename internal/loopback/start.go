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

// The arguments of the program that opens the browser can be read by every user of
// many systems. They hold the start page's URL and nothing else of the login. The
// page sends its first visitor on to the server, with a cookie that the callback must
// return, and ends the login when a second visitor comes. By itself that leaves the
// login to whoever is faster, so that each system adds what it has:
//
//   - Linux: both connections must belong to this user (peer_linux.go).
//   - WSL: Windows browsers come through a relay, as root or without an owner. Both are
//     accepted there: a user who can start Windows programs is root of the distribution
//     by 'wsl.exe -u root', and other Windows users do not see its processes.
//   - macOS: ps shows all arguments, so that the URL is not among them: osascript reads
//     it from stdin and hands it over in an Apple event. With $BROWSER it is an argument,
//     and the faster visitor is a risk that remains.
//   - Windows: there is no launcher, and a process's command line can be read only by
//     its own user and administrators.
//
// A private file in place of the page would need none of this, but browsers from snap
// and flatpak cannot read one.

// ErrOpenedTwice means that two visitors have opened a login's start page: one of them
// has read its URL from the launcher's arguments.
var ErrOpenedTwice = errors.New("the login page was opened twice, by the browser and by something else")

// startCookie is sent below the callback's path, where the start page is too. Cookies
// know no port, so that the name holds it: logins may run side by side. Lax: the way back
// is a navigation that another site begins. Not Secure: browsers differ on whether http
// on loopback is.
func startCookie(port, path string) http.Cookie {
	return http.Cookie{Name: "fob-login-" + port, Value: rand.Text(), Path: path, HttpOnly: true, SameSite: http.SameSiteLaxMode}
}

// StartURL is what the launched browser opens.
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
	case c.taken.Load():
		writePage(w, http.StatusGone, answeredPage)
	default:
		http.SetCookie(w, &c.cookie)
		w.Header().Set("Location", c.login.Launched.URL())
		w.WriteHeader(http.StatusFound)
	}
}

// isVisit turns away what fetches a page before, or without, showing it: that must
// not use it up.
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

// admit refuses the connections of other users, as far as the system tells. They end
// nothing: a user who can be told apart could else stop every login.
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

// checkPeer asks the system whose connection a request came by.
func checkPeer(req *http.Request) error {
	to, ok := req.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	from, err := netip.ParseAddrPort(req.RemoteAddr)
	if !ok || err != nil {
		return errUnknownPeer
	}
	return checkOwner(from, to.AddrPort())
}

var errUnknownPeer = errors.New("its owner is unknown")
