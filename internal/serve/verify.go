package serve

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/fobcli/fob/internal/apikey"
)

type outcome int

const (
	allowed         outcome = iota
	noKey                   // the request has none
	badRequest              // ambiguous or malformed (RFC 6750 §3.1, invalid_request)
	keyInURL                // where servers log it
	invalidToken            // unknown, wrong, revoked, expired, disabled, or of another environment
	outOfScope              // insufficient_scope
	noRule                  // no rule matches the route
	badQuery                // of /verify: a mistake in the proxy's configuration
	unclearPath             // path or method is ambiguous
	rateLimited             // by the key's own limit
	tooManyFailures         // the address sent too many unknown keys
	unavailable             // the registry is unavailable
	preflight               // allowed without a key
	outcomes        = iota
)

// responses are by outcome. Outcomes with the same status have the same body, so that a
// client without a valid key learns nothing.
var responses = [outcomes]struct {
	name      string // in metrics and X-Fob-Reason
	status    int
	challenge string // WWW-Authenticate
	body      string
}{
	allowed:         {"allowed", http.StatusOK, "", ""},
	noKey:           {"no_key", http.StatusUnauthorized, `Bearer realm="fob"`, `{"error":"no API key: send it as 'Authorization: Bearer KEY'"}`},
	badRequest:      {"invalid_request", http.StatusUnauthorized, `Bearer realm="fob", error="invalid_request", error_description="send one key, once"`, `{"error":"invalid_request","error_description":"send one key, once, in one header"}`},
	keyInURL:        {"key_in_url", http.StatusBadRequest, `Bearer realm="fob", error="invalid_request", error_description="the key is in the URL, where it is logged"`, `{"error":"invalid_request","error_description":"the key is in the URL, where servers log it: replace it, and send the new one as 'Authorization: Bearer KEY'"}`},
	invalidToken:    {"invalid_token", http.StatusUnauthorized, `Bearer realm="fob", error="invalid_token"`, `{"error":"invalid_token"}`},
	outOfScope:      {"insufficient_scope", http.StatusForbidden, `Bearer realm="fob", error="insufficient_scope"`, `{"error":"insufficient_scope"}`},
	noRule:          {"no_rule", http.StatusForbidden, "", `{"error":"forbidden"}`},
	badQuery:        {"invalid_query", http.StatusBadRequest, "", `{"error":"invalid_request","error_description":"/verify was called with an invalid query parameter, which the log of fob serve names"}`},
	unclearPath:     {"unclear_path", http.StatusBadRequest, "", `{"error":"invalid_request","error_description":"ambiguous path, or differs from a rule only in letter case"}`},
	rateLimited:     {"rate_limited", http.StatusTooManyRequests, "", `{"error":"rate_limited"}`},
	tooManyFailures: {"too_many_failures", http.StatusTooManyRequests, "", `{"error":"too_many_failures"}`},
	unavailable:     {"unavailable", http.StatusServiceUnavailable, "", `{"error":"unavailable"}`},
	preflight:       {"preflight", http.StatusOK, "", ""},
}

type verdict struct {
	outcome
	entry *entry        // set if the secret was right
	wait  time.Duration // for Retry-After
	limit string        // RateLimit, of a key with a rate
	need  []string      // the required scopes
}

// preflightEntry has empty texts.
var preflightEntry = &entry{owner: []string{""}, env: []string{""}, scopes: []string{""}, meta: []string{""}}

// verify responds to a proxy that asks whether a request may pass.
func (s *Server) verify(w http.ResponseWriter, r *http.Request) {
	asked := r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodPost
	if !asked && r.URL.Path == verifyPath { // Envoy uses the original method
		w.Header().Set("Allow", "GET, HEAD, POST")
		writeText(w, http.StatusMethodNotAllowed, "use GET, HEAD or POST\n")
		return
	}
	v := s.judge(r)
	s.metrics.count(v.outcome)
	switch v.outcome {
	case allowed:
	case preflight:
		v.entry = preflightEntry // replaces what the client may have sent
	default:
		s.refuse(w, r, v)
		return
	}
	h := w.Header()
	h["X-Fob-Key-Id"], h["X-Fob-Owner"] = v.entry.id[:], v.entry.owner
	h["X-Fob-Env"], h["X-Fob-Scopes"], h["X-Fob-Metadata"] = v.entry.env, v.entry.scopes, v.entry.meta
	h["Cache-Control"] = noStore
	v.setLimit(h)
	w.WriteHeader(http.StatusOK)
}

