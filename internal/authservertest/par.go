package authservertest

import (
	"maps"
	"net/http"
	"net/url"
	"time"
)

const requestURIPrefix = "urn:ietf:params:oauth:request_uri:"

// pushed is an authorization request that waits for its browser.
type pushed struct {
	query   url.Values
	expires time.Time
	used    bool
}

func parFaults() map[string]fault {
	return map[string]fault{
		"par-refused":             {endpoint: "par", answer: errorAnswer("invalid_request")},
		"par-unauthorized-client": {endpoint: "par", answer: errorAnswer("unauthorized_client")},
		"par-request-uri-script":  {endpoint: "par", change: setField("request_uri", "urn:x\r\nX-Evil: 1&redirect_uri=https://evil.example/<script>")},
		"par-no-request-uri":      {endpoint: "par", change: dropField("request_uri")},
	}
}

// servePAR takes an authorization request before the browser opens (RFC 9126 §2).
func (s *Server) servePAR(w http.ResponseWriter, r *http.Request) {
	client, ok := s.clientOf(w, r, "resource")
	if !ok {
		return
	}
	q := maps.Clone(r.PostForm)
	for _, name := range []string{"client_secret", "client_assertion", "client_assertion_type"} {
		q.Del(name)
	}
	q.Set("client_id", client.ID)
	if q.Has("request_uri") {
		writeError(w, http.StatusBadRequest, "invalid_request", "a request_uri cannot be pushed")
		return
	}
	if refused(w, "invalid_request", s.checkAuthorization(q)) || refused(w, "invalid_target", s.checkResources(q["resource"])) || !s.bindPushed(w, r, q) {
		return
	}
	s.mu.Lock()
	requestURI := requestURIPrefix + s.newSecret("request")
	s.pushed[requestURI] = &pushed{query: q, expires: time.Now().Add(time.Minute)}
	s.mu.Unlock()
	s.answerStatus(w, http.StatusCreated, "par", map[string]any{"request_uri": requestURI, "expires_in": 60})
}

// bindPushed binds the code to the key of the request's proof, where it has one
// (RFC 9449 §10.1); else it has answered.
func (s *Server) bindPushed(w http.ResponseWriter, r *http.Request, q url.Values) bool {
	if len(r.Header.Values("DPoP")) == 0 {
		return true
	}
	jkt, name, problem := s.checkProof(w, r, "")
	if problem == "" && q.Has("dpop_jkt") && q.Get("dpop_jkt") != jkt {
		name, problem = "invalid_dpop_proof", "dpop_jkt is of another key"
	}
	if refused(w, name, problem) {
		return false
	}
	q.Set("dpop_jkt", jkt)
	return true
}

// pushedFor finds the request that an authorization URL stands for.
func (s *Server) pushedFor(q url.Values) (url.Values, string) {
	if problem := repeatedParam(q); problem != "" {
		return nil, problem
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p, known := s.pushed[q.Get("request_uri")]
	switch {
	case len(q) != 2 || !q.Has("client_id"):
		return nil, "a pushed request has no parameters beside client_id and request_uri"
	case !known || p.query.Get("client_id") != q.Get("client_id"):
		return nil, "unknown request_uri"
	case p.used:
		return nil, "the request was used before"
	case time.Now().After(p.expires):
		return nil, "the request has expired"
	}
	return p.query, ""
}

// useRequestURI uses a pushed request up, once it is answered: a page may be loaded again.
func (s *Server) useRequestURI(form url.Values) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, known := s.pushed[form.Get("request_uri")]
	if !known {
		return true
	}
	fresh := !p.used
	p.used = true
	return fresh
}
