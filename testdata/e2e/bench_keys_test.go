package e2e

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keys"
	"github.com/fobcli/fob/internal/apikey/registry"
)

// BenchmarkKeys measures what fob does with API keys.
func BenchmarkKeys(b *testing.B) {
	t, began := newTable(b, "Keys"), time.Now()
	t.rotation()
	for _, list := range []struct {
		head string
		line func(i int) string
	}{{"", hashLine}, {"key,owner,environment,scopes\n", keyLine}} {
		_, small := importList(b, list.head, list.line, 100_000)
		took, large := importList(b, list.head, list.line, 1_000_000)
		t.add(cells{measured: fmt.Sprintf("%.1f s", took.Seconds()), value: took.Seconds()})
		t.add(cells{measured: fmt.Sprintf("%.0f", large), with: fmt.Sprintf("%.0f", small), ratio: large / small})
	}
	unit := goBench(b, "^(BenchmarkVerify|BenchmarkTiming|BenchmarkChecksumByChance)$")
	t.add(cells{measured: fmt.Sprintf("%.2f µs, %.0f allocations", unit["ns/op"]/1000, unit["allocs/op"]), value: unit["ns/op"] / 1000})
	t.verifications()
	for _, classes := range []string{"wrong/unknown", "wrong/revoked", "unknown/revoked"} {
		t.add(cells{measured: fmt.Sprintf("%.2f", unit["|t|:"+classes]), value: unit["|t|:"+classes]})
	}
	passed := unit["passed/1e7@seed10"] + unit["passed/1e7@seed11"] + unit["passed/1e7@seed12"] + unit["passed/1e7@seed13"]
	t.add(cells{measured: fmt.Sprintf("%.0f, 0.0093 expected", passed), value: passed})
	t.finish(began)
}

// goBench runs benchmarks of internal/apikey, and returns their metrics by unit.
func goBench(b *testing.B, pattern string) map[string]float64 {
	b.Helper()
	test := exec.Command("go", "test", "-count=1", "-run", "^$", "-bench", pattern, "./internal/apikey")
	test.Dir = filepath.Join("..", "..")
	out, err := test.CombinedOutput()
	if err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	metrics := map[string]float64{}
	for _, m := range regexp.MustCompile(`([0-9.]+) (\S+)`).FindAllStringSubmatch(strings.ReplaceAll(string(out), "\t", " "), -1) {
		if value, err := strconv.ParseFloat(m[1], 64); err == nil && value != 0 { // the others report 0 ns/op
			metrics[m[2]] = value
		}
	}
	return metrics
}

// rotation rotates a key with twenty destinations, each of which answers after 100 ms.
func (t *table) rotation() {
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		<-time.After(100 * time.Millisecond)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer slow.Close()
	m := newMachine(t)
	m.env = append(m.env, "GITEA_URL="+slow.URL, "GITEA_TOKEN=bench")
	args := []string{"key", "create", "--owner", "web"}
	for i := range 20 {
		args = append(args, "--to", fmt.Sprintf("gitea:acme/web#KEY_%d", i))
	}
	key := m.ok(args...)
	var took, serial samples
	for range 15 {
		start := time.Now()
		key = m.ok("key", "rotate", strings.Split(key, "_")[2], "--overlap", "1h")
		took.wall, serial.wall = append(took.wall, time.Since(start).Seconds()), append(serial.wall, 2)
	}
	t.addPair(took, serial, "s", "")
}

// verifications verifies keys drawn at random, in registries of different sizes in turn.
func (t *table) verifications() {
	const atOnce, rounds = 500, 130
	var all []*filled
	for _, size := range []int{1_000, 100_000, 1_000_000, 10_000_000} {
		all = append(all, newFilled(t, size))
	}
	times := make([]samples, len(all))
	for round := range rounds {
		for i, f := range all {
			if took := f.verify(t, atOnce); round >= 10 { // warm
				times[i].wall = append(times[i].wall, float64(took.Nanoseconds())/atOnce/1000)
			}
		}
	}
	for i := range times[1:] {
		t.addPair(times[i+1], times[0], "µs", "")
	}
}

// filled is a registry with some of its keys' texts: more than its cache holds.
type filled struct {
	*keys.Registrar
	texts []string
}

