package authservertest

import (
	"io"
	"net/http"
	"net/url"
	"strings"
)

// mixUp is an attack on another server (RFC 9700 §4.4): browsers are sent on there,
// and what comes back from there to this server's token endpoint is redeemed there.
type mixUp struct {
	honest   *Server
	clientID string // the victim's client there
	forms    []url.Values
	stolen   []string // what the honest server has answered
}

// MixUp makes this server attack another one, at which its victims have a client.
func (s *Server) MixUp(honest *Server, clientID string) {
	s.mixUp.Store(&mixUp{honest: honest, clientID: clientID})
}

// Stolen lists what the attack has brought: the requests to the token endpoint, and
// what the honest server has answered to them.
func (s *Server) Stolen() (forms []url.Values, answers []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.mixUp.Load()
	return m.forms, m.stolen
}

// forwardBrowser redirects the browser to the honest server, with all parameters of the
// victim's request but the client.
func (s *Server) forwardBrowser(w http.ResponseWriter, r *http.Request) bool {
	m := s.mixUp.Load()
	if m == nil {
		return false
	}
	q := r.URL.Query()
	q.Set("client_id", m.clientID)
	http.Redirect(w, r, m.honest.Issuer()+"/authorize?"+q.Encode(), http.StatusSeeOther)
	return true
}

// redeemStolenCode sends a stolen code and its verifier to the honest server.
func (s *Server) redeemStolenCode(w http.ResponseWriter, r *http.Request) bool {
	m := s.mixUp.Load()
	if m == nil || r.ParseForm() != nil {
		return false
	}
	form := r.PostForm
	form.Set("client_id", m.clientID)
	req, err := http.NewRequestWithContext(r.Context(), http.MethodPost, m.honest.Issuer()+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		return false
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := m.honest.http.Client().Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	s.mu.Lock()
	m.forms, m.stolen = append(m.forms, form), append(m.stolen, string(answer))
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(resp.StatusCode)
	_, _ = w.Write(answer)
	return true
}