// setLimit sets the headers of draft-ietf-httpapi-ratelimit-headers-11.
func (v *verdict) setLimit(h http.Header) {
	if v.limit != "" {
		h["Ratelimit"], h["Ratelimit-Policy"] = []string{v.limit}, v.entry.limit.policy
	}
}

func (s *Server) judge(r *http.Request) verdict {
	c := s.settings.Load()
	seen := c.readHeader(r.Header)
	if seen.inURL || r.URL.RawQuery != "" && inURL(r.URL.RawQuery) {
		return verdict{outcome: keyInURL}
	}
	text, out := seen.key()
	if out == noKey && s.isPreflight(c, r) {
		out = preflight
	}
	if out != allowed {
		return verdict{outcome: out}
	}
	need, out := s.needOf(c, r)
	if out != allowed {
		return verdict{outcome: out}
	}
	return s.check(r, text, need)
}

func (s *Server) check(r *http.Request, text string, need apikey.Need) verdict {
	if !s.cache.fresh() {
		return verdict{outcome: unavailable, wait: time.Second}
	}
	p, err := apikey.Present(text, need)
	misplaced := reasonOf(err) == apikey.OtherEnvironment
	if misplaced { // look it up nevertheless: only unknown keys count as guesses
		need = apikey.Need{}
		p, err = apikey.Present(text, need)
	}
	if err != nil {
		return s.failed(r, apikey.Unknown)
	}
	now := s.Now()
	e := s.cache.cached(p.ID)
	err = p.Check(&e.record, e.pepper, need, now)
	if err != nil && reasonOf(err) == apikey.Unknown {
		// Query the registry for cached ids too: a wrong secret and an unknown id must take
		// the same time.
		if s.guesses.blocked(s.client(r)) {
			return verdict{outcome: tooManyFailures, wait: time.Second}
		}
		if e, err = s.cache.load(r.Context(), p.ID); err != nil {
			s.Log.Error("a key could not be looked up", "key_id", p.ID, "error", err.Error())
			if !s.RequirePepper || !errors.Is(err, apikey.ErrUnknownPepper) {
				return verdict{outcome: unavailable, wait: time.Second}
			}
			e = s.cache.unknown.Load()
		}
		err = p.Check(&e.record, e.pepper, need, now)
	}
	if err == nil && !misplaced {
		return s.accept(r.Context(), text, e, now)
	}
	reason := cmp.Or(reasonOf(err), apikey.OtherEnvironment)
	switch reason {
	case apikey.OutOfScope:
		return verdict{outcome: outOfScope, entry: e, need: need.Scopes}
	case apikey.Unknown:
	default:
		s.logRefused(p.ID, reason, now)
	}
	return s.failed(r, reason)
}

// logRefused logs a refused key, or counts it: after many keys were revoked, their clients go on.
func (s *Server) logRefused(id string, reason apikey.Reason, now time.Time) {
	if wait, _ := s.refusals.take(now); wait > 0 {
		s.unlogged.Add(1)
		return
	}
	details := []any{"key_id", id, "reason", string(reason)}
	if count := s.unlogged.Swap(0); count > 0 {
		details = append(details, "refused_before", count)
	}
	s.Log.Info("refused", details...)
}

// reasonOf returns why a key was refused, or "" for other errors.
func reasonOf(err error) apikey.Reason {
	if refused, ok := errors.AsType[*apikey.RefusedError](err); ok {
		return refused.Reason
	}
	return ""
}

// accept counts a valid key's use, unless its rate limit is exceeded.
func (s *Server) accept(ctx context.Context, text string, e *entry, now time.Time) verdict {
	v := verdict{entry: e}
	if e.limit != nil {
		if v.wait, v.limit = e.limit.take(now); v.wait > 0 {
			v.outcome = rateLimited
			return v
		}
	}
	e.use(now)
	s.rehash(ctx, text, e)
	return v
}

// failed refuses a key. Only unknown keys count against the client's address.
func (s *Server) failed(r *http.Request, reason apikey.Reason) verdict {
	client := s.client(r)
	if s.guesses.blocked(client) {
		return verdict{outcome: tooManyFailures, wait: time.Second}
	}
	if reason == apikey.Unknown {
		s.guesses.failed(client)
	}
	return verdict{outcome: invalidToken}
}

