package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// figure is a row of docs/benchmarks.md. The target is that of the ratio, or of what is
// measured where there is no ratio, and was set on the named machine.
type figure struct{ group, what, with, target, on string }

// These are set on one of the machines that the page describes, or mean the same on any.
const (
	xeon  = "Xeon"
	vm    = "VM"
	both  = "Xeon, VM"
	every = "any"
)

var figures = []figure{
	{"Start", "`fob version`", "a Go program that prints a line", "≤ 2.7", both},
	{"Start", "`fob token`, cached, file", "a Go program that prints a line", "≤ 3.0", both},
	{"Start", "`fob token`, cached, keyring", "`secret-tool lookup`", "≤ 0.5", xeon + "; ≤ 1.0: " + vm},
	{"Start", "page faults of `fob token`, cached, file", "", "≤ 500", both},
	{"Start", "the stripped program, in MiB", "", "≤ 17", every},
	{"Start", "peak memory of `fob token`, cached, keyring, in MiB", "", "≤ 20", every},
	{"Start", "`fob token`, cached, keyring, 6 KB record", "500 bytes", "≤ 1.5", xeon},
	{"Start", "`fob token --force-refresh`, keyring, 6 KB record", "500 bytes", "≤ 2.5", xeon},
	{"Start", "`fob token --resource URL`, cached, keyring", "`fob token`", "≤ 1.1", xeon},
	{"Start", "`fob exec --env T=token/work -- true`, file", "`fob token`", "≤ 1.5", xeon},
	{"Start", "`fob key verify`, SQLite", "`fob version`", "≤ 2", xeon},

	{"Older", "`fob version`", "commit a604436", "≤ 1.02", every},
	{"Older", "`fob token`, cached, file", "commit a604436", "≤ 1.02", every},
	{"Older", "`fob token`, cached, keyring", "commit a604436", "≤ 1.02", every},
	{"Older", "`fob token --force-refresh`, file", "commit a604436", "≤ 1.02", every},
	{"Older", "`fob token --force-refresh`, keyring", "commit a604436", "≤ 1.02", every},

	{"Agent", "`fob token` through the agent", "`fob version`", "≤ 1.1", both},
	{"Agent", "`fob token` through the agent", "`oidc-token`, in C", "≤ 2.2", both},
	{"Agent", "`fob token` through the agent", "without it, keyring", "≤ 0.6", xeon},
	{"Agent", "`fob token` through the agent", "without it, file and passphrase", "–", xeon},

	{"Git", "`git ls-remote`, file: added by `fob helper git`", "added by that of commit 0b8d23c", "≤ 0.8", every},
	{"Git", "`git ls-remote`, keyring: added by `fob helper git`", "added by that of commit 0b8d23c", "≤ 0.8", every},
	{"Git", "`fob token`, cached, file", "`gh auth token`, `hosts.yml`", "≤ 0.25", xeon},

	{"Login", "callback to success page, without the server's own time", "", "≤ 50 ms", xeon},
	{"Login", "the same, token endpoint 100 ms", "", "≤ 50 ms", xeon},

	{"Crowd", "100 processes at expiry, keyring: refreshes", "", "≤ 1", every},
	{"Crowd", "500 processes at expiry, file", "with a valid token", "≤ 2", xeon},
	{"Crowd", "500 processes at expiry, keyring", "with a valid token", "≤ 2", xeon},
	{"Crowd", "1,000 cached `fob token`, 50 at once, file", "", "–", xeon},
	{"Crowd", "1,000 cached `fob token`, 50 at once, keyring", "", "–", xeon},

	{"Keys", "a rotation with 20 destinations of 100 ms each", "one after another", "≤ 0.25", xeon},
	{"Keys", "`fob key import`, 1 million hashes, JSON lines", "", "≤ 60 s", xeon},
	{"Keys", "its peak memory, in MiB", "for 100 thousand", "≤ 1.1", every},
	{"Keys", "`fob key import`, 1 million keys, CSV", "", "≤ 60 s", xeon},
	{"Keys", "its peak memory, in MiB", "for 100 thousand", "≤ 1.1", every},
	{"Keys", "a verification, record in memory", "", "≤ 2 µs", xeon},
	{"Keys", "a verification, 100 thousand keys in SQLite", "1 thousand", "≤ 3", xeon},
	{"Keys", "a verification, 1 million keys in SQLite", "1 thousand", "≤ 3", xeon},
	{"Keys", "a verification, 10 million keys in SQLite", "1 thousand", "≤ 3", xeon},
	{"Keys", "timing, wrong secret: Welch's t", "an unknown id", "< 4.5", every},
	{"Keys", "timing, wrong secret: Welch's t", "a revoked key", "< 4.5", every},
	{"Keys", "timing, unknown id: Welch's t", "a revoked key", "< 4.5", every},
	{"Keys", "random texts that pass the checksum, of 40 million", "", "≤ 1", every},

	{"Pooler", "`fob key create`, PostgreSQL through PgBouncer", "directly", "≤ 1.1", every},
	{"Pooler", "`fob key verify`, PostgreSQL through PgBouncer", "directly", "≤ 1.1", every},

	{"Serve", "valid keys, 1 million registered, requests per second", "bare net/http", "≥ 0.8", xeon},
	{"Serve", "the same, p99", "bare net/http", "–", xeon},
	{"Serve", "valid keys during wrong ones from another address", "without them", "≥ 0.5", xeon},
	{"Serve", "memory after them, in MiB", "before", "≤ 1.2", every},
	{"Serve", "nginx with `auth_request`, one connection: added to the median", "", "≤ 0.5 ms", xeon},
	{"Serve", "memory per cached key, in bytes (`--cache-size 1000000`)", "", "–", every},
	{"Serve", "a revocation by another process takes effect, SQLite, worst of 1,000", "", "≤ 1000 ms", xeon},
	{"Serve", "a revocation by another process takes effect, PostgreSQL, worst of 1,000", "", "≤ 1000 ms", xeon},
	{"Serve", "valid keys, 10 million registered, requests per second", "bare net/http", "≥ 0.7", xeon},

	{"Proxy", "`fob proxy`, 64 connections, requests per second", "`httputil.ReverseProxy`", "≥ 0.85", xeon},
	{"Proxy", "`fob proxy`, one connection: added to the median", "", "≤ 0.3 ms", xeon},

	{"Scan", "`fob scan`, golang.org in Go's module cache", "gitleaks", "≥ 8", both},
	{"Scan", "`fob scan`, Go's module cache", "gitleaks without decoding", "≥ 5", xeon},
	{"Scan", "`fob scan --git`, 10,000 commits", "gitleaks", "≥ 8", both},
	{"Scan", "`fob scan --git`, 10,000 commits", "gitleaks without decoding", "≥ 5", xeon},
	{"Scan", "peak memory of `fob scan`, Go's module cache, in MiB", "golang.org in it", "≤ 2", every},
	{"Scan", "peak memory of `fob scan --git` itself, 10,000 commits, in MiB", "1,000", "–", every},
}

