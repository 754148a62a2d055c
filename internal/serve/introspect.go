package serve

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/fobcli/fob/internal/apikey"
)

// IntrospectScope is what a key needs to introspect others (RFC 7662 §2.1).
const IntrospectScope = "fob:introspect"

// maxForm bounds the body of an introspection request, in bytes.
const maxForm = 8 << 10

// introspection is RFC 7662 §2.2. Of a key that is not active it says nothing more.
type introspection struct {
	Active      bool   `json:"active"`
	Scope       string `json:"scope,omitempty"`
	ClientID    string `json:"client_id,omitempty"` // whom the key identifies
	Subject     string `json:"sub,omitempty"`
	TokenType   string `json:"token_type,omitempty"`
	ID          string `json:"jti,omitempty"`
	Environment string `json:"env,omitempty"`
	IssuedAt    int64  `json:"iat,omitempty"`
	ExpiresAt   int64  `json:"exp,omitempty"`
}

// introspect tells a service that holds a key with IntrospectScope what another key
// is worth.
func (s *Server) introspect(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		writeText(w, http.StatusMethodNotAllowed, "ask with POST\n")
		return
	}
	seen := readHeader(r.Header)
	key, out := seen.key()
	caller := verdict{outcome: out}
	if out == allowed {
		caller = s.check(r, key, apikey.Need{Scopes: []string{IntrospectScope}})
	}
	s.metrics.count(caller.outcome)
	if caller.outcome != allowed {
		s.refuse(w, r, caller)
		return
	}
	token, ok := tokenOf(w, r)
	if !ok {
		s.answerJSON(w, http.StatusBadRequest, map[string]string{"error": "invalid_request", "error_description": "send token=KEY as a form"})
		return
	}
	v := s.check(r, token, apikey.Need{})
	switch v.outcome {
	case notWell, guessing:
		s.refuse(w, r, v)
	case allowed, rateLimited: // its own limit is for its use, not for questions
		s.answerJSON(w, http.StatusOK, introspected(v.entry))
	default:
		s.answerJSON(w, http.StatusOK, introspection{})
	}
}

func introspected(e *entry) introspection {
	i := introspection{
		Active: true, Scope: e.scopes[0], ClientID: e.record.Owner, Subject: e.record.Owner, TokenType: "api_key", ID: e.record.ID,
		Environment: e.record.Environment, IssuedAt: e.record.CreatedAt.Unix(),
	}
	if ends := e.record.Ends(); !ends.IsZero() {
		i.ExpiresAt = ends.Unix()
	}
	return i
}

func tokenOf(w http.ResponseWriter, r *http.Request) (string, bool) {
	media, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxForm))
	if err != nil || !strings.EqualFold(strings.TrimSpace(media), "application/x-www-form-urlencoded") {
		return "", false
	}
	form, err := url.ParseQuery(string(body))
	if err != nil || len(form["token"]) != 1 || form["token"][0] == "" {
		return "", false
	}
	return form["token"][0], true
}

func (s *Server) answerJSON(w http.ResponseWriter, status int, v any) {
	h := w.Header()
	h["Content-Type"], h["Cache-Control"], h["X-Content-Type-Options"] = inJSON, noStore, noSniff
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
