// Package credhelper speaks the protocols in which other programs ask for credentials:
// git's, docker's, kubectl's and aws's. It reads what is asked and writes the answer;
// where the credential comes from is told to it.
package credhelper

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/fobcli/fob/internal/sanitize"
)

// ErrInput is what no program sends that speaks the protocol. Nothing is answered.
var ErrInput = errors.New("the input is not understood")

// maxInput bounds what is read of a program; more is ErrInput.
const maxInput = 64 << 10

// Place is where a credential may be shown: a scheme, a host and a port, which are
// compared exactly, and maybe a path that all else lies below. The zero value is none.
type Place struct {
	scheme string
	host   string // in lower case, always with its port
	path   string // without a slash at its ends; empty: the whole host
}

// NewPlace is the place that a program names. One that could be read in two ways is
// the zero Place, and a path that leads out of itself is no path.
func NewPlace(scheme, host, path string) Place {
	port := map[string]string{"https": "443", "http": "80"}[scheme]
	if port == "" {
		return Place{}
	}
	name, given, numbered := cutPort(host)
	if numbered {
		port = given
	}
	if number, err := strconv.ParseUint(port, 10, 16); err != nil || number == 0 || strconv.FormatUint(number, 10) != port {
		return Place{}
	}
	if name = hostName(name); name == "" {
		return Place{}
	}
	return Place{scheme, name + ":" + port, cleanPath(path)}
}

// ParsePlace reads a place as a configuration names it: https://git.example.com:8443,
// or https://git.example.com/team.
func ParsePlace(text string) (Place, error) {
	scheme, rest, _ := strings.Cut(text, "://")
	host, path, _ := strings.Cut(rest, "/")
	p := NewPlace(scheme, host, path)
	if p == (Place{}) || p.path != strings.Trim(path, "/") {
		return Place{}, fmt.Errorf("%q is not the URL of a host: write https://HOST, maybe with a port and a path", sanitize.Line(text))
	}
	return p, nil
}

// cutPort takes host and port apart; the brackets of an IPv6 address stay.
func cutPort(host string) (name, port string, found bool) {
	colon := strings.LastIndexByte(host, ':')
	if colon < 0 || strings.HasSuffix(host, "]") {
		return host, "", false
	}
	return host[:colon], host[colon+1:], true
}

const maxHost = 253 // characters of a name in DNS

// hostName is a host in the one way in which it is compared, or "". A trailing dot, a
// user name, an escape and every letter outside ASCII make another host, or none.
func hostName(name string) string {
	if bracketed, ok := strings.CutPrefix(name, "["); ok {
		address, err := netip.ParseAddr(strings.TrimSuffix(bracketed, "]"))
		if err != nil || !address.Is6() || address.Zone() != "" || !strings.HasSuffix(name, "]") {
			return ""
		}
		return "[" + address.String() + "]"
	}
	if len(name) > maxHost {
		return ""
	}
	lower := []byte(name)
	for i, c := range lower {
		switch {
		case 'A' <= c && c <= 'Z':
			lower[i] = c + 'a' - 'A'
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		default:
			return ""
		}
	}
	for label := range strings.SplitSeq(string(lower), ".") {
		if label == "" {
			return ""
		}
	}
	return string(lower)
}

// cleanPath is "" for a path that a client or server would take for another one.
func cleanPath(path string) string {
	path = strings.Trim(path, "/")
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" || segment == "." || segment == ".." || strings.ContainsAny(segment, "\\%?#") {
			return ""
		}
	}
	return path
}

// covers reports whether a credential for p may be shown at asked.
func (p Place) covers(asked Place) bool {
	return p != Place{} && p.scheme == asked.scheme && p.host == asked.host &&
		(p.path == "" || p.path == asked.path || strings.HasPrefix(asked.path, p.path+"/"))
}

// String is the place as ParsePlace reads it, without the port that goes without saying.
func (p Place) String() string {
	if p == (Place{}) {
		return "no host"
	}
	host := strings.TrimSuffix(p.host, map[string]string{"https": ":443", "http": ":80"}[p.scheme])
	if p.path != "" {
		host += "/" + p.path
	}
	return p.scheme + "://" + host
}

// IsPart reports whether the place is a part of its host.
func (p Place) IsPart() bool { return p.path != "" }

// Rule says whose credential may be shown at a place.
type Rule struct {
	Place    Place
	Profile  string
	Username string // that the place knows the profile by
}

// Choose finds the rules that hold at a place: those of the longest path, and of
// several profiles those of the user who is named. More than one profile is for the
// caller to refuse.
func Choose(rules []Rule, asked Place, username string) []Rule {
	var found []Rule
	for _, r := range rules {
		switch {
		case !r.Place.covers(asked):
		case len(found) > 0 && len(r.Place.path) < len(found[0].Place.path):
		case len(found) > 0 && len(r.Place.path) == len(found[0].Place.path):
			found = append(found, r)
		default:
			found = []Rule{r}
		}
	}
	named := slices.DeleteFunc(slices.Clone(found), func(r Rule) bool { return username == "" || r.Username != username })
	if len(found) > 1 && len(named) > 0 {
		return named
	}
	return found
}
