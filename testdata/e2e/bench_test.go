package e2e

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// rounds of an interleaved measurement: A B A B …
const rounds = 120

// BenchmarkFigures measures fob side by side with what it is compared to, in one
// run, and prints the table of docs/benchmarks.md. `make bench` runs it; FOB_BENCH
// names the stripped program.
func BenchmarkFigures(b *testing.B) {
	fob = os.Getenv("FOB_BENCH") // authserver stays the one that TestMain has built
	if fob == "" {
		b.Fatal("FOB_BENCH does not name the program: run 'make bench'")
	}
	p := startProvider(b, 3600)
	m := newMachine(b)
	m.startKeyring()
	m.ok("login", "work", "--issuer", p.issuer, "--client-id", "fob-e2e")
	inFiles := newMachine(b, "FOB_SEAL_KEY="+strings.Repeat("5a", 32), "FOB_STORAGE=file")
	inFiles.ok("login", "work", "--issuer", p.issuer, "--client-id", "fob-e2e")

	account := m.itemAccount()
	hello := buildHello(b)
	token := []string{fob, "token", "work"}
	fmt.Printf("\n%s, %d cores, %s, %d rounds each, interleaved; medians\n\n", machineName(), runtime.NumCPU(), runtime.Version(), rounds)
	fmt.Println("| what | measured | beside | ratio | spread of the ratio (p10–p90) | wanted |")
	fmt.Println("|---|---|---|---|---|---|")
	m.compare("`fob token`, cached, keyring", m, token, "`secret-tool lookup`", m, []string{"secret-tool", "lookup", "service", "fob", "username", account}, "≤ 0.75")
	m.compare("`fob token`, cached, file", inFiles, token, "`secret-tool lookup`", m, []string{"secret-tool", "lookup", "service", "fob", "username", account}, "≤ 0.5")
	compareSizes(b, token)
	compareTargets(b, token)
	benchLogins(b)
	m.compare("`fob version`", m, []string{fob, "version"}, "a Go program that prints a line", m, []string{hello}, "≤ 2.5")
	fmt.Printf("| peak memory of `fob token`, keyring | %.1f MiB | | | | ≤ 20 MiB |\n", m.peakMiB(token))
	fmt.Printf("| the stripped program | %.1f MiB | | | | ≤ 12 MiB, set before there were databases in it |\n", sizeMiB(b, fob))
	fmt.Printf("| 100 processes at expiry | %s | | | | 1 refresh, 1 token, 0 failures |\n", hundredAtExpiry(b))
	for _, storage := range []string{"file", "keyring"} {
		r := roundsAtExpiry(b, storage, "0s", 3, 500)[2]
		fmt.Printf("| 500 processes at expiry, %s | all done in %.2f s | with a valid token, %.2f s | **%.2f** | | 1 refresh, 1 token, 0 failures; ≤ 2 |\n", storage, r.expired.all.Seconds(), r.valid.all.Seconds(), r.ratio())
	}
	for name, on := range map[string]*machine{"keyring": m, "file": inFiles} {
		c := on.askAtOnce(1000, 50)
		fmt.Printf("| 1,000 cached `fob token`, 50 at once, %s | %.0f a second, %d failures | | | | – |\n", name, 1000/c.all.Seconds(), c.failures)
	}
	fmt.Printf("| `strace` of a cached `fob token` | %s | | | | none |\n\n", m.traceCached(token))
}

// compareSizes sets a login of 6 KB, which lies in pieces, beside one of 500 bytes.
func compareSizes(b *testing.B, token []string) {
	atSize := func(size string) *machine {
		m := newMachineAt(b)
		m.startKeyring()
		m.loginAt(startIssuer(b, "-token-size", size))
		return m
	}
	small, large := atSize("100"), atSize("6000")
	refresh := append(slices.Clone(token), "--force-refresh")
	small.compare("`fob token`, cached, 6 KB record", large, token, "500 bytes", small, token, "≤ 1.5")
	small.compare("`fob token --force-refresh`, 6 KB record", large, refresh, "500 bytes", small, refresh, "≤ 2.5")
}