func newFilled(t *table, size int) *filled {
	t.Helper()
	path := filepath.Join(t.TempDir(), "data", "registry.db")
	open := func() apikey.Registry {
		r, err := registry.Open(context.Background(), "sqlite:"+path, apikey.ModeCreate)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	open().Close()
	known := min(size, 20_000)
	fillRegistry(t, path, size-known)
	f := &filled{Registrar: &keys.Registrar{Registry: open(), Format: apikey.DefaultFormat, Actor: "bench", Now: time.Now}}
	t.Cleanup(func() { f.Registry.Close() })
	var batch []apikey.Record
	for i := range known {
		m, err := apikey.Mint("acme", "live")
		if err != nil {
			t.Fatal(err)
		}
		f.texts = append(f.texts, m.Key.Reveal())
		batch = append(batch, apikey.Record{
			ID: m.ID, Digest: m.Digest, Owner: fmt.Sprintf("team-%d", i%1000), Environment: "live",
			Scopes: []string{"orders:read", "orders:write"}, CreatedAt: apikey.FromMilliseconds(time.Now().UnixMilli()),
		})
		if len(batch) == keys.BatchSize || i == known-1 {
			if n, err := f.Import(context.Background(), batch); err != nil || n != len(batch) {
				t.Fatalf("%d of %d keys: %v", n, len(batch), err)
			}
			batch = nil
		}
	}
	return f
}

// fillRegistry adds keys whose secrets are unknown, in the order of their ids: ten times as fast as an
// import. Their ids are spread as random ones are.
func fillRegistry(t testing.TB, path string, count int) {
	t.Helper()
	fill := exec.Command("sqlite3", path)
	fill.Stdin = strings.NewReader(fmt.Sprintf(fillSQL, count))
	if out, err := fill.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

const fillSQL = `PRAGMA journal_mode=off; PRAGMA synchronous=off; PRAGMA cache_size=-1000000;
CREATE TEMP TABLE digit AS WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 61)
	SELECT i, substr('0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz', i + 1, 1) AS c FROM n;
INSERT INTO api_key (id, digest, pepper, owner, environment, scopes, rate, note, metadata, created_at, expires_at, disabled, retires_at, revoked_at, predecessor, seq)
	SELECT '1' || a.c || b.c || c.c || d.c || substr(hex(randomblob(4)), 2), randomblob(32), '', 'team-' || abs(random() %% 1000), 'live',
		'orders:read orders:write', '', '', '', 1764500000000, 0, 0, 0, 0, '', 0
	FROM digit a, digit b, digit c, digit d WHERE (((a.i * 62 + b.i) * 62 + c.i) * 62 + d.i) * 7919 %% 14776336 < %d;
`

// verify times the verification of so many keys.
func (f *filled) verify(t testing.TB, count int) time.Duration {
	need := apikey.Need{Environment: "live", Scopes: []string{"orders:read"}}
	texts := make([]string, count)
	for i := range texts {
		texts[i] = f.texts[rand.IntN(len(f.texts))]
	}
	start := time.Now()
	for _, text := range texts {
		if _, err := f.Verify(context.Background(), text, need); err != nil {
			t.Fatal(err)
		}
	}
	return time.Since(start)
}

func hashLine(i int) string {
	return fmt.Sprintf(`{"hash":"%x","owner":"team-%d","environment":"live","scopes":["orders:read","orders:write"]}`+"\n", sha256.Sum256(fmt.Append(nil, i)), i%1000)
}

func keyLine(i int) string {
	return fmt.Sprintf("sk_%x,team-%d,live,orders:read orders:write\n", sha256.Sum256(fmt.Append(nil, i)), i%1000)
}

// importList imports so many keys into a new registry; peak is the largest resident
// set of the process, in MiB.
func importList(b *testing.B, head string, line func(i int) string, count int) (took time.Duration, peak float64) {
	m := newMachine(b)
	path := filepath.Join(m.home, "list")
	if err := writeList(path, head, line, count); err != nil {
		b.Fatal(err)
	}
	m.stdin = path
	start := time.Now()
	peak = command{m, []string{fob, "key", "import"}}.peakMiB()
	return time.Since(start), peak
}

func writeList(path, head string, line func(i int) string, count int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	buffered := bufio.NewWriter(f)
	_, _ = buffered.WriteString(head)
	for i := range count {
		_, _ = buffered.WriteString(line(i))
	}
	return buffered.Flush()
}
