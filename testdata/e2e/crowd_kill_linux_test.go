package e2e

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// killedCrowd is a number of processes that share one login, while random ones are killed.
type killedCrowd struct {
	t        *testing.T
	m        *machine
	server   *issuer
	grace    bool
	browser  string // the file that lists what a browser was asked to open
	duration time.Duration

	mu      sync.Mutex // guards all below
	calls   int
	killed  int
	slowest time.Duration
	failed  []string  // the output of processes that failed without being killed
	lost    int       // logins
	named   int       // of these, those whose cause a process reported
	login   time.Time // of the current login
}

// What a login that has ended reports, first and later.
const (
	lostReport  = "interrupted before its response"
	endedReport = "was ended at the server"
)

// With a grace period for used refresh tokens, no kill may end the login. Without one, only a
// kill between request and response may, and fob says so.
func TestF52CrowdKilledAtRandom(t *testing.T) {
	t.Parallel()
	long, many := "6s", "8"
	if soak != "" {
		long, many = cmp.Or(os.Getenv("FOB_SOAK_DURATION"), "1h"), cmp.Or(os.Getenv("FOB_SOAK_PROCESSES"), "50")
	}
	duration, err := time.ParseDuration(long)
	if err != nil {
		t.Fatal(err)
	}
	processes, err := strconv.Atoi(many)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex // guards rows
	var rows []string
	t.Run("issuer", func(t *testing.T) {
		for _, grace := range []bool{true, false} {
			t.Run(fmt.Sprintf("grace %v", grace), func(t *testing.T) {
				t.Parallel()
				row := newKilledCrowd(t, grace, duration).run(processes)
				t.Log(row)
				mu.Lock()
				defer mu.Unlock()
				rows = append(rows, row)
			})
		}
	})
	slices.Sort(rows)
	addToReport(fmt.Sprintf(crowdReport, processes, time.Now().UTC().Format(time.DateOnly), duration, strings.Join(rows, "")))
}

const crowdReport = `## %d processes of one login, killed at random (%s)

For %s, each process asks for a token once a second; tokens are valid for 5 s, and the issuer takes 0.3 s. Every fifth
process is killed with SIGKILL at a random moment, if it is still running. Lost: the issuer refused a refresh token that was
used before, since a process was killed between request and response. A report was cut off if the process that
the issuer refused was killed, too.

| issuer | calls | killed | refreshes | browsers opened | failed calls of others | logins lost | reports cut off | slowest call |
|---|---|---|---|---|---|---|---|---|
%s`

func newKilledCrowd(t *testing.T, grace bool, duration time.Duration) *killedCrowd {
	t.Helper()
	flags := []string{"-token-lifetime", "5s", "-latency", "300ms"}
	if soak == "" { // too short for a kill to meet one of few refreshes
		flags[1] = "1s"
	}
	if grace {
		flags = append(flags, "-grace", "1m")
	}
	c := &killedCrowd{t: t, server: startIssuer(t, flags...), m: newMachineAt(t, sealed...), grace: grace, duration: duration}
	c.m.program = []string{shipped}
	c.m.loginAt(c.server)
	c.browser = filepath.Join(c.m.home, "opened")
	return c
}

// run returns a row of the report.
func (c *killedCrowd) run(processes int) string {
	end := time.Now().Add(c.duration)
	opener := filepath.Join(c.m.home, "browser")
	if err := os.WriteFile(opener, []byte("#!/bin/sh\necho \"$1\" >>"+c.browser+"\n"), 0o700); err != nil {
		c.t.Fatal(err)
	}
	env := append(slices.Clone(c.m.env), "BROWSER="+opener)
	var crowd sync.WaitGroup
	for range processes {
		crowd.Go(func() {
			again := time.NewTicker(time.Second)
			defer again.Stop()
			for time.Now().Before(end) {
				c.call(env)
				<-again.C
			}
		})
	}
	crowd.Wait()
	return c.result()
}

// call runs one process, and kills every fifth.
func (c *killedCrowd) call(env []string) {
	cmd := exec.Command(c.m.program[0], "token", "work")
	var stdout, stderr bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = env, &stdout, &stderr
	start := time.Now()
	if err := cmd.Start(); err != nil {
		c.t.Error(err)
		return
	}
	if rand.IntN(5) == 0 {
		killer := time.AfterFunc(time.Duration(rand.Int64N(int64(500*time.Millisecond))), func() { _ = cmd.Process.Kill() })
		defer killer.Stop()
	}
	_ = cmd.Wait() // its state says more
	took := time.Since(start)
	status, said := cmd.ProcessState.Sys().(syscall.WaitStatus), stderr.String()

	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	named := strings.Contains(said, lostReport)
	switch {
	case status.Signaled():
		c.killed++
		if !named {
			return
		}
	case status.ExitStatus() == 0 && strings.TrimSpace(stdout.String()) != "":
		c.slowest = max(c.slowest, took)
		return
	}
	isEnd := named || strings.Contains(said, endedReport) || strings.Contains(said, "has ended the login")
	if c.grace || !status.Signaled() && status.ExitStatus() != 4 || !isEnd {
		c.failed = append(c.failed, fmt.Sprintf("wait status %x, %q\n%s", status, stdout.String(), said))
		return
	}
	if named {
		c.named++
	}
	if start.After(c.login) { // calls from before it report the end of the last one
		c.lost++
		c.m.loginAt(c.server)
		c.login = time.Now()
	}
}

// result checks the counts of a run, and returns its row.
func (c *killedCrowd) result() string {
	opened, _ := os.ReadFile(c.browser)
	refreshes, refused := c.server.count("token/refresh"), c.server.count("token/refused")
	if soak != "" && c.killed == 0 || len(opened) > 0 || len(c.failed) > 0 {
		c.t.Errorf("%d calls were killed; a browser opened %q; %d others failed, the first with %s", c.killed, opened, len(c.failed), slices.Concat(c.failed, []string{"none"})[0])
	}
	if refused < c.lost || c.grace && refused > 0 || c.named > c.lost || c.lost > 4 && c.named < c.lost/2 {
		c.t.Errorf("the issuer refused %d refreshes; %d logins were lost, and the cause of %d was reported", refused, c.lost, c.named)
	}
	if now := c.m.fob("", "token", "work", "--force-refresh"); now.status != 0 && (c.grace || now.status != 4) {
		c.t.Errorf("afterwards: exit status %d\n%s", now.status, now.stderr)
	}
	name := "reuse ends the login"
	if c.grace {
		name = "grace period of 1 min"
	}
	return fmt.Sprintf("| %s | %d | %d | %d | %d | %d | %d | %d | %.1f s |\n", name, c.calls, c.killed, refreshes, strings.Count(string(opened), "\n"), len(c.failed), c.lost, c.lost-c.named, c.slowest.Seconds())
}
