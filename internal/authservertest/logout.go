package authservertest

import (
	"net/http"
	"slices"
)

// serveEndSession asks, as a server does that a client sends its user to
// (OpenID Connect RP-Initiated Logout §2).
func (s *Server) serveEndSession(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if problem := s.checkEndSession(q.Get("id_token_hint"), q.Get("client_id")); problem != "" {
		http.Error(w, "This request is wrong: "+problem, http.StatusBadRequest)
		return
	}
	page{Title: "Sign out?", Text: "You are signed in as Ada Lovelace.", Query: q, Yes: "Sign out", No: "Stay"}.show(w)
}

func (s *Server) checkEndSession(hint, clientID string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if hint != "" && !slices.Contains(s.issued, hint) {
		return "an id_token_hint of somebody else's"
	}
	if _, known := s.clients[clientID]; clientID != "" && !known {
		return "unknown client"
	}
	return ""
}

func (s *Server) serveSignOut(w http.ResponseWriter, r *http.Request) {
	if r.PostFormValue("answer") != "yes" {
		page{Title: "You are still signed in", Text: "You can close this page."}.show(w)
		return
	}
	s.count("signed-out")
	page{Title: "You are signed out", Text: "You can close this page."}.show(w)
}
