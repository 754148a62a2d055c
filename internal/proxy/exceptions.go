package proxy

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"unicode"
)

// Exceptions is a list of hosts that need no proxy (NO_PROXY) without what may stand for
// one that is allowed: a program would ask that by itself, in plain text where https is
// meant. Programs read such lists in many ways, and what one of them could match is out.
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
