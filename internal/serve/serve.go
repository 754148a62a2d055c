// Package serve checks API keys over HTTP, for reverse proxies (forward auth) and for
// services that introspect tokens (RFC 7662). Responses follow RFC 6750.
package serve

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fobcli/fob/internal/apikey"
)

// Keys is the part of the registry that a Server uses.
type Keys interface {
	Key(ctx context.Context, id string) (apikey.Record, error)
	Changed(ctx context.Context, after int64, most int) (ids []string, last int64, err error)
	Pepper(ctx context.Context) (string, error)
	Use(ctx context.Context, uses []apikey.Use) error
}

// Options configures a Server.
type Options struct {
	Keys    Keys
	Peppers func(ctx context.Context, id string) (apikey.Pepper, error)
	// RequirePepper treats keys as unknown whose hash has no pepper, or one that Peppers
	// does not find.
	RequirePepper bool
	// Rehash replaces a verified key's digest by one with the current pepper; may be nil.
	Rehash func(ctx context.Context, text string, r apikey.Record) error
	// AddPepper calls Rehash for keys without a pepper too.
	AddPepper bool
	Now       func() time.Time
	Log       *slog.Logger

	// MaxStale is how long cached keys are trusted while the registry is unreachable. After
	// that, every key is refused.
	MaxStale time.Duration
	// CacheSize is the number of cached keys.
	CacheSize int
	// Rules are what routes need; the first match applies. Without rules, the query
	// parameters env and scope apply.
	Rules []Rule
	// Headers besides Authorization that may contain a key; without any, X-API-Key.
	Headers []string
	// TrustedProxies may set forwarded headers.
	TrustedProxies []netip.Prefix
	// OnlyAuthStatuses restricts responses to 200, 401 and 403: nginx's auth_request turns
	// any other status into 500.
	OnlyAuthStatuses bool
	// Guesses is how many unknown keys an address may send per second.
	Guesses int
	// Polled is called after each query for changes, with its success; may be nil.
	Polled func(ok bool)
	// SplitInternal serves /metrics and /introspect only on the Internal handler.
	SplitInternal bool
}

// Server checks keys. Run keeps its cache up to date.
type Server struct {
	Options
	cache    *cache
	guesses  *limiter
	metrics  metrics
	uses     *uses
	needs    needs
	settings atomic.Pointer[settings]

	rehashing atomic.Bool // one key at a time

	refusals limit        // bounds the log lines about refused keys
	unlogged atomic.Int64 // refused keys since the last of these lines
}

// Defaults of Options.
const (
	DefaultMaxStale  = time.Second
	DefaultCacheSize = 100_000
	DefaultGuesses   = 100
)

// New returns a Server. The registry is not queried before Run.
func New(o Options) *Server {
	s := &Server{Options: o, uses: &uses{sums: make(map[string]apikey.Use)}, guesses: newLimiter(o.Guesses, o.Now), refusals: limit{buckets: []bucket{{rate: 10, capacity: 10}}}}
	s.cache = newCache(o, &s.metrics, s.uses)
	s.Configure(o.Rules, o.Headers)
	return s
}

// Configure replaces the rules and headers of the Options. They are not checked.
func (s *Server) Configure(rules []Rule, headers []string) {
	if len(headers) == 0 {
		headers = defaultHeaders()
	}
	c := &settings{}
	for _, rule := range rules {
		c.routes = append(c.routes, newRoute(rule))
	}
	for _, name := range headers {
		c.headers = append(c.headers, http.CanonicalHeaderKey(name))
	}
	warnAboutSpellings(c.routes, s.Log)
	s.settings.Store(c)
}

// HasRules reports whether rules apply, instead of the query of /verify.
func (s *Server) HasRules() bool { return len(s.settings.Load().routes) > 0 }

// ForgetKeys drops all cached keys, for peppers that have changed.
func (s *Server) ForgetKeys() { s.cache.forget(nil) }

// Run follows the registry's changes and reports uses until ctx ends.
func (s *Server) Run(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.uses.run(ctx, s.cache.collectUses, s.Keys, s.Log)
	}()
	s.cache.follow(ctx, s.Log)
	<-done
}

// ServeHTTP serves all paths, except /introspect and /metrics with SplitInternal.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.route(w, r, true, !s.SplitInternal)
}

// Internal serves /introspect and /metrics on a separate listener.
func (s *Server) Internal() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.route(w, r, false, true) })
}

func (s *Server) route(w http.ResponseWriter, r *http.Request, public, internal bool) {
	path := r.URL.Path
	introspects := internal && path == introspectPath
	if !introspects && (r.ContentLength != 0 || len(r.TransferEncoding) > 0) {
		// A proxy and net/http might disagree where a body ends (request smuggling).
		w.Header().Set("Connection", "close")
	}
	switch {
	case public && (path == verifyPath || strings.HasPrefix(path, envoyPrefix)):
		s.verify(w, r)
	case introspects:
		s.introspect(w, r)
	case internal && path == "/metrics":
		s.writeMetrics(w)
	case path == "/readyz":
		status, text := s.cache.readiness(r.Context())
		writeText(w, status, text+"\n")
	case path == "/healthz":
		writeText(w, http.StatusOK, "ok\n")
	default:
		writeText(w, http.StatusNotFound, "not found: 'fob serve --help' lists the paths\n")
	}
}

// verifyPath is the path for proxies. Envoy appends the original path to it.
const (
	verifyPath     = "/verify"
	envoyPrefix    = verifyPath + "/"
	introspectPath = "/introspect"
)

func writeText(w http.ResponseWriter, status int, body string) {
	h := w.Header()
	h["Content-Type"], h["X-Content-Type-Options"] = plainText, noSniff
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body))
}

// Header values shared by all responses; net/http does not modify them.
var (
	plainText = []string{"text/plain; charset=utf-8"}
	inJSON    = []string{"application/json"}
	noSniff   = []string{"nosniff"}
	noStore   = []string{"no-store"}
)

// metrics are counted without a lock.
type metrics struct {
	checks  [outcomes]atomic.Int64
	lookups atomic.Int64
}

func (m *metrics) count(o outcome) { m.checks[o].Add(1) }

// writeMetrics writes the text format of Prometheus, version 0.0.4.
func (s *Server) writeMetrics(w http.ResponseWriter) {
	var b bytes.Buffer
	fmt.Fprintln(&b, "# HELP fob_checks_total Checks of API keys, by outcome.")
	fmt.Fprintln(&b, "# TYPE fob_checks_total counter")
	for o := range s.metrics.checks {
		fmt.Fprintf(&b, "fob_checks_total{outcome=%q} %d\n", responses[o].name, s.metrics.checks[o].Load())
	}
	for _, m := range []struct {
		name, kind, help string
		value            any
	}{
		{"fob_lookups_total", "counter", "Keys that were looked up in the registry.", s.metrics.lookups.Load()},
		{"fob_cached_keys", "gauge", "Keys in memory.", s.cache.len()},
		{"fob_registry_age_seconds", "gauge", "Time since the last successful query of the registry.", s.cache.age().Seconds()},
		{"fob_ready", "gauge", "1 if keys are accepted.", map[bool]int{true: 1}[s.cache.fresh()]},
	} {
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s %s\n%s %v\n", m.name, m.help, m.name, m.kind, m.name, m.value)
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = w.Write(b.Bytes())
}

func (c *cache) age() time.Duration {
	return time.Since(c.started) - time.Duration(max(0, c.lastPoll.Load()))
}