// compare runs two commands in turn and prints a row of the table.
func (m *machine) compare(what string, onA *machine, a []string, beside string, onB *machine, b []string, wanted string) {
	as, bs := inTurn(onA, a, onB, b)
	printRow(what, as, beside, bs, wanted)
}

func printRow(what string, as []float64, beside string, bs []float64, wanted string) {
	ratios := make([]float64, len(as))
	for i := range as {
		ratios[i] = as[i] / bs[i]
	}
	slices.Sort(ratios)
	fmt.Printf("| %s | %.2f ms | %s, %.2f ms | **%.2f** | %.2f–%.2f | %s |\n", what, median(as), beside, median(bs),
		median(as)/median(bs), ratios[len(ratios)/10], ratios[len(ratios)*9/10], wanted)
}

// inTurn times two commands side by side, in milliseconds.
func inTurn(onA *machine, a []string, onB *machine, b []string) (as, bs []float64) {
	for i := range rounds + 10 {
		ta, tb := onA.time(a), onB.time(b)
		if i < 10 { // warm
			continue
		}
		as, bs = append(as, ta), append(bs, tb)
	}
	return as, bs
}

// BenchmarkAgainstOlder sets the program beside one of an older commit: that of
// FOB_BENCH_OLDER, else the latest tag, else the last commit before fob kept other programs
// out of its memory and other users out of its configuration.
func BenchmarkAgainstOlder(b *testing.B) {
	fob = os.Getenv("FOB_BENCH")
	if fob == "" {
		b.Fatal("FOB_BENCH does not name the program: run 'make bench'")
	}
	tag, _ := exec.Command("git", "describe", "--tags", "--abbrev=0").Output()
	commit := cmp.Or(os.Getenv("FOB_BENCH_OLDER"), strings.TrimSpace(string(tag)), "99ba7d5")
	issuer := startIssuer(b)
	loggedIn := func(program string) *machine {
		m := newMachineAt(b, sealed...)
		m.program = []string{program}
		m.loginAt(issuer)
		return m
	}
	now, older := loggedIn(copyOf(b, fob)), loggedIn(copyOf(b, buildCommit(b, commit)))
	fmt.Println("\n| what | measured | beside | ratio | spread of the ratio (p10–p90) | wanted |\n|---|---|---|---|---|---|")
	for _, row := range []struct {
		name string
		args []string
	}{{"`fob version`", []string{"version"}}, {"`fob token`, cached, file", []string{"token", "work"}}} {
		var as, bs []float64
		a, b := slices.Concat(now.program, row.args), slices.Concat(older.program, row.args)
		for range 5 { // to see 1 % takes more than the usual rounds, and each as often the first of the two
			moreA, moreB := inTurn(now, a, older, b)
			as, bs = append(as, moreA...), append(bs, moreB...)
			moreB, moreA = inTurn(older, b, now, a)
			as, bs = append(as, moreA...), append(bs, moreB...)
		}
		printRow(row.name, as, "that of "+commit, bs, "≤ 1.02")
	}
	fmt.Println()
}

// copyOf is a program written by cp: one that the linker has written starts up to 15 % slower.
func copyOf(b *testing.B, program string) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "fob")
	if out, err := exec.Command("cp", program, path).CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	return path
}

// buildCommit builds a commit of this repository as the Makefile builds the program.
func buildCommit(b *testing.B, commit string) string {
	b.Helper()
	root, dir := filepath.Join("..", ".."), b.TempDir()
	lacks := exec.Command("git", "-C", root, "cat-file", "-e", commit+"^{commit}").Run()
	if lacks != nil {
		b.Fatalf("this clone lacks the commit %s: run 'git fetch --unshallow', or name another one in FOB_BENCH_OLDER", commit)
	}
	archive := filepath.Join(dir, "source.tar")
	for _, step := range []struct {
		dir  string
		args []string
	}{
		{root, []string{"git", "archive", "-o", archive, commit}},
		{dir, []string{"tar", "-xf", archive}},
		{dir, []string{"go", "build", "-trimpath", "-ldflags", "-s -w", "-o", "older", "."}},
	} {
		cmd := exec.Command(step.args[0], step.args[1:]...)
		cmd.Dir, cmd.Env = step.dir, append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v: %v\n%s", step.args, err, out)
		}
	}
	return filepath.Join(dir, "older")
}

