package e2e

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
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

	"github.com/fobcli/fob/internal/authservertest"
)

// killedCrowd is a number of processes that share one login, while random ones are killed.
type killedCrowd struct {
	t        *testing.T
	m        *machine
	server   *authservertest.Server
	issuer   *issuer // the same
	grace    bool
	browser  string // the file that lists what a browser was asked to open
	journal  string // the file in which fob notes that it is refreshing
	duration time.Duration

	mu      sync.Mutex // guards all below
	calls   int
	killed  int
	slowest time.Duration
	failed  []string  // the output of processes that failed without being killed
	lost    int       // logins
	named   int       // of these, those whose cause a process reported
	login   time.Time // of the current login

	atServer sync.Mutex // guards all below, and each call
	running  map[int]*call
	firstUse map[string]*call // of each refresh token
	aimed    bool             // a refresh was killed on purpose
}

// call is one process.
type call struct {
	*exec.Cmd
	answered time.Time // by the issuer; zero: not yet
	cut      bool      // it was killed before it had stored the response to a refresh
	refused  bool      // the issuer refused its refresh token
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
	long, many := "5s", "8"
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
used before. Each time, the process that had used it was killed before it had stored the response: the issuer knows which process
sent each refresh. Each process that was refused, and not killed, reported that. A report was cut off if it was killed, too.

| issuer | calls | killed | refreshes | browsers opened | failed calls of others | logins lost | reports cut off | slowest call |
|---|---|---|---|---|---|---|---|---|
%s`

func newKilledCrowd(t *testing.T, grace bool, duration time.Duration) *killedCrowd {
	t.Helper()
	c := &killedCrowd{t: t, m: newMachineAt(t, sealed...), grace: grace, duration: duration, running: map[int]*call{}, firstUse: map[string]*call{}}
	opts := authservertest.Options{TokenLifetime: 5 * time.Second, Latency: 300 * time.Millisecond, Front: c.observe}
	if soak == "" {
		opts.TokenLifetime = 2 * time.Second
	}
	if grace {
		opts.Grace = time.Minute
	}
	var err error
	if c.server, err = authservertest.Start(opts); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.server.Close)
	c.issuer = &issuer{t, c.server.Issuer()}
	c.m.program = []string{shipped}
	c.m.loginAt(c.issuer)
	c.browser = filepath.Join(c.m.home, "opened")
	c.journal = filepath.Join(c.m.home, ".local", "share", "fob", "journal", "work")
	if _, err := os.Stat(filepath.Dir(filepath.Dir(c.journal))); err != nil {
		t.Fatal(err)
	}
	return c
}

// observe notes who sent each refresh. A token that is refused was used before, by a process
// that was killed before it had stored the response: nothing else may end the login.
func (c *killedCrowd) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := r.PostFormValue("refresh_token")
		if token == "" {
			next.ServeHTTP(w, r)
			return
		}
		sender := c.senderOf(r)
		response := httptest.NewRecorder()
		next.ServeHTTP(response, r)
		c.noteRefresh(token, sender, response.Code)
		maps.Copy(w.Header(), response.Header())
		w.WriteHeader(response.Code)
		_, _ = io.Copy(w, response.Body)
	})
}

func (c *killedCrowd) noteRefresh(token string, sender *call, status int) {
	c.atServer.Lock()
	defer c.atServer.Unlock()
	first, used := c.firstUse[token]
	if !used {
		c.firstUse[token] = sender
	}
	switch {
	case status != http.StatusOK:
		sender.refused = true
		if !used || !first.cut {
			c.t.Errorf("the issuer answered %d to a refresh token; used before: %v, by a process that was killed before it had the response: %v", status, used, used && first.cut)
		}
	case soak == "" && !c.aimed: // chance might meet none of a few refreshes
		c.aimed = true
		c.kill(sender)
	}
	sender.answered = time.Now()
}

// senderOf finds the process of a connection. One that cannot be found has been killed since:
// nothing else ends a process that waits for a response.
func (c *killedCrowd) senderOf(r *http.Request) *call {
	_, text, _ := net.SplitHostPort(r.RemoteAddr)
	port, _ := strconv.Atoi(text)
	table := readText(c.t, "/proc/net/tcp")
	socket := ""
	for line := range strings.Lines(table) {
		if fields := strings.Fields(line); fields[1] == fmt.Sprintf("0100007F:%04X", port) {
			socket = "socket:[" + fields[9] + "]"
		}
	}
	c.atServer.Lock()
	defer c.atServer.Unlock()
	for pid, call := range c.running {
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		for _, file := range files {
			if link, _ := os.Readlink(file); link == socket {
				return call
			}
		}
	}
	return &call{cut: true}
}

// kill kills a process, and notes whether a refresh had no stored response: fob has a second to
// store it. The login's lock has one holder: a process that does not refresh has used no token.
func (c *killedCrowd) kill(process *call) {
	if process.Cmd == nil {
		return
	}
	text, _ := os.ReadFile(c.journal)
	process.cut = string(text) == "fob is refreshing\n" && (process.answered.IsZero() || time.Since(process.answered) < time.Second)
	_ = process.Process.Kill()
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

// start runs a process, which is killed at random if it is one of every fifth.
func (c *killedCrowd) start(env []string) (process *call, stdout, stderr *bytes.Buffer) {
	process = &call{Cmd: exec.Command(c.m.program[0], "token", "work")}
	stdout, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	process.Env, process.Stdout, process.Stderr = env, stdout, stderr
	c.atServer.Lock()
	defer c.atServer.Unlock()
	if err := process.Start(); err != nil {
		c.t.Error(err)
		return nil, nil, nil
	}
	c.running[process.Process.Pid] = process
	if rand.IntN(5) == 0 {
		time.AfterFunc(time.Duration(rand.Int64N(int64(500*time.Millisecond))), func() {
			c.atServer.Lock()
			defer c.atServer.Unlock()
			if c.running[process.Process.Pid] == process {
				c.kill(process)
			}
		})
	}
	return process, stdout, stderr
}

// call runs one process, and judges how it ended.
func (c *killedCrowd) call(env []string) {
	began := time.Now()
	process, stdout, stderr := c.start(env)
	if process == nil {
		return
	}
	_ = process.Wait() // its state says more
	took := time.Since(began)
	status, said := process.ProcessState.Sys().(syscall.WaitStatus), stderr.String()
	c.atServer.Lock()
	delete(c.running, process.Process.Pid)
	refused := process.refused
	c.atServer.Unlock()

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
	isEnd := named || strings.Contains(said, endedReport) && !refused
	if c.grace || !status.Signaled() && status.ExitStatus() != 4 || !isEnd {
		c.failed = append(c.failed, fmt.Sprintf("wait status %x, refused %v, %q\n%s", status, refused, stdout.String(), said))
		return
	}
	if named {
		c.named++
	}
	if began.After(c.login) { // calls from before it report the end of the last one
		c.lost++
		c.m.loginAt(c.issuer)
		c.login = time.Now()
	}
}

// result checks the counts of a run, and returns its row.
func (c *killedCrowd) result() string {
	opened, _ := os.ReadFile(c.browser)
	refreshes, refused := c.server.Count("token/refresh"), c.server.Count("token/refused")
	if soak != "" && c.killed == 0 || len(opened) > 0 || len(c.failed) > 0 {
		c.t.Errorf("%d calls were killed; a browser opened %q; %d others failed, the first with %s", c.killed, opened, len(c.failed), slices.Concat(c.failed, []string{"none"})[0])
	}
	if refused < c.lost || c.grace && refused > 0 || c.named > c.lost || soak == "" && c.aimed && !c.grace && c.lost == 0 {
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