const tableHead = "| what | measured | compared with | ratio | p10–p90 | CPU | page faults | system calls | target | set on |\n|---|---|---|---|---|---|---|---|---|---|\n"

// TestBenchmarksPage checks that the page has the rows of the benchmarks, with their targets.
func TestBenchmarksPage(t *testing.T) {
	var page []string
	group := ""
	for line := range strings.Lines(readText(t, benchmarksPage)) {
		if name, ok := strings.CutPrefix(line, "## "); ok {
			group = strings.TrimSpace(name)
		}
		if cells := strings.Split(line, "|"); strings.HasPrefix(line, "| ") && len(cells) == 12 && cells[1] != " what " {
			with, _, _ := strings.Cut(strings.TrimSpace(cells[3]), ": ")
			target := strings.TrimPrefix(strings.TrimSpace(cells[9]), missed)
			page = append(page, strings.Join([]string{group, strings.TrimSpace(cells[2-1]), with, target, strings.TrimSpace(cells[10])}, " | "))
		}
	}
	var bench []string
	for _, f := range figures {
		bench = append(bench, strings.Join([]string{f.group, f.what, f.with, f.target, f.on}, " | "))
	}
	slices.Sort(page)
	slices.Sort(bench)
	if !slices.Equal(page, bench) {
		t.Errorf("the page has\n%s\n\nand the benchmarks\n%s", strings.Join(page, "\n"), strings.Join(bench, "\n"))
	}
}

