package e2e

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// scanRounds are fewer than those of other rows: gitleaks takes half a minute for one.
const scanRounds = 5

// BenchmarkScan sets fob's scanning beside gitleaks with the one exported rule, and
// prints the table of docs/benchmarks.md. `make bench` runs it.
func BenchmarkScan(b *testing.B) {
	fob = os.Getenv("FOB_BENCH")
	if fob == "" {
		b.Fatal("FOB_BENCH does not name the program: run 'make bench'")
	}
	out, err := exec.Command("go", "env", "GOMODCACHE").Output()
	if err != nil {
		b.Fatal(err)
	}
	tree := strings.TrimSpace(string(out))
	r := newRepository(b)
	small := newRepository(b)
	r.generate(10_000)
	small.generate(1_000)
	fmt.Println("\n| what | measured | beside | ratio | spread of the ratio | wanted |")
	fmt.Println("|---|---|---|---|---|---|")
	const plain = "--max-decode-depth=0"      // base64 and the like, which fob always decodes
	part := filepath.Join(tree, "golang.org") // of the whole tree, gitleaks decodes for an hour
	r.compareScans("files: golang.org in Go's module cache, "+treeSize(b, part), []string{part}, "gitleaks", []string{"dir", part})
	r.compareScans("files: Go's module cache, "+treeSize(b, tree), []string{tree}, "gitleaks, decoding turned off", []string{"dir", tree, plain})
	history := "a history of 10,000 commits, " + r.size()
	r.compareScans(history, []string{"--git", r.dir}, "gitleaks", []string{"git", r.dir})
	r.compareScans(history, []string{"--git", r.dir}, "gitleaks, decoding turned off", []string{"git", r.dir, plain})
	whole, some := r.peakOf("scan", tree), r.peakOf("scan", part)
	fmt.Printf("| largest resident set of `fob scan`, %s | %.0f MiB | %s, %.0f MiB | **%.2f** | | flat |\n", treeSize(b, tree), whole, treeSize(b, part), some, whole/some)
	large, little := r.peakOf("scan", "--git", r.dir), small.peakOf("scan", "--git", small.dir)
	fmt.Printf("| largest resident set of `fob scan --git` without its gits, 10,000 commits | %.0f MiB | 1,000, %.0f MiB | **%.2f** | | flat, but for 0.1 KiB an object |\n", large, little, large/little)
	benchExec(b)
	fmt.Println()
}

// compareScans runs both in turn and prints a row.
func (r *repository) compareScans(what string, byFob []string, beside string, byGitleaks []string) {
	rules := filepath.Join(r.home, "rules.toml")
	one := strings.ReplaceAll(r.ok("rules", "--format", "gitleaks"), "useDefault = true", "useDefault = false")
	if err := os.WriteFile(rules, []byte(one), 0o600); err != nil {
		r.t.Fatal(err)
	}
	a := append([]string{fob, "scan", "--no-registry"}, byFob...)
	b := append([]string{gitleaks(r.t)}, append(byGitleaks, "--no-banner", "--exit-code", "0", "--config", rules)...)
	var as, bs, ratios []float64
	for i := range scanRounds + 1 {
		ta, tb := r.time(a)/1000, r.time(b)/1000
		if i > 0 { // the first warms the system's cache
			as, bs, ratios = append(as, ta), append(bs, tb), append(ratios, tb/ta)
		}
	}
	fmt.Printf("| `fob scan`, %s | %.2f s | %s, %.2f s | **%.1f** times as fast | %.1f–%.1f | ≥ 5 |\n", what, median(as), beside, median(bs), median(bs)/median(as), slices.Min(ratios), slices.Max(ratios))
}

// benchExec sets a program that does nothing, run with a token, beside the token.
func benchExec(b *testing.B) {
	m := newMachineAt(b, "FOB_STORAGE=file", "FOB_SEAL_KEY="+strings.Repeat("5a", 32))
	m.loginAt(startIssuer(b))
	m.compare("`fob exec --env T=token/work -- true`", m, []string{fob, "exec", "--env", "T=token/work", "--", "true"}, "`fob token work`", m, []string{fob, "token", "work"}, "≤ 1.5")
}

