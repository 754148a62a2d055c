package e2e

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// BenchmarkKeys measures what fob does with API keys and prints the table of
// docs/benchmarks.md for it. `make bench` runs it.
func BenchmarkKeys(b *testing.B) {
	fob = os.Getenv("FOB_BENCH")
	if fob == "" {
		b.Fatal("FOB_BENCH does not name the program: run 'make bench'")
	}
	fmt.Println("\n| what | measured | beside | ratio | spread of the ratio (p10–p90) | wanted |")
	fmt.Println("|---|---|---|---|---|---|")
	benchKeyVerify(b)
	benchRotation(b)
	for _, list := range []struct {
		name, head string
		line       func(i int) string
	}{
		{"JSON lines of hashes", "", hashLine},
		{"CSV of whole keys", "key,owner,environment,scopes\n", keyLine},
	} {
		_, small := importList(b, list.head, list.line, 100_000)
		took, large := importList(b, list.head, list.line, 1_000_000)
		fmt.Printf("| `fob key import` of 1 million, %s | %.1f s, %.0f MiB | 100 thousand, %.0f MiB | **%.2f** | | ≤ 60 s, ≤ 200 MiB; memory flat |\n",
			list.name, took.Seconds(), large, small, large/small)
	}
	fmt.Println()
}

// benchKeyVerify sets one verification beside the smallest thing that fob does.
func benchKeyVerify(b *testing.B) {
	m := newMachine(b)
	key := filepath.Join(m.home, "key.txt")
	if err := os.WriteFile(key, []byte(m.ok("key", "create", "--owner", "billing", "--env", "live", "--scope", "orders:read", "--yes")), 0o600); err != nil {
		b.Fatal(err)
	}
	m.stdin = key
	verify := []string{fob, "key", "verify", "--env", "live", "--scope", "orders:read"}
	m.compare("`fob key verify`, SQLite", m, verify, "`fob version`", m, []string{fob, "version"}, "≤ 2")
}

// benchRotation rotates a key with twenty destinations, each of which answers after
// 100 ms.
func benchRotation(b *testing.B) {
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		<-time.After(100 * time.Millisecond)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer slow.Close()
	m := newMachine(b)
	m.env = append(m.env, "GITEA_URL="+slow.URL, "GITEA_TOKEN=bench")
	args := []string{"key", "create", "--owner", "web"}
	for i := range 20 {
		args = append(args, "--to", fmt.Sprintf("gitea:acme/web#KEY_%d", i))
	}
	key := m.ok(args...)
	var took []float64
	for range 15 {
		start := time.Now()
		key = m.ok("key", "rotate", strings.Split(key, "_")[2], "--overlap", "1h")
		took = append(took, time.Since(start).Seconds())
	}
	slices.Sort(took)
	fmt.Printf("| a rotation with 20 destinations that take 100 ms each | %.2f s | one after the other, 2.0 s | **%.2f** | %.2f–%.2f s | ≤ 0.5 s |\n",
		took[len(took)/2], took[len(took)/2]/2, took[1], took[len(took)-2])
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
	list, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer list.Close()
	cmd := exec.Command(fob, "key", "import")
	var stderr strings.Builder
	cmd.Env, cmd.Stdin, cmd.Stderr = m.env, list, &stderr
	start := time.Now()
	if err := cmd.Run(); err != nil || !strings.Contains(stderr.String(), fmt.Sprintf("Imported %d keys; skipped 0", count)) {
		b.Fatalf("%v: %s", err, stderr.String())
	}
	took = time.Since(start)
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		peak = float64(usage.Maxrss) / 1024
	}
	return took, peak
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
