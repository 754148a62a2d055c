package authservertest

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

func resourceFaults() map[string]fault {
	of := func(change func(map[string]any)) fault { return fault{endpoint: "resource-metadata", change: change} }
	return map[string]fault{
		"resource-metadata-other":      of(setField("resource", "https://evil.example/api")),
		"resource-metadata-no-servers": of(dropField("authorization_servers")),
		"resource-metadata-javascript": of(setField("authorization_servers", []string{"javascript:alert(1)"})),
		"resource-metadata-escape":     of(setField("authorization_servers", []string{"https://x/\x1b[31m\u202e\n"})),
		"resource-metadata-404":        {endpoint: "resource-metadata", answer: statusAnswer(404)},
	}
}

// checkResources names what is wrong with the resources that a request is for
// (RFC 8707 §2).
func (s *Server) checkResources(resources []string) string {
	for _, resource := range resources {
		u, err := url.Parse(resource)
		switch {
		case err != nil || !u.IsAbs() || u.Host == "":
			return "a resource is no absolute URI"
		case strings.Contains(resource, "#"):
			return "a resource has a fragment"
		case !s.knowsResource(resource):
			return "unknown resource"
		}
	}
	return ""
}

// knowsResource reports whether a resource exists: the issuer's own API,
// https://api.example.com, or anything below these.
func (s *Server) knowsResource(resource string) bool {
	for _, root := range []string{s.Issuer() + "/api", "https://api.example.com"} {
		if resource == root || strings.HasPrefix(resource, root+"/") {
			return true
		}
	}
	return false
}

// narrowResources returns the requested resources, or all granted ones if none is requested,
// and whether all of them are granted.
func narrowResources(granted, asked []string) (list []string, within bool) {
	if len(asked) == 0 {
		return granted, true
	}
	return asked, !slices.ContainsFunc(asked, func(one string) bool { return !slices.Contains(granted, one) })
}

// serveAPI is a protected resource.
func (s *Server) serveAPI(w http.ResponseWriter, r *http.Request) {
	metadata := s.http.URL + "/.well-known/oauth-protected-resource" + r.URL.Path
	t, ok := s.tokenOf(w, r, fmt.Sprintf(`resource_metadata=%q`, metadata))
	if ok {
		s.answer(w, "resource", map[string]any{"audience": t.audience, "scope": t.scope, "sub": t.family.subject})
	}
}

// tokenOf is the access token of a request to a resource; else it has answered
// (RFC 6750 §3, RFC 9449 §7.1, RFC 8705 §3).
func (s *Server) tokenOf(w http.ResponseWriter, r *http.Request, parameters string) (accessToken, bool) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	s.mu.Lock()
	t, known := s.access[token]
	if !known {
		t = &accessToken{family: &family{}}
	}
	copied := *t
	s.mu.Unlock()
	challenge, name, problem := "Bearer", "invalid_token", ""
	if s.opts.DPoPRequired || copied.jkt != "" || strings.EqualFold(scheme, "DPoP") {
		challenge = "DPoP"
	}
	switch {
	case r.Header.Get("Authorization") == "":
		name, problem = "", "no token" // RFC 6750 §3.1: no error where nothing came
	case !known || !s.Introspect(token):
		problem = "the token is not active"
	case !strings.EqualFold(scheme, challenge) || challenge == "DPoP" && copied.jkt == "":
		problem = "the token is of another type"
	case challenge == "DPoP":
		var jkt string
		if jkt, name, problem = s.checkProof(w, r, token); problem == "" && jkt != copied.jkt {
			name, problem = "invalid_token", "the proof is of another key"
		}
	case copied.certificate != "" && !presentsCertificate(r.TLS, copied.certificate):
		problem = "the token is bound to another certificate"
	}
	if problem == "" && parameters != "" && !slices.ContainsFunc(copied.audience, func(one string) bool { return strings.HasPrefix(s.http.URL+r.URL.Path+"/", one+"/") }) {
		problem = "the token is for somebody else"
	}
	if problem == "" {
		return copied, true
	}
	w.Header().Set("WWW-Authenticate", challengeHeader(challenge, name, parameters))
	http.Error(w, problem, http.StatusUnauthorized)
	return accessToken{}, false
}

func challengeHeader(scheme, name, parameters string) string {
	var list []string
	if name != "" {
		list = append(list, fmt.Sprintf("error=%q", name))
	}
	if scheme == "DPoP" {
		list = append(list, `algs="ES256 EdDSA RS256"`)
	}
	if parameters != "" {
		list = append(list, parameters)
	}
	return strings.TrimSpace(scheme + " " + strings.Join(list, ", "))
}

// serveResourceMetadata is RFC 9728 §3.
func (s *Server) serveResourceMetadata(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/.well-known/oauth-protected-resource")
	m := map[string]any{
		"resource":                                   s.http.URL + path,
		"authorization_servers":                      []string{s.Issuer()},
		"scopes_supported":                           []string{"openid", "offline_access", "reports:read"},
		"bearer_methods_supported":                   []string{"header"},
		"dpop_signing_alg_values_supported":          proofAlgorithms,
		"dpop_bound_access_tokens_required":          s.opts.DPoPRequired,
		"tls_client_certificate_bound_access_tokens": s.opts.TLS,
	}
	s.answer(w, "resource-metadata", m)
}
