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

// scanRounds are few: gitleaks takes half a minute for one.
const scanRounds = 3

// BenchmarkScan compares fob's scanning with that of gitleaks with the one exported rule.
func BenchmarkScan(b *testing.B) {
	t, began := newTable(b, "Scan"), time.Now()
	out, err := exec.Command("go", "env", "GOMODCACHE").Output()
	if err != nil {
		b.Fatal(err)
	}
	tree := strings.TrimSpace(string(out))
	r, small := newRepository(b), newRepository(b)
	r.generate(10_000)
	small.generate(1_000)
	const plain = "--max-decode-depth=0"      // fob always decodes base64 and the like
	part := filepath.Join(tree, "golang.org") // gitleaks would decode for an hour in all of it
	t.compareScans(r, []string{part}, []string{"dir", part})
	t.compareScans(r, []string{tree}, []string{"dir", tree, plain})
	t.compareScans(r, []string{"--git", r.dir}, []string{"git", r.dir})
	t.compareScans(r, []string{"--git", r.dir}, []string{"git", r.dir, plain})
	whole, some := r.peakOf("scan", tree), r.peakOf("scan", part)
	t.add(cells{measured: fmt.Sprintf("%.0f", whole), with: fmt.Sprintf("%.0f", some), ratio: whole / some})
	long, short := r.peakOf("scan", "--git", r.dir), small.peakOf("scan", "--git", small.dir)
	t.add(cells{measured: fmt.Sprintf("%.0f", long), with: fmt.Sprintf("%.0f", short), ratio: long / short})
	b.Log(treeSize(b, tree), treeSize(b, part), r.size())
	t.finish(began)
}

// compareScans runs both in turn: the ratio is how many times as fast fob is.
func (t *table) compareScans(r *repository, byFob, byGitleaks []string) {
	t.Helper()
	rules := filepath.Join(r.home, "rules.toml")
	one := strings.ReplaceAll(r.ok("rules", "--format", "gitleaks"), "useDefault = true", "useDefault = false")
	if err := os.WriteFile(rules, []byte(one), 0o600); err != nil {
		t.Fatal(err)
	}
	ours := command{r.machine, append([]string{fob, "scan", "--no-registry"}, byFob...)}
	theirs := command{r.machine, append([]string{gitleaks(t)}, append(byGitleaks, "--no-banner", "--exit-code", "0", "--config", rules)...)}
	var as, bs samples
	for i := range scanRounds + 1 {
		a, b := ours.run(), theirs.run()
		if i > 0 { // the first warms the system's cache
			as.wall, bs.wall = append(as.wall, a.wall...), append(bs.wall, b.wall...)
			as.cpu, bs.cpu = append(as.cpu, a.cpu...), append(bs.cpu, b.cpu...)
		}
	}
	t.add(cells{
		measured: fmt.Sprintf("%.2f s", median(as.wall)/1000), with: fmt.Sprintf("%.2f s", median(bs.wall)/1000), ratio: median(bs.wall) / median(as.wall),
		spread: spread(bs.wall, as.wall), cpu: fmt.Sprintf("%.2f", median(bs.cpu)/median(as.cpu)),
	})
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