// peakOf is the largest resident set of a scan in MiB, without that of its gits: the
// median of three.
func (r *repository) peakOf(args ...string) float64 {
	r.t.Helper()
	var peaks []float64
	for range 3 {
		cmd := r.fobCommand(append(args, "--no-registry")...)
		if err := cmd.Start(); err != nil {
			r.t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		peak := 0.0
		for running := true; running; {
			select {
			case err := <-ended:
				if err != nil {
					r.t.Fatal(err)
				}
				running = false
			case <-time.After(2 * time.Millisecond):
				peak = max(peak, highWater(cmd.Process.Pid))
			}
		}
		peaks = append(peaks, peak)
	}
	return median(peaks)
}

// highWater is the largest resident set so far in MiB; 0 once the process has ended.
func highWater(pid int) float64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		var kib float64
		if n, _ := fmt.Sscanf(line, "VmHWM: %f kB", &kib); n == 1 {
			return kib / 1024
		}
	}
	return 0
}

func treeSize(b *testing.B, root string) string {
	files, bytes := 0, int64(0)
	err := filepath.WalkDir(root, func(_ string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			files, bytes = files+1, bytes+info.Size()
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return fmt.Sprintf("%d files, %.1f GiB", files, float64(bytes)/(1<<30))
}

// size is what git says of the repository.
func (r *repository) size() string {
	pack := ""
	for line := range strings.Lines(r.run("git", "count-objects", "-vH")) {
		if size, ok := strings.CutPrefix(line, "size-pack: "); ok {
			pack = strings.TrimSpace(size)
		}
	}
	return fmt.Sprintf("%s blobs, %s packed", strings.TrimSpace(r.run("sh", "-c", "git cat-file --batch-all-objects --batch-check='%(objecttype)' | grep -c blob")), pack)
}

// generate makes a history of files that look like source, 600 of them in 40 folders, of
// which each commit changes one to four. It is packed as a clone is.
func (r *repository) generate(commits int) {
	r.t.Helper()
	cmd := r.command("git", "-C", r.dir, "fast-import", "--quiet")
	stream, err := cmd.StdinPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	w := bufio.NewWriter(stream)
	writeHistory(w, commits)
	_ = w.Flush()
	_ = stream.Close()
	if err := cmd.Wait(); err != nil {
		r.t.Fatal(err)
	}
	r.run("git", "repack", "-q", "-a", "-d", "-f")
}

func writeHistory(w io.Writer, commits int) {
	random := rand.New(rand.NewPCG(1, uint64(commits)))
	files := make([][]string, 600)
	start := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	for i := range commits {
		message := sourceLine(random)
		fmt.Fprintf(w, "commit refs/heads/main\ncommitter Ada <ada@example.com> %d +0000\ndata %d\n%s\n", start+int64(i)*3600, len(message), message)
		for range 1 + random.IntN(4) {
			f := random.IntN(len(files))
			files[f] = edited(random, files[f])
			text := strings.Join(files[f], "\n") + "\n"
			fmt.Fprintf(w, "M 644 inline part%d/file%d.go\ndata %d\n%s\n", f%40, f, len(text), text)
		}
	}
}

// edited is a file after a commit: new, or with a few lines replaced and some more.
func edited(random *rand.Rand, lines []string) []string {
	if lines == nil {
		for range 50 + random.IntN(300) {
			lines = append(lines, sourceLine(random))
		}
		return lines
	}
	lines = slices.Clone(lines)
	for range 1 + random.IntN(6) {
		lines[random.IntN(len(lines))] = sourceLine(random)
	}
	for range random.IntN(4) {
		lines = slices.Insert(lines, random.IntN(len(lines)), sourceLine(random))
	}
	return lines
}

var sourceWords = strings.Fields("func return if err != nil { } for range := append len string int error ctx context.Context request response server client token key value name path " +
	"config acme profile registry store lock write read open close // the a of and is what where which fmt.Errorf( \"%w\" ) == 0 1 true false case switch default: struct type var const " +
	"max_size API_KEY user_id test_value")

func sourceLine(random *rand.Rand) string {
	words := []string{strings.Repeat("\t", random.IntN(4))}
	for range 2 + random.IntN(9) {
		words = append(words, sourceWords[random.IntN(len(sourceWords))])
	}
	return words[0] + strings.Join(words[1:], " ")
}
