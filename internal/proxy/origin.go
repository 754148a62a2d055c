package proxy

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"unicode"
)

// Origin is a scheme, a host and, unless it is the scheme's own, a port (RFC 6454 §4).
type Origin struct{ Scheme, Host string }

// ErrOrigin is a text that is not a host to which a credential may be sent.
var ErrOrigin = errors.New("use HOST or HOST:PORT for https; http:// is only for loopback addresses")

// ParseOrigin parses HOST, HOST:PORT or a URL of only that. The default scheme is https.
func ParseOrigin(text string) (Origin, error) {
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "" {
		return Origin{}, ErrOrigin
	}
	address, err := netip.ParseAddr(u.Hostname())
	isLoopback := err == nil && address.IsLoopback() || u.Hostname() == "localhost"
	if u.Scheme != "https" && (u.Scheme != "http" || !isLoopback) {
		return Origin{}, ErrOrigin
	}
	host := authority(u)
	for i := range len(host) {
		if c := host[i]; c <= ' ' || c > '~' || strings.IndexByte(`%*_\`, c) >= 0 {
			return Origin{}, ErrOrigin
		}
	}
	if strings.HasSuffix(u.Hostname(), ".") {
		return Origin{}, ErrOrigin
	}
	return Origin{u.Scheme, host}, nil
}

// authority returns a URL's host in lower case, with its port unless that is the default of
// http or https: a client of a proxy writes http for both.
func authority(u *url.URL) string {
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if port != "" && port != "443" && port != "80" {
		return net.JoinHostPort(host, port)
	}
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

// Exceptions removes from a list of hosts without proxy (NO_PROXY) everything that might
// match an allowed host: a program would connect to that directly, even unencrypted where
// https is required. Programs interpret such lists in different ways, so any possible match
// counts.
func Exceptions(list string, allow []Origin) string {
	entries := strings.FieldsFunc(list, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })
	return strings.Join(slices.DeleteFunc(entries, func(entry string) bool {
		return slices.ContainsFunc(allow, func(o Origin) bool { return mayMatch(entry, o) })
	}), ",")
}

func mayMatch(entry string, o Origin) bool {
	host := hostOf(o.Host)
	if prefix, err := netip.ParsePrefix(entry); err == nil {
		address, err := netip.ParseAddr(host)
		return err == nil && prefix.Contains(address)
	}
	return strings.HasSuffix(host, strings.TrimLeft(hostOf(strings.ToLower(entry)), "*."))
}

func hostOf(authority string) string {
	if host, _, err := net.SplitHostPort(authority); err == nil {
		return host
	}
	return strings.Trim(authority, "[]")
}
