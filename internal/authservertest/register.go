package authservertest

import (
	"encoding/json"
	"io"
	"maps"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

func registrationFaults() map[string]fault {
	return map[string]fault{
		"register-refused":          {endpoint: "register", answer: errorAnswer("invalid_redirect_uri")},
		"register-client-id-escape": {endpoint: "register", change: setField("client_id", "fob\x1b[31m\nerror: all is well")},
		"register-no-client-id":     {endpoint: "register", change: dropField("client_id")},
		"register-uri-elsewhere":    {endpoint: "register", change: setField("registration_client_uri", "http://evil.example/register/1")},
		"forget-clients":            {forget: true},
		"unregister-500":            {endpoint: "unregister", answer: statusAnswer(500)},
	}
}

// registration is what a client says of itself (RFC 7591 §2).
type registration struct {
	RedirectURIs    []string `json:"redirect_uris"`
	AuthMethod      string   `json:"token_endpoint_auth_method"`
	GrantTypes      []string `json:"grant_types"`
	ResponseTypes   []string `json:"response_types"`
	ApplicationType string   `json:"application_type"`
	DPoP            bool     `json:"dpop_bound_access_tokens"`
}

// serveRegister registers a native application (RFC 7591 §3).
func (s *Server) serveRegister(w http.ResponseWriter, r *http.Request) {
	asked := registration{AuthMethod: "client_secret_basic", GrantTypes: []string{grantCode}, ResponseTypes: []string{"code"}, ApplicationType: "web"}
	metadata := map[string]any{}
	mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	raw, err := io.ReadAll(io.LimitReader(r.Body, 64<<10))
	if err != nil || mediaType != "application/json" || json.Unmarshal(raw, &asked) != nil || json.Unmarshal(raw, &metadata) != nil {
		writeError(w, http.StatusBadRequest, "invalid_client_metadata", "the body is no JSON of client metadata")
		return
	}
	if name, problem := asked.check(); refused(w, name, problem) {
		return
	}
	s.mu.Lock()
	c := Client{
		ID: s.newSecret("client"), AuthMethod: asked.AuthMethod, RedirectURIs: asked.RedirectURIs, Grants: asked.GrantTypes,
		DPoP: asked.DPoP, registration: s.newSecret("registration"),
	}
	s.issued = slices.DeleteFunc(s.issued, func(one string) bool { return one == c.ID }) // is no secret
	if c.AuthMethod == "client_secret_basic" {
		c.Secret = s.newSecret("client-secret")
		metadata["client_secret"], metadata["client_secret_expires_at"] = c.Secret, 0
	}
	s.clients[c.ID] = c
	s.mu.Unlock()
	maps.Copy(metadata, map[string]any{
		"client_id": c.ID, "client_id_issued_at": time.Now().Unix(),
		"token_endpoint_auth_method": asked.AuthMethod, "grant_types": asked.GrantTypes,
		"response_types": asked.ResponseTypes, "application_type": asked.ApplicationType,
		"registration_access_token": c.registration, "registration_client_uri": s.Issuer() + "/register/" + c.ID,
	})
	s.answerStatus(w, http.StatusCreated, "register", metadata)
}

func (a registration) check() (name, problem string) {
	if len(a.RedirectURIs) == 0 && slices.Contains(a.GrantTypes, grantCode) {
		return "invalid_redirect_uri", "no redirect_uris"
	}
	for _, redirect := range a.RedirectURIs {
		u, err := url.Parse(redirect)
		if err != nil || u.Scheme != "http" || u.User != nil || u.RawQuery != "" || strings.Contains(redirect, "#") ||
			u.Hostname() != "localhost" && !net.ParseIP(u.Hostname()).IsLoopback() {
			return "invalid_redirect_uri", "a redirect URI is not http on loopback" // RFC 8252 §7.3
		}
	}
	known := []string{grantCode, grantRefresh, grantDevice}
	_, grants := narrowResources(known, a.GrantTypes)
	switch {
	case a.AuthMethod != "none" && a.AuthMethod != "client_secret_basic":
		problem = "the server gives out no such token_endpoint_auth_method"
	case len(a.GrantTypes) == 0 || !grants:
		problem = "grant_types that the server does not give"
	case slices.Contains(a.GrantTypes, grantCode) && !slices.Equal(a.ResponseTypes, []string{"code"}):
		problem = "response_types is not code"
	case a.ApplicationType != "native":
		problem = "a web application has no redirect URI on loopback"
	}
	return "invalid_client_metadata", problem
}

// serveUnregister forgets a client and ends all that came of its logins (RFC 7592 §2.3).
func (s *Server) serveUnregister(w http.ResponseWriter, r *http.Request) {
	c, known := s.client(r.PathValue("id"))
	if !known || c.registration == "" || r.Header.Get("Authorization") != "Bearer "+c.registration {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		writeError(w, http.StatusUnauthorized, "invalid_token", "not the registration's token")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.clients, c.ID)
	end := func(f *family) { f.ended = f.ended || f.client.ID == c.ID }
	for _, code := range s.codes {
		end(code.family)
	}
	for _, token := range s.refresh {
		end(token.family)
	}
	for _, token := range s.access {
		end(token.family)
	}
	w.WriteHeader(http.StatusNoContent)
}

// RegisteredRedirects are the redirects of the clients that have registered themselves.
func (s *Server) RegisteredRedirects() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var redirects []string
	for _, c := range s.clients {
		if c.registration != "" {
			redirects = append(redirects, c.RedirectURIs...)
		}
	}
	return redirects
}
