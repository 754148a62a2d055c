package serve

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// nowhere is a ResponseWriter that keeps the header alone.
type nowhere struct{ header http.Header }

func (n *nowhere) Header() http.Header         { return n.header }
func (n *nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (n *nowhere) WriteHeader(int)             {}

// BenchmarkVerify is what fob adds to net/http for a key that is in memory.
func BenchmarkVerify(b *testing.B) {
	f := newFixture(b, func(o *Options) { o.Log, o.Now = slog.New(slog.DiscardHandler), time.Now })
	text, _ := f.key(b, draft)
	r := httptest.NewRequest("GET", "/verify", nil)
	r.Header.Set("Authorization", "Bearer "+text)
	r.Header.Set("User-Agent", "x")
	w := &nowhere{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		f.server.ServeHTTP(w, r)
	}
	if w.header.Get("X-Fob-Key-Id") == "" {
		b.Fatal("refused")
	}
}

// Verifying a good key allocates nothing beyond what net/http does.
func TestVerify_Allocations(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Log, o.Now = slog.New(slog.DiscardHandler), time.Now })
	text, _ := f.key(t, draft)
	r := httptest.NewRequest("GET", "/verify?scope=orders:read", nil)
	r.Header.Set("Authorization", "Bearer "+text)
	r.Header.Set("X-Forwarded-For", "198.51.100.7:1")
	w := &nowhere{header: http.Header{}}
	f.server.ServeHTTP(w, r)
	if w.header.Get("X-Fob-Key-Id") == "" {
		t.Fatal("refused")
	}
	if n := testing.AllocsPerRun(100, func() { f.server.ServeHTTP(w, r) }); n > 0 {
		t.Errorf("%.0f allocations per check", n)
	}
}
