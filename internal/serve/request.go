package serve

import (
	"cmp"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/fobcli/fob/internal/apikey"
)

const headerAuthorization = "Authorization"

// settings are what a reload replaces.
type settings struct {
	routes  []route
	headers []string // may contain a key, as Authorization may
}

// defaultHeaders are the headers besides Authorization that may contain a key.
func defaultHeaders() []string { return []string{"X-API-Key"} }

// CheckHeader returns an error if a header cannot be configured to contain keys.
func CheckHeader(name string) error {
	switch canonical := http.CanonicalHeaderKey(name); {
	case name == "" || strings.ContainsFunc(name, func(c rune) bool { return !isAlphanumeric(c) && c != '-' }):
		return errors.New("a header's name has only letters, digits and hyphens")
	case canonical == headerAuthorization, canonical == "Forwarded", strings.HasPrefix(canonical, "X-Forwarded-"), strings.HasPrefix(canonical, "X-Original-"):
		return errors.New(canonical + " is read for another purpose")
	}
	return nil
}

type requestHeader struct {
	authorization, apiKey []string
	ambiguous             bool // a header name with underscores, which some servers treat as hyphens
	inURL                 bool // a forwarded URL contains a key
}

// readHeader reads the headers in one pass, because it runs for every request.
func (c *settings) readHeader(h http.Header) (s requestHeader) {
	for name, values := range h {
		switch {
		case name == headerAuthorization:
			s.authorization = values
		case slices.Contains(c.headers, name):
			s.ambiguous = s.ambiguous || s.apiKey != nil
			s.apiKey = values
		case name == "X-Forwarded-Uri", name == "X-Original-Uri", name == "X-Original-Url":
			for _, uri := range values {
				s.inURL = s.inURL || inURL(uri)
			}
		case strings.IndexByte(name, '_') >= 0:
			canonical := http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))
			s.ambiguous = s.ambiguous || canonical == headerAuthorization || slices.Contains(c.headers, canonical)
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
	key = strings.TrimLeft(key, " ")
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		return parseKey(key)
	case strings.EqualFold(scheme, "Basic"):
		return parseBasic(key)
	}
	return "", noKey // another scheme, which the service behind may handle
}

// parseBasic returns the user name (RFC 7617). The password is ignored unless it is a second
// key.
func parseBasic(credentials string) (string, outcome) {
	decoded, err := base64.StdEncoding.DecodeString(credentials)
	user, password, found := strings.Cut(string(decoded), ":")
	if err != nil || !found || apikey.LooksLikeKey(password) {
		return "", badRequest
	}
	return parseKey(user)
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

// needOf returns what the request needs, by the rules or by its query.
func (s *Server) needOf(c *settings, r *http.Request) (apikey.Need, outcome) {
	if r.URL.Path == verifyPath { // otherwise it is Envoy, which forwards the client's query
		need, invalid := s.needs.parse(r.URL.RawQuery)
		if invalid != "" {
			s.Log.Warn("invalid query parameter of /verify", "parameter", invalid)
			return need, badQuery
		}
		if len(c.routes) == 0 {
			return need, allowed
		}
	}
	rule, out := s.ruleOf(c, r, "")
	return rule.Need, out
}

// isPreflight reports whether a browser asks whether it may send a request (CORS), and the
// rule of that request allows the question. Browsers send no key with it.
func (s *Server) isPreflight(c *settings, r *http.Request) bool {
	wanted := r.Header["Access-Control-Request-Method"]
	if len(wanted) != 1 || wanted[0] == "" || len(r.Header["Origin"]) != 1 || len(r.Header[headerAuthorization]) > 0 {
		return false
	}
	rule, out := s.ruleOf(c, r, wanted[0])
	return out == allowed && rule.Preflight
}

// ruleOf returns the rule of the request, or that of another method if this one is OPTIONS.
func (s *Server) ruleOf(c *settings, r *http.Request, preflightFor string) (Rule, outcome) {
	if _, isProxy := s.peer(r); !isProxy {
		return Rule{}, noRule
	}
	uri, named := forwarded(r, "X-Forwarded-Uri", "X-Original-Uri", "X-Original-Url")
	method, _ := forwarded(r, "X-Forwarded-Method", "X-Original-Method")
	if r.URL.Path != verifyPath {
		uri, named = strings.CutPrefix(r.RequestURI, verifyPath) // Envoy keeps the original path
		method = r.Method
	}
	if !named || preflightFor != "" && method != http.MethodOptions {
		return Rule{}, noRule
	}
	return c.ruleFor(cmp.Or(preflightFor, method), uri)
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

// parse returns the name of the first invalid parameter, or "".
func (n *needs) parse(query string) (need apikey.Need, invalid string) {
	if query == "" {
		return apikey.Need{}, ""
	}
	n.mu.RLock()
	need, known := n.parsed[query]
	n.mu.RUnlock()
	if known {
		return need, ""
	}
	query = strings.Clone(query)
	if need, invalid = parseNeed(query); invalid != "" {
		return need, invalid
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.parsed == nil || len(n.parsed) >= maxNeeds {
		n.parsed = make(map[string]apikey.Need)
	}
	n.parsed[query] = need
	return need, ""
}

// parseNeed parses ?env=live&scope=orders:read&scope=…; one scope parameter may list
// several, separated by spaces. It rejects other parameters, and returns the name of one.
func parseNeed(query string) (need apikey.Need, invalid string) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return need, "(malformed)"
	}
	for name, list := range values {
		valid := name == "env" && len(list) == 1 && apikey.CheckEnvironment(list[0]) == nil
		if valid {
			need.Environment = list[0]
		}
		if name == "scope" {
			scopes := strings.Fields(strings.Join(list, " "))
			need.Scopes, valid = scopes, !slices.ContainsFunc(scopes, func(scope string) bool { return apikey.CheckScope(scope) != nil })
		}
		switch {
		case valid:
		case len(name) >= apikey.MinLength: // might be a key
			return need, "(long)"
		default:
			return need, cmp.Or(name, "(empty)")
		}
	}
	return need, ""
}