// measured is the stripped program that `make bench` measures.
var measured = os.Getenv("FOB_BENCH")

var benchmarksPage = filepath.Join("..", "..", "docs", "benchmarks.md")

// missed marks a target that was not reached.
const missed = "**missed:** "

// table collects the rows of a group.
type table struct {
	*testing.B
	group      string
	hello      command // a Go program that prints a line
	helloTime  float64
	helloCalls int
	rows       []string
}

// newTable starts a group of rows.
func newTable(b *testing.B, group string) *table {
	b.Helper()
	if measured == "" {
		b.Fatal("FOB_BENCH does not name the program: run 'make bench'")
	}
	t := &table{B: b, group: group}
	t.hello = command{newMachine(b), []string{buildHello(b)}}
	t.helloTime = median(t.inTurn(t.hello)[0].wall)
	t.helloCalls = t.hello.systemCalls()
	return t
}

// cells are what was measured for a row.
type cells struct {
	measured, with     string
	ratio              float64
	spread             string
	cpu, faults, calls string
	value              float64 // compared with the target; 0: the ratio
}

// add appends the next row of the group.
func (t *table) add(c cells) {
	t.Helper()
	rows := slices.Clone(figures)
	rows = slices.DeleteFunc(rows, func(f figure) bool { return f.group != t.group })
	if len(t.rows) == len(rows) {
		t.Fatalf("%s has only %d rows", t.group, len(rows))
	}
	f := rows[len(t.rows)]
	ratio, target := "", f.target
	if c.ratio != 0 {
		ratio = fmt.Sprintf("**%.2f**", c.ratio)
		c.value = c.ratio
	}
	if !reached(f.target, c.value) {
		target = missed + target
	}
	with := f.with
	if c.with != "" {
		with += ": " + c.with
	}
	row := "| " + strings.Join([]string{f.what, c.measured, with, ratio, c.spread, c.cpu, c.faults, c.calls, target, f.on}, " | ") + " |\n"
	t.rows = append(t.rows, row)
	fmt.Print(row)
}

// reached reports whether a value reaches a target like "≤ 2" or "≤ 2 ms".
func reached(target string, value float64) bool {
	sign, text, _ := strings.Cut(target, " ")
	number, _, _ := strings.Cut(text, " ")
	bound, err := strconv.ParseFloat(number, 64)
	switch {
	case err != nil:
		return true
	case sign == "≥":
		return value >= bound
	}
	return value <= bound
}

// finish puts the table in place of the last one in docs/benchmarks.md.
func (t *table) finish(began time.Time) {
	t.Helper()
	commit, _ := exec.Command("git", "describe", "--always", "--dirty").Output()
	text := fmt.Sprintf("`make bench BENCH=%s` on %s at commit %s took %s, with\n%s. A Go program that prints a line took %.2f ms.\n\n%s%s", t.group,
		time.Now().UTC().Format(time.DateOnly), bytes.TrimSpace(commit), time.Since(began).Round(time.Second), machineName(), t.helloTime, tableHead, strings.Join(t.rows, ""))
	section := regexp.MustCompile(`(?s)(\n## ` + t.group + `\n\n).*?\n((?:\|[^\n]*\n)+)`)
	page := readText(t, benchmarksPage)
	if !section.MatchString(page) {
		t.Fatalf("docs/benchmarks.md has no table %s", t.group)
	}
	page = section.ReplaceAllStringFunc(page, func(old string) string { return section.FindStringSubmatch(old)[1] + text })
	if err := os.WriteFile(benchmarksPage, []byte(page), 0o644); err != nil {
		t.Fatal(err)
	}
}

// command is a command on a machine.
type command struct {
	*machine
	args []string
}

// samples are the runs of one command: milliseconds, and minor page faults.
type samples struct{ wall, cpu, faults []float64 }

// inTurn runs commands in turn, each as often first. Slow ones run fewer times.
func (t *table) inTurn(commands ...command) []samples {
	t.Helper()
	all := make([]samples, len(commands))
	rounds, warm := 200, 6
	for round := 0; round < rounds+warm; round++ {
		for i := range commands {
			at := (round + i) % len(commands)
			s := commands[at].run()
			switch {
			case round < warm && s.wall[0] > 200:
				rounds = 30
			case round >= warm:
				all[at].wall = append(all[at].wall, s.wall...)
				all[at].cpu = append(all[at].cpu, s.cpu...)
				all[at].faults = append(all[at].faults, s.faults...)
			}
		}
	}
	return all
}

