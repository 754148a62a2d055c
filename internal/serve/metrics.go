package serve

import (
	"bytes"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"
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
	h := w.Header()
	h.Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(b.Bytes())
}

// age is how long ago the registry was heard of, or since the start.
func (c *cache) age() time.Duration {
	return time.Since(c.started) - time.Duration(max(0, c.heard.Load()))
}
