package serve

import (
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/fobcli/fob/internal/apikey"
)

const (
	headerAuthorization = "Authorization"
	headerAPIKey        = "X-Api-Key"
)

type requestHeader struct {
	authorization, apiKey []string
	ambiguous             bool // a header name with underscores, which some servers treat as hyphens
	inURL                 bool // a forwarded URL contains a key
}

// readHeader reads the headers in one pass, because it runs for every request.
func readHeader(h http.Header) (s requestHeader) {
	for name, values := range h {
		switch name {
		case headerAuthorization:
			s.authorization = values
		case headerAPIKey:
			s.apiKey = values
		case "X-Forwarded-Uri", "X-Original-Uri", "X-Original-Url":
			for _, uri := range values {
				s.inURL = s.inURL || inURL(uri)
			}
		default:
			if strings.IndexByte(name, '_') < 0 {
				continue
			}
			switch http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-")) {
			case headerAuthorization, headerAPIKey:
				s.ambiguous = true
			}
		}
	}
	return s
}

// key returns the request's only key. It rejects what a proxy and a service might interpret
// differently: two headers, two keys in one header, a name with underscores.
func (s *requestHeader) key() (string, outcome) {
	switch {
	case s.ambiguous, len(s.authorization)+len(s.apiKey) > 1:
		return "", badRequest
	case len(s.authorization)+len(s.apiKey) == 0:
		return "", noKey
	case len(s.apiKey) == 1:
		return parseKey(s.apiKey[0])
	}
	scheme, key, _ := strings.Cut(s.authorization[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", noKey // another scheme, which the service behind may handle
	}
	return parseKey(strings.TrimLeft(key, " "))
}

func parseKey(key string) (string, outcome) {
	if key == "" || strings.IndexByte(key, ',') >= 0 || strings.IndexByte(key, ' ') >= 0 || strings.IndexByte(key, '\t') >= 0 {
		return "", badRequest
	}
	return key, allowed
}

// inURL reports whether a URL contains a key, which servers would log.
func inURL(uri string) bool {
	if apikey.LooksLikeKey(uri) {
		return true
	}
	decoded, err := url.QueryUnescape(uri)
	return err == nil && apikey.LooksLikeKey(decoded)
}

// peer returns the address of the connected client, and whether it may set forwarded
// headers. Clients of a unix socket have no address and are trusted.
func (s *Server) peer(r *http.Request) (address netip.Addr, isProxy bool) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return peer.Addr(), err != nil || s.trusts(peer.Addr())
}

func (s *Server) trusts(address netip.Addr) bool {
	return slices.ContainsFunc(s.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(address.Unmap()) })
}

// client returns the address that failed attempts are counted for: the peer's, or the one a
// trusted proxy reports. X-Forwarded-For is read from its end, because each trusted proxy
// appends the address it saw, and everything before the first untrusted address may be
// forged.
func (s *Server) client(r *http.Request) netip.Addr {
	peer, isProxy := s.peer(r)
	if !isProxy {
		return peer
	}
	hops := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		address, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			return peer
		}
		if peer = address; !s.trusts(address) {
			return address
		}
	}
	return peer
}

// needOf returns what the request needs, by the rules or by its query.
func (s *Server) needOf(r *http.Request) (apikey.Need, outcome) {
	isEnvoy := r.URL.Path != verifyPath
	switch {
	case len(s.Rules) == 0 && isEnvoy: // Envoy forwards the client's query
		return apikey.Need{}, noRule
	case len(s.Rules) == 0:
		return s.needs.parse(r.URL.RawQuery)
	}
	if _, isProxy := s.peer(r); !isProxy {
		return apikey.Need{}, noRule
	}
	uri, named := forwarded(r, "X-Forwarded-Uri", "X-Original-Uri", "X-Original-Url")
	method, _ := forwarded(r, "X-Forwarded-Method", "X-Original-Method")
	if isEnvoy {
		uri, named = strings.CutPrefix(r.RequestURI, verifyPath) // Envoy keeps the original path
		method = r.Method
	}
	if !named {
		return apikey.Need{}, noRule
	}
	return s.needOfRoute(method, uri)
}

// forwarded returns the common value of headers, and whether any is set. It returns "" if
// they differ, as when the client sent one that the proxy does not set.
func forwarded(r *http.Request, names ...string) (value string, found bool) {
	for _, name := range names {
		for _, v := range r.Header[name] {
			if found && v != value {
				return "", true
			}
			value, found = v, true
		}
	}
	return value, found
}

// needs caches parsed queries: a proxy sends the same few again and again.
type needs struct {
	mu     sync.RWMutex
	parsed map[string]apikey.Need
}

const maxNeeds = 1000

func (n *needs) parse(query string) (apikey.Need, outcome) {
	if query == "" {
		return apikey.Need{}, allowed
	}
	n.mu.RLock()
	need, known := n.parsed[query]
	n.mu.RUnlock()
	if known {
		return need, allowed
	}
	need, ok := parseNeed(query)
	if !ok {
		return need, noRule
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.parsed == nil || len(n.parsed) >= maxNeeds {
		n.parsed = make(map[string]apikey.Need)
	}
	n.parsed[strings.Clone(query)] = need
	return need, allowed
}

// parseNeed parses ?env=live&scope=orders:read&scope=…; one scope parameter may list
// several, separated by spaces. It rejects other parameters.
func parseNeed(query string) (apikey.Need, bool) {
	var need apikey.Need
	values, err := url.ParseQuery(query)
	if err != nil {
		return need, false
	}
	for name, list := range values {
		switch name {
		case "env":
			if len(list) != 1 || apikey.CheckEnvironment(list[0]) != nil {
				return need, false
			}
			need.Environment = strings.Clone(list[0])
		case "scope":
			for _, scope := range strings.Fields(strings.Join(list, " ")) {
				if apikey.CheckScope(scope) != nil {
					return need, false
				}
				need.Scopes = append(need.Scopes, strings.Clone(scope))
			}
		default:
			return need, false
		}
	}
	return need, true
}
