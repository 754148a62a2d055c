package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A cached token costs its process no lock and no write, however many ask.
func TestCachedTokensOnlyRead(t *testing.T) {
	for _, storage := range []string{"file", "keyring"} {
		server := startIssuer(t)
		m := newMachineAt(t, append(sealed, "FOB_STORAGE="+storage)...)
		allowed := []string{"write stdout"}
		if storage == "keyring" {
			m.startKeyring()
			allowed = append(allowed, "connect the D-Bus socket", "send the D-Bus socket", "write the D-Bus socket")
		}
		m.loginAt(server)
		times := 100
		if soak != "" {
			times = 1000
		}
		c := m.askAtOnce(times, 50)
		if c.failures > 0 || len(c.tokens) != 1 || server.count("token/refresh") != 0 {
			t.Errorf("%s: %d failures, %d tokens, %d refreshes\n%s", storage, c.failures, len(c.tokens), server.count("token/refresh"), c.worst)
		}
		for _, command := range [][]string{{"token", "work"}, {"helper", "kubectl", "work", "--token", "access"}} {
			for _, kind := range kinds(m.effectsOf(server, command...)) {
				if !slices.Contains(allowed, kind) {
					t.Errorf("%s: a cached token costs 'fob %s': %s", storage, strings.Join(command, " "), kind)
				}
			}
		}
		calls := m.callsOf("token", "work") - m.callsOf("version")
		if limit := map[string]int{"file": 60, "keyring": 200}[storage]; calls > limit {
			t.Errorf("%s: a cached token takes %d system calls more than 'fob version', and may take %d", storage, calls, limit)
		}
		if soak != "" {
			addToReport(fmt.Sprintf("## %d cached tokens, 50 at once, %s\n\n%.0f a second, %d failures; a traced one: no lock, no file written, no network.\n", times, storage, float64(times)/c.all.Seconds(), c.failures))
		}
	}
}

func (m *machine) effectsOf(server *issuer, args ...string) []effect {
	m.t.Helper()
	out, err := os.Create(filepath.Join(m.home, "out"))
	if err != nil {
		m.t.Fatal(err)
	}
	defer out.Close()
	all, err := (&tracer{home: m.home, issuer: server.port()}).effects(append([]string{fob}, args...), m.command(fob).Environ(), out, out)
	if err != nil || len(all) == 0 {
		m.t.Fatalf("%d effects, %v", len(all), err)
	}
	return all
}

// callsOf counts the system calls of a command, without those of Go's threads and memory. Go
// starts threads as it likes: the fewest of some runs count.
func (m *machine) callsOf(args ...string) int {
	m.t.Helper()
	fewest := 0
	for range 5 {
		trace := filepath.Join(m.t.TempDir(), "trace")
		if out, err := m.command(append([]string{"strace", "-f", "-qq", "-e", "signal=none", "-e", "trace=!futex,nanosleep,sched_yield,getpid,gettid,tgkill,rt_sigreturn,rt_sigprocmask,sigaltstack,clone,clone3,mmap,munmap,madvise", "-o", trace, fob}, args...)...).CombinedOutput(); err != nil {
			m.t.Fatalf("%v\n%s", err, out)
		}
		text, err := os.ReadFile(trace)
		if err != nil {
			m.t.Fatal(err)
		}
		calls := strings.Count(string(text), "\n") - strings.Count(string(text), " resumed>")
		if fewest == 0 || calls < fewest {
			fewest = calls
		}
	}
	return fewest
}
