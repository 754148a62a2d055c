package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func BenchmarkStart(b *testing.B) {
	t, began := newTable(b, "Start"), time.Now()
	i := startIssuer(b)
	inFiles, inKeyring := newMachineAt(b, sealed...), newMachineAt(b)
	inKeyring.startKeyring()
	inFiles.loginAt(i)
	inKeyring.loginAt(i)
	version, token := command{inFiles, []string{fob, "version"}}, []string{fob, "token", "work"}
	t.pair(version, t.hello)
	t.pair(command{inFiles, token}, t.hello)
	t.pair(command{inKeyring, token}, command{inKeyring, []string{"secret-tool", "lookup", "service", "fob", "username", inKeyring.itemAccount()}})
	faults := median(t.inTurn(command{inFiles, token})[0].faults)
	t.add(cells{measured: fmt.Sprintf("%.0f", faults), value: faults})
	size := sizeMiB(b, fob)
	t.add(cells{measured: fmt.Sprintf("%.1f", size), value: size})
	peak := 0.0
	for range 10 {
		peak = max(peak, command{inKeyring, token}.peakMiB())
	}
	t.add(cells{measured: fmt.Sprintf("%.1f", peak), value: peak})
	atSize := func(size string) *machine {
		m := newMachineAt(b)
		m.startKeyring()
		m.loginAt(startIssuer(b, "-token-size", size))
		return m
	}
	small, large := atSize("100"), atSize("6000") // the large one is stored in pieces
	for _, args := range [][]string{token, append(slices.Clone(token), "--force-refresh")} {
		t.pair(command{large, args}, command{small, args})
	}
	m, api := newMachineAt(b), i.url+"/api/two"
	m.startKeyring()
	m.ok("login", "work", "--issuer", i.url, "--client-id", "fob-test", "--resource", i.url+"/api/one", "--resource", api)
	t.pair(command{m, append(slices.Clone(token), "--resource", api)}, command{m, token})
	t.pair(command{inFiles, []string{fob, "exec", "--env", "T=token/work", "--", "true"}}, command{inFiles, token})
	keys := newMachine(b)
	keys.stdin = filepath.Join(keys.home, "key.txt")
	key := keys.ok("key", "create", "--owner", "billing", "--env", "live", "--scope", "orders:read", "--yes")
	if err := os.WriteFile(keys.stdin, []byte(key), 0o600); err != nil {
		b.Fatal(err)
	}
	t.pair(command{keys, []string{fob, "key", "verify", "--env", "live", "--scope", "orders:read"}}, version)
	t.finish(began)
}

// BenchmarkOlder compares fob with that of an older commit.
func BenchmarkOlder(b *testing.B) {
	t, began := newTable(b, "Older"), time.Now()
	i := startIssuer(b)
	programs := []string{copyOf(b, fob), copyOf(b, buildCommit(b, "a604436"))}
	args := [][]string{{"token", "work"}, {"token", "work", "--force-refresh"}}
	var machines [2][2]*machine // by storage and program
	for s, storage := range []string{"file", "keyring"} {
		for p, program := range programs {
			m := newMachineAt(b, append(slices.Clone(sealed), "FOB_STORAGE="+storage)...)
			if storage == "keyring" {
				m.startKeyring()
			}
			m.program = []string{program}
			m.loginAt(i)
			machines[s][p] = m
		}
	}
	pair := func(storage int, args []string) {
		now, older := machines[storage][0], machines[storage][1]
		t.pair(command{now, slices.Concat(now.program, args)}, command{older, slices.Concat(older.program, args)})
	}
	pair(0, []string{"version"})
	for _, args := range args {
		pair(0, args)
		pair(1, args)
	}
	t.finish(began)
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
	if err := exec.Command("git", "-C", root, "cat-file", "-e", commit+"^{commit}").Run(); err != nil {
		b.Fatalf("this clone lacks the commit %s: run 'git fetch --unshallow'", commit)
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

// peakMiB is the largest resident set of a command. GNU time measures it: the figure of a
// process that a large one has started includes that one's, up to its exec.
func (c command) peakMiB() float64 {
	c.t.Helper()
	out := filepath.Join(c.t.TempDir(), "peak")
	command{c.machine, slices.Concat([]string{"/usr/bin/time", "-f", "%M", "-o", out}, c.args)}.run()
	kib, err := strconv.ParseFloat(strings.TrimSpace(readText(c.t, out)), 64)
	if err != nil {
		c.t.Fatal(err)
	}
	return kib / 1024
}

func sizeMiB(b *testing.B, path string) float64 {
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	return float64(info.Size()) / (1 << 20)
}

// BenchmarkCrowd runs many processes at once.
func BenchmarkCrowd(b *testing.B) {
	t, began := newTable(b, "Crowd"), time.Now()
	p := startProvider(b, 5)
	m := newMachine(b)
	m.startKeyring()
	m.ok("login", "work", "--issuer", p.issuer, "--client-id", "fob-e2e")
	m.waitForExpiry()
	c := m.askAtOnce(100, 100)
	t.add(cells{measured: fmt.Sprintf("%d, %d failures, %d tokens, %s", p.count("refresh_token"), c.failures, len(c.tokens), c.all.Round(time.Millisecond)), value: float64(p.count("refresh_token"))})
	for _, storage := range []string{"file", "keyring"} {
		var expired, valid samples
		for _, r := range roundsAtExpiry(b, storage, "0s", 3, 500) {
			expired.wall, valid.wall = append(expired.wall, r.expired.all.Seconds()), append(valid.wall, r.valid.all.Seconds())
		}
		t.addPair(expired, valid, "s", "")
	}
	for _, storage := range []string{"file", "keyring"} {
		m := newMachineAt(b, append(slices.Clone(sealed), "FOB_STORAGE="+storage)...)
		if storage == "keyring" {
			m.startKeyring()
		}
		m.loginAt(startIssuer(b))
		c := m.askAtOnce(1000, 50)
		t.add(cells{measured: fmt.Sprintf("%.0f per second, %d failures", 1000/c.all.Seconds(), c.failures)})
	}
	t.finish(began)
}
