package e2e

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// BenchmarkKeys measures what fob does with API keys and prints the table of
// BENCHMARKS.md for it. `make bench` runs it.
func BenchmarkKeys(b *testing.B) {
	fob = os.Getenv("FOB_BENCH")
	if fob == "" {
		b.Fatal("FOB_BENCH does not name the program: run 'make bench'")
	}
	fmt.Println("\n| what | measured | beside | ratio | spread of the ratio (p10–p90) | wanted |")
	fmt.Println("|---|---|---|---|---|---|")
	benchKeyVerify(b)
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
	if err := cmd.Run(); err != nil || !strings.Contains(stderr.String(), fmt.Sprintf("Imported %d keys; 0 were", count)) {
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