// time is how long a command takes, in milliseconds.
func (m *machine) time(args []string) float64 {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = m.env
	if m.stdin != "" {
		file, err := os.Open(m.stdin)
		if err != nil {
			m.t.Fatal(err)
		}
		defer file.Close()
		cmd.Stdin = file
	}
	start := time.Now()
	if err := cmd.Run(); err != nil {
		m.t.Fatalf("%v: %v", args, err)
	}
	return float64(time.Since(start).Microseconds()) / 1000
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// itemAccount is the account of the login's keyring item.
func (m *machine) itemAccount() string {
	for line := range strings.Lines(m.items()) {
		if account, ok := strings.CutPrefix(strings.TrimSpace(line), "attribute.username = "); ok {
			return account
		}
	}
	m.t.Fatal("the keyring has no item of fob's")
	return ""
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

// peakMiB is the largest resident set of a few runs.
func (m *machine) peakMiB(args []string) float64 {
	var peak int64
	for range 10 {
		cmd := m.command(args...)
		if err := cmd.Run(); err != nil {
			m.t.Fatal(err)
		}
		if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
			peak = max(peak, usage.Maxrss)
		}
	}
	return float64(peak) / 1024
}

func sizeMiB(b *testing.B, path string) float64 {
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	return float64(info.Size()) / (1 << 20)
}

// hundredAtExpiry lets a token expire and asks for it a hundred times at once.
func hundredAtExpiry(b *testing.B) string {
	p := startProvider(b, 5)
	m := newMachine(b)
	m.startKeyring()
	m.ok("login", "work", "--issuer", p.issuer, "--client-id", "fob-e2e")
	m.waitForExpiry()
	results := make([]result, 100)
	start := time.Now()
	var wg sync.WaitGroup
	for i := range results {
		wg.Go(func() { results[i] = m.fob("", "token", "work", "--min-ttl", "0s") })
	}
	wg.Wait()
	took := time.Since(start)
	tokens, failures := map[string]bool{}, 0
	for _, r := range results {
		tokens[r.stdout] = true
		if r.status != 0 {
			failures++
		}
	}
	return fmt.Sprintf("%d refresh, %d token, %d failures; all done in %d ms", p.count("refresh_token"), len(tokens), failures, took.Milliseconds())
}

// traceCached names the system calls of a cached token that lock, write a file or
// use the network.
func (m *machine) traceCached(args []string) string {
	trace := filepath.Join(m.t.TempDir(), "trace")
	if out, err := m.command(append([]string{"strace", "-f", "-o", trace, "-e", "trace=flock,fcntl,openat,connect,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdirat"}, args...)...).CombinedOutput(); err != nil {
		m.t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(trace)
	if err != nil {
		m.t.Fatal(err)
	}
	var found []string
	for line := range strings.Lines(string(text)) {
		for _, sign := range []string{"flock(", "F_SETLK", "O_CREAT", "O_RDWR", "O_WRONLY", "AF_INET", "rename", "link", "mkdir"} {
			if strings.Contains(line, sign) && !strings.Contains(line, "/dev/") && !strings.Contains(line, "F_GETFL") {
				found = append(found, strings.TrimSpace(line))
			}
		}
	}
	if len(found) == 0 {
		return "no lock, no file written, no network"
	}
	return strings.Join(found, "; ")
}

func machineName() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOOS
	}
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "model name\t: "); ok {
			return strings.TrimSpace(name)
		}
	}
	return runtime.GOARCH
}
