package e2e

import (
	"bytes"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A refresh is stopped (Ctrl-Z, a debugger, a frozen container) while it holds
// the lock, for longer than the others wait and than the exchange may take.
func TestF54HolderStopped(t *testing.T) {
	t.Parallel()
	server := startIssuer(t)
	m := newMachineAt(t, sealed...)
	m.loginAt(server)
	old := m.ok("token", "work")

	server.command("/test/arm", url.Values{"fault": {"token-held"}})
	holder := m.command(fob, "token", "work", "--force-refresh")
	var stdout, stderr bytes.Buffer
	holder.Stdout, holder.Stderr = &stdout, &stderr
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, 1, func() (int, error) { return server.count("token/refresh"), nil })
	if err := holder.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	server.command("/test/release", nil) // the answer waits in the socket

	m.whileStopped(old)
	if n := server.count("token/refresh"); n != 1 {
		t.Errorf("%d refreshes while the holder was stopped", n)
	}
	if err := holder.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := holder.Wait(); err != nil || stdout.Len() == 0 || stdout.String() == old {
		t.Errorf("the holder, going on: %v\n%s", err, stderr.String())
	}
	if now := m.ok("token", "work"); now != stdout.String() {
		t.Error("the holder's token is not the cached one")
	}
	m.ok("token", "work", "--force-refresh")
	if n := server.count("token/refused"); n != 0 {
		t.Errorf("%d refreshes refused", n)
	}
	addToReport("## The lock's holder is stopped (F54)\n\nStopped for 30 s in the middle of a refresh: ten valid cached tokens came at once, three calls that needed a refresh\nended with exit status 7, the server saw one refresh, and the holder finished when it went on.\n")
}

// whileStopped asks for tokens while nobody gets the lock.
func (m *machine) whileStopped(old string) {
	waits := [][]string{{"--force-refresh"}, {"--min-ttl", "2h"}, {"--force-refresh", "--json"}}
	var wg sync.WaitGroup
	for _, flags := range waits {
		wg.Go(func() {
			r := m.fob("", append([]string{"token", "work"}, flags...)...)
			if r.status != 7 || r.stdout != "" || !strings.Contains(r.stderr, "another process has had") {
				m.t.Errorf("%v: exit status %d, %q\n%s", flags, r.status, r.stdout, r.stderr)
			}
		})
	}
	start := time.Now()
	for range 10 {
		if r := m.fob("", "token", "work"); r.status != 0 || r.stdout != old {
			m.t.Errorf("with a valid token: exit status %d, %q\n%s", r.status, r.stdout, r.stderr)
		}
	}
	if took := time.Since(start); took > 15*time.Second { // half of what a wait for the lock takes
		m.t.Errorf("ten valid tokens took %s", took)
	}
	wg.Wait()
}