// pair compares two commands.
func (t *table) pair(a, b command) {
	t.Helper()
	both := t.inTurn(a, b)
	t.addPair(both[0], both[1], "ms", fmt.Sprintf("%d, %d", a.systemCalls()-t.helloCalls, b.systemCalls()-t.helloCalls))
}

func (t *table) addPair(a, b samples, unit, calls string) {
	t.Helper()
	format := map[bool]string{true: "%.0f", false: "%.2f " + unit}[unit == ""]
	c := cells{measured: fmt.Sprintf(format, median(a.wall)), with: fmt.Sprintf(format, median(b.wall)), ratio: median(a.wall) / median(b.wall), spread: spread(a.wall, b.wall), calls: calls}
	if len(a.cpu) > 0 {
		c.cpu, c.faults = fmt.Sprintf("%.2f", median(a.cpu)/median(b.cpu)), fmt.Sprintf("%.0f, %.0f", median(a.faults), median(b.faults))
	}
	t.add(c)
}

// spread is that of the ratios of the rounds.
func spread(as, bs []float64) string {
	ratios := make([]float64, len(as))
	for i := range as {
		ratios[i] = as[i] / bs[i]
	}
	slices.Sort(ratios)
	return fmt.Sprintf("%.2f–%.2f", ratios[len(ratios)/10], ratios[len(ratios)*9/10])
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// run runs a command once.
func (c command) run() samples {
	cmd := exec.Command(c.args[0], c.args[1:]...)
	cmd.Env = c.env
	if c.stdin != "" {
		file, err := os.Open(c.stdin)
		if err != nil {
			c.t.Fatal(err)
		}
		defer file.Close()
		cmd.Stdin = file
	}
	start := time.Now()
	if err := cmd.Run(); err != nil {
		c.t.Fatalf("%v: %v", c.args, err)
	}
	wall, state := time.Since(start), cmd.ProcessState
	s := samples{wall: []float64{milliseconds(wall)}, cpu: []float64{milliseconds(state.UserTime() + state.SystemTime())}}
	if usage, ok := state.SysUsage().(*syscall.Rusage); ok {
		s.faults = []float64{float64(usage.Minflt)}
	}
	return s
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// systemCalls counts those of a command and its children, without the waits of Go's
// scheduler: the median of three. It is 0 without strace.
func (c command) systemCalls() int {
	if _, err := exec.LookPath("strace"); err != nil {
		return 0
	}
	var counts []float64
	for range 3 {
		summary := filepath.Join(c.t.TempDir(), "summary")
		traced := command{c.machine, slices.Concat([]string{"strace", "-f", "-c", "-U", "calls,name", "-o", summary}, c.args)}
		traced.run()
		count := 0
		for line := range strings.Lines(readText(c.t, summary)) {
			var n int
			var name string
			if _, err := fmt.Sscan(line, &n, &name); err == nil && !slices.Contains([]string{"total", "futex", "nanosleep", "clock_nanosleep", "sched_yield"}, name) {
				count += n
			}
		}
		counts = append(counts, float64(count))
	}
	return int(median(counts))
}

func buildHello(b *testing.B) string {
	dir := b.TempDir()
	source := filepath.Join(dir, "main.go")
	if err := os.WriteFile(source, []byte("package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println(\"hello\") }\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	hello := filepath.Join(dir, "hello")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", hello, source)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	return hello
}

// machineName names the processor, the cores, the kernel and Go.
func machineName() string {
	cpu := runtime.GOARCH
	text, _ := os.ReadFile("/proc/cpuinfo")
	if _, after, ok := strings.Cut(string(text), "model name\t: "); ok {
		cpu, _, _ = strings.Cut(after, "\n")
	}
	kernel, _ := exec.Command("uname", "-sr").Output()
	return fmt.Sprintf("%s, %d cores, %s, %s", strings.TrimSpace(cpu), runtime.NumCPU(), bytes.TrimSpace(kernel), runtime.Version())
}
