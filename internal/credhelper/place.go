// Package credhelper implements the protocols in which git, docker, kubectl and aws request
// credentials. It parses requests and formats responses; the caller provides the
// credential.
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

// ErrInput is input that violates the protocol.
var ErrInput = errors.New("invalid input")

// maxInput bounds a program's input; more is ErrInput.
const maxInput = 64 << 10

// Place is where a credential may be sent: scheme, host and port, which must match exactly,
// and optionally a path prefix. The zero value matches nothing.
type Place struct {
	scheme string
	host   string // in lower case, always with its port
	path   string // without slashes at its ends; empty: the whole host
}

// NewPlace returns the place that a program names, or the zero Place if it is ambiguous or
// its path leads outside of itself.
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

// ParsePlace parses a place in a configuration: https://git.example.com:8443, or
// https://git.example.com/team.
func ParsePlace(text string) (Place, error) {
	scheme, rest, _ := strings.Cut(text, "://")
	host, path, _ := strings.Cut(rest, "/")
	p := NewPlace(scheme, host, path)
	if p == (Place{}) || p.path != strings.Trim(path, "/") {
		return Place{}, fmt.Errorf("%q is not the URL of a host: write https://HOST, optionally with a port and a path", sanitize.Line(text))
	}
	return p, nil
}

// cutPort splits host and port, keeping the brackets of an IPv6 address.
func cutPort(host string) (name, port string, found bool) {
	colon := strings.LastIndexByte(host, ':')
	if colon < 0 || strings.HasSuffix(host, "]") {
		return host, "", false
	}
	return host[:colon], host[colon+1:], true
}

const maxHost = 253 // maximum of a DNS name

// hostName normalizes a host for comparison, or returns "" for an invalid one. A trailing
// dot, a user name, an escape or a letter outside ASCII makes it another host, or invalid.
func hostName(name string) string {
	if bracketed, ok := strings.CutPrefix(name, "["); ok {
		address, err := netip.ParseAddr(strings.TrimSuffix(bracketed, "]"))
		if err != nil || !address.Is6() || address.Zone() != "" || !strings.HasSuffix(name, "]") {
			return ""
		}
		return "[" + address.String() + "]"
	}
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
	if len(name) > maxHost || strings.Trim(name, letters) != "" || slices.Contains(strings.Split(name, "."), "") {
		return ""
	}
	return strings.ToLower(name)
}

// cleanPath normalizes a path, or returns "" if a client or server could read it as another
// one.
func cleanPath(path string) string {
	path = strings.Trim(path, "/")
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" || segment == "." || segment == ".." || strings.ContainsAny(segment, "\\%?#") {
			return ""
		}
	}
	return path
}

// covers reports whether a credential for p may be used at asked.
func (p Place) covers(asked Place) bool {
	return p != Place{} && p.scheme == asked.scheme && p.host == asked.host &&
		(p.path == "" || p.path == asked.path || strings.HasPrefix(asked.path, p.path+"/"))
}

// String returns the place in the format of ParsePlace, without the default port.
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

// IsPart reports whether the place is only part of its host.
func (p Place) IsPart() bool { return p.path != "" }

// Rule is the profile for a place.
type Rule struct {
	Place    Place
	Profile  string
	Username string // of the profile at the place
}

// Choose returns the rules that apply at a place: those with the longest path, and among
// several profiles those of the given user. If more than one profile is left, the caller
// must refuse.
func Choose(rules []Rule, asked Place, username string) []Rule {
	found := slices.DeleteFunc(slices.Clone(rules), func(r Rule) bool { return !r.Place.covers(asked) })
	longest := 0
	for _, r := range found {
		longest = max(longest, len(r.Place.path))
	}
	found = slices.DeleteFunc(found, func(r Rule) bool { return len(r.Place.path) < longest })
	named := slices.DeleteFunc(slices.Clone(found), func(r Rule) bool { return username == "" || r.Username != username })
	if len(found) > 1 && len(named) > 0 {
		return named
	}
	return found
}
