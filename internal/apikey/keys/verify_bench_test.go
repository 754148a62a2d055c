package keys_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keys"
	"github.com/fobcli/fob/internal/apikey/registry"
)

// sampled is how many keys of a registry are verified: more than its cache holds.
const sampled = 20_000

// BenchmarkVerifyInSQLite verifies keys drawn by chance, in registries of different
// sizes in turn. FOB_BENCH_LARGE=1 adds one of 10 million: 10 minutes, 3 GB of disk.
func BenchmarkVerifyInSQLite(b *testing.B) {
	sizes := []int{1_000, 100_000, 1_000_000}
	if os.Getenv("FOB_BENCH_LARGE") == "1" {
		sizes = append(sizes, 10_000_000)
	}
	filled := make([]*filled, len(sizes))
	for i, size := range sizes {
		filled[i] = fill(b, size)
	}
	const rounds, keys = 120, 500
	times := make([][]float64, len(sizes))
	for b.Loop() {
		for round := range rounds + 10 {
			for i, f := range filled {
				took := f.verify(b, keys)
				if round >= 10 { // warm
					times[i] = append(times[i], float64(took.Nanoseconds())/keys/1000)
				}
			}
		}
	}
	least := median(times[0])
	for i, size := range sizes {
		b.ReportMetric(median(times[i]), fmt.Sprintf("µs/key@%d", size))
		b.ReportMetric(median(times[i])/least, fmt.Sprintf("ratio@%d", size))
	}
	b.ReportMetric(0, "ns/op")
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// filled is a registry with some of its keys' texts.
type filled struct {
	*keys.Registrar
	texts []string
}

func fill(b *testing.B, size int) *filled {
	ctx := context.Background()
	r, err := registry.Open(ctx, "sqlite:"+filepath.Join(b.TempDir(), "data", "registry.db"), apikey.ModeCreate)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { r.Close() })
	f := &filled{Registrar: &keys.Registrar{Registry: r, Format: apikey.DefaultFormat, Actor: "bench", Now: time.Now}}
	start := time.Now()
	for added := 0; added < size; {
		batch := make([]apikey.Record, min(keys.BatchSize, size-added))
		for i := range batch {
			m, err := apikey.Mint("acme", "live")
			if err != nil {
				b.Fatal(err)
			}
			if (added+i)%max(1, size/sampled) == 0 {
				f.texts = append(f.texts, m.Key.Reveal())
			}
			batch[i] = apikey.Record{
				ID: m.ID, Digest: m.Digest, Owner: fmt.Sprintf("team-%d", (added+i)%1000), Environment: "live",
				Scopes: []string{"orders:read", "orders:write"}, CreatedAt: apikey.FromMilliseconds(start.UnixMilli()),
			}
		}
		n, err := f.Import(ctx, batch)
		if err != nil || n != len(batch) {
			b.Fatalf("%d of %d keys: %v", n, len(batch), err)
		}
		added += n
	}
	b.Logf("%d keys imported in %s", size, time.Since(start).Round(time.Second))
	return f
}

// verify times the verification of so many keys.
func (f *filled) verify(b *testing.B, count int) time.Duration {
	ctx, need := context.Background(), apikey.Need{Environment: "live", Scopes: []string{"orders:read"}}
	texts := make([]string, count)
	for i := range texts {
		texts[i] = f.texts[rand.IntN(len(f.texts))]
	}
	start := time.Now()
	for _, text := range texts {
		if _, err := f.Verify(ctx, text, need); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(start)
}