func (s *Server) refuse(w http.ResponseWriter, r *http.Request, v verdict) {
	a := &responses[v.outcome]
	h := w.Header()
	status := a.status
	if a.challenge != "" {
		challenge := a.challenge
		if v.outcome == outOfScope && len(v.need) > 0 {
			challenge += `, scope="` + strings.Join(v.need, " ") + `"`
		}
		h.Set("WWW-Authenticate", challenge)
	}
	if v.wait > 0 {
		h.Set("Retry-After", strconv.FormatInt(seconds(v.wait), 10))
	}
	v.setLimit(h)
	if s.OnlyAuthStatuses && status != http.StatusUnauthorized && r.URL.Path != introspectPath {
		status = http.StatusForbidden
		h.Set("X-Fob-Reason", a.name)
	}
	h["Content-Type"], h["Cache-Control"], h["X-Content-Type-Options"] = inJSON, noStore, noSniff
	w.WriteHeader(status)
	_, _ = w.Write([]byte(a.body))
	if s.Log.Enabled(r.Context(), slog.LevelDebug) {
		s.Log.Debug("responded", "outcome", a.name, "client", s.client(r).String())
	}
}

// rehash replaces a key's digest in the background, if its pepper is not the current one.
func (s *Server) rehash(ctx context.Context, text string, e *entry) {
	present := s.cache.pepper.Load()
	if s.Rehash == nil || present == nil || *present == e.record.Pepper || e.record.Pepper == "" && !s.AddPepper {
		return
	}
	if !s.rehashing.CompareAndSwap(false, true) {
		return // retried at the next use
	}
	record := e.record
	go func() {
		defer s.rehashing.Store(false)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if err := s.Rehash(ctx, text, record); err != nil {
			s.Log.Warn("a key could not be hashed with the current pepper", "key_id", record.ID, "error", err.Error())
		}
	}()
}

// IntrospectScope is the scope that introspection requires (RFC 7662 §2.1).
const IntrospectScope = "fob:introspect"

// maxForm bounds the body of an introspection request, in bytes.
const maxForm = 8 << 10

// introspection is a response of RFC 7662 §2.2. For inactive keys, only Active is set.
type introspection struct {
	Active      bool   `json:"active"`
	Scope       string `json:"scope,omitempty"`
	ClientID    string `json:"client_id,omitempty"` // the key's owner
	Subject     string `json:"sub,omitempty"`
	TokenType   string `json:"token_type,omitempty"`
	ID          string `json:"jti,omitempty"`
	Environment string `json:"env,omitempty"`
	IssuedAt    int64  `json:"iat,omitempty"`
	ExpiresAt   int64  `json:"exp,omitempty"`

	Metadata json.RawMessage `json:"metadata,omitempty"`
}

// introspect describes a key to a service with IntrospectScope.
func (s *Server) introspect(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		writeText(w, http.StatusMethodNotAllowed, "use POST\n")
		return
	}
	seen := s.settings.Load().readHeader(r.Header)
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
	token, ok := formToken(w, r)
	if !ok {
		s.answerJSON(w, http.StatusBadRequest, map[string]string{"error": "invalid_request", "error_description": "send token=KEY as a form"})
		return
	}
	v := s.check(r, token, apikey.Need{})
	switch v.outcome {
	case unavailable, tooManyFailures, rateLimited: // introspection is a use
		s.refuse(w, r, v)
	case allowed:
		v.setLimit(w.Header())
		s.answerJSON(w, http.StatusOK, newIntrospection(v.entry))
	default:
		s.answerJSON(w, http.StatusOK, introspection{})
	}
}

func newIntrospection(e *entry) introspection {
	i := introspection{
		Active: true, Scope: e.scopes[0], ClientID: e.record.Owner, Subject: e.record.Owner, TokenType: "api_key", ID: e.record.ID,
		Environment: e.record.Environment, IssuedAt: e.record.CreatedAt.Unix(), Metadata: json.RawMessage(e.metadata),
	}
	if ends := e.record.Ends(); !ends.IsZero() {
		i.ExpiresAt = ends.Unix()
	}
	return i
}

func formToken(w http.ResponseWriter, r *http.Request) (string, bool) {
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
