// Package serve checks API keys over HTTP: for a reverse proxy that asks before it
// lets a request through (forward auth), and for services that introspect tokens
// (RFC 7662). It answers as RFC 6750 says.
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

// Keys is what a Server needs of the registry.
type Keys interface {
	Key(ctx context.Context, id string) (apikey.Record, error)
	Changed(ctx context.Context, after int64, most int) (ids []string, last int64, err error)
	Pepper(ctx context.Context) (string, error)
	Use(ctx context.Context, uses []apikey.Use) error
}

// Options say how a Server behaves.
type Options struct {
	Keys    Keys
	Peppers func(ctx context.Context, id string) (apikey.Pepper, error)
	// RequirePepper treats a key as unknown whose hash has no pepper, or one that Peppers
	// does not know.
	RequirePepper bool
	// Rehash makes a verified key's digest again with the present pepper; may be nil.
	Rehash func(ctx context.Context, text string, r apikey.Record) error
	// AddPepper calls Rehash also for a key whose hash has none.
	AddPepper bool
	Now       func() time.Time
	Log       *slog.Logger

	// MaxStale is how long keys in memory are trusted without a word from the registry;
	// then every key is refused.
	MaxStale time.Duration
	// CacheSize is how many keys are held in memory.
	CacheSize int
	// Rules say what routes need, the first that matches; without any, ?env= and ?scope=
	// of the request to fob do.
	Rules []Rule
	// TrustedProxies may say, in forwarded headers, whom and what they ask for.
	TrustedProxies []netip.Prefix
	// OnlyAuthStatuses answers with 200, 401 and 403 alone: nginx's auth_request makes
	// 500 of all else.
	OnlyAuthStatuses bool
	// Guesses is how many keys that are not good an address may show in a second.
	Guesses int
	// SplitInternal leaves /metrics and /introspect to the handler of Internal.
	SplitInternal bool
}

// Server answers the checks. Run keeps it up to date.
type Server struct {
	Options
	cache   *cache
	guesses *limiter
	metrics metrics
	uses    *uses
	needs   needs
	routes  []route

	rehashing atomic.Bool // one key's digest at a time
}

// The defaults of Options.
const (
	DefaultMaxStale  = time.Second
	DefaultCacheSize = 100_000
	DefaultGuesses   = 100
)

// New makes a Server; nothing is asked of the registry before Run.
func New(o Options) *Server {
	s := &Server{Options: o, uses: &uses{sums: make(map[string]apikey.Use)}, guesses: newLimiter(o.Guesses, o.Now)}
	s.cache = newCache(o, &s.metrics, s.uses)
	for _, rule := range o.Rules {
		s.routes = append(s.routes, newRoute(rule))
	}
	s.warnOfSpellings()
	return s
}

// Run follows the registry's changes and writes down uses, until ctx ends.
func (s *Server) Run(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.uses.run(ctx, s.cache.used, s.Keys, s.Log)
	}()
	s.cache.follow(ctx, s.Log)
	<-done
}

// ServeHTTP serves all paths, but for /introspect and /metrics where these are split off.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.route(w, r, true, !s.SplitInternal)
}

// Internal serves /introspect and /metrics, for a listener of their own.
func (s *Server) Internal() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.route(w, r, false, true) })
}

func (s *Server) route(w http.ResponseWriter, r *http.Request, public, internal bool) {
	path := r.URL.Path
	introspects := internal && path == "/introspect"
	if !introspects && (r.ContentLength != 0 || len(r.TransferEncoding) > 0) {
		// What a proxy and we might read as two requests must not share a connection.
		w.Header().Set("Connection", "close")
	}
	switch {
	case public && (path == verifyPath || strings.HasPrefix(path, envoyPrefix)):
		s.verify(w, r)
	case introspects:
		s.introspect(w, r)
	case internal && path == "/metrics":
		s.writeMetrics(w)
	case path == "/readyz" && !s.cache.fresh():
		writeText(w, http.StatusServiceUnavailable, "the registry has not been heard of for too long\n")
	case path == "/healthz", path == "/readyz":
		writeText(w, http.StatusOK, "ok\n")
	default:
		writeText(w, http.StatusNotFound, "not found: 'fob serve --help' lists the paths\n")
	}
}

// verifyPath is where a proxy asks; Envoy puts the path that it asks about behind it.
const (
	verifyPath  = "/verify"
	envoyPrefix = verifyPath + "/"
)

func writeText(w http.ResponseWriter, status int, body string) {
	h := w.Header()
	h["Content-Type"], h["X-Content-Type-Options"] = plainText, noSniff
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body))
}

// Header values that every answer shares; net/http does not change them.
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

// writeMetrics answers in the text format of Prometheus, version 0.0.4.
func (s *Server) writeMetrics(w http.ResponseWriter) {
	var b bytes.Buffer
	fmt.Fprintln(&b, "# HELP fob_checks_total Checks of API keys, by how they ended.")
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
		{"fob_registry_age_seconds", "gauge", "Time since the registry was asked with success.", s.cache.age().Seconds()},
		{"fob_ready", "gauge", "1 if keys are accepted.", map[bool]int{true: 1}[s.cache.fresh()]},
	} {
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s %s\n%s %v\n", m.name, m.help, m.name, m.kind, m.name, m.value)
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = w.Write(b.Bytes())
}

func (c *cache) age() time.Duration {
	return time.Since(c.started) - time.Duration(max(0, c.heard.Load()))
}
