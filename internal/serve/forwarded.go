package serve

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// peer returns the address of the connected client, and whether it may set forwarded
// headers. Clients of a unix socket have no address and are trusted.
func (s *Server) peer(r *http.Request) (address netip.Addr, isProxy bool) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return peer.Addr(), err != nil || s.trusts(peer.Addr())
}

func (s *Server) trusts(address netip.Addr) bool {
	return slices.ContainsFunc(s.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(address.Unmap()) })
}

// client returns the address that failed attempts are counted for: the peer's, or the one
// that a trusted proxy reports. If both headers are present and differ, it is the proxy's: a
// proxy that sets one of them may forward the client's other one.
func (s *Server) client(r *http.Request) netip.Addr {
	peer, isProxy := s.peer(r)
	if !isProxy {
		return peer
	}
	xForwardedFor, forwarded := r.Header["X-Forwarded-For"], r.Header["Forwarded"]
	client, other := s.lastUntrusted(peer, xForwardedFor, splitCommas), s.lastUntrusted(peer, forwarded, splitForwarded)
	switch {
	case len(forwarded) == 0, client == other:
		return client
	case len(xForwardedFor) == 0:
		return other
	}
	return peer
}

// lastUntrusted reads a header from its end, because each trusted proxy appends the address
// it saw, and everything before the first untrusted address may be forged.
func (s *Server) lastUntrusted(peer netip.Addr, lines []string, split func(string) []string) netip.Addr {
	for _, line := range slices.Backward(lines) {
		for _, node := range slices.Backward(split(line)) {
			address, ok := parseNode(node)
			if !ok {
				return peer
			}
			if peer = address; !s.trusts(address) {
				return address
			}
		}
	}
	return peer
}

// splitCommas splits a line of X-Forwarded-For. Quotes do not protect a comma: a client could
// open one in front of what the proxy appends.
func splitCommas(line string) []string { return strings.Split(line, ",") }

// splitForwarded returns the for parameters of a line of Forwarded (RFC 7239). For a malformed
// line it returns one that is not an address: which part is malformed may be the client's choice.
func splitForwarded(line string) (nodes []string) {
	malformed := []string{""}
	node := ""
	for {
		name, rest, _ := strings.Cut(line, "=")
		value, rest, ok := cutValue(rest)
		if name = strings.Trim(name, " \t"); !ok || strings.ContainsFunc(name, func(c rune) bool { return !isAlphanumeric(c) && c != '-' }) {
			return malformed
		}
		if strings.EqualFold(name, "for") {
			if node != "" {
				return malformed
			}
			node = value
		}
		if rest == "" || rest[0] == ',' {
			nodes, node = append(nodes, node), ""
		}
		switch {
		case rest == "":
			return nodes
		case rest[0] != ',' && rest[0] != ';':
			return malformed
		}
		line = rest[1:]
	}
}

// cutValue returns the token or quoted string that a text begins with, and what follows it. An
// IPv6 address is accepted without quotes.
func cutValue(text string) (value, rest string, ok bool) {
	if !strings.HasPrefix(text, `"`) {
		end := strings.IndexAny(text+";", ";, \t")
		value, rest = text[:end], text[end:]
		return value, strings.TrimLeft(rest, " \t"), value != "" && !strings.ContainsAny(value, `"\`)
	}
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			return "", "", false // no address needs one
		case '"':
			return text[1:i], strings.TrimLeft(text[i+1:], " \t"), true
		}
	}
	return "", "", false
}

// parseNode parses an address with an optional port, which may be obfuscated. It rejects
// "unknown" and obfuscated addresses: a proxy may use another one for each request.
func parseNode(node string) (netip.Addr, bool) {
	node = strings.Trim(node, " \t\"")
	host, port, err := net.SplitHostPort(node)
	if err != nil {
		host, port = node, "0"
		if n := len(node); n >= 2 && node[0] == '[' && node[n-1] == ']' {
			host = node[1 : n-1]
		}
	}
	address, err := netip.ParseAddr(host)
	return address.WithZone("").Unmap(), err == nil && port != ""
}
