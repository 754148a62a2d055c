package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// scenario is a command that is killed at each of its effects.
type scenario struct {
	name      string
	storage   string // of the login: keyring or file
	env       []string
	loggedIn  bool // before the command
	refreshes bool // without grace, a kill between the send and the journal loses the login
	args      []string
	isNew     func(run *machine, before, after origin) bool // the login goes on as the command would have left it
}

var (
	rotated   = func(_ *machine, _, after origin) bool { return after.Generation > 1 }
	another   = func(_ *machine, before, after origin) bool { return after.Family != before.Family }
	refresh   = []string{"token", "work", "--force-refresh"}
	relogin   = []string{"login", "work"}
	scenarios = []scenario{
		{name: "refresh, file", storage: "file", loggedIn: true, refreshes: true, args: refresh, isNew: rotated},
		{name: "refresh, keyring", storage: "keyring", loggedIn: true, refreshes: true, args: refresh, isNew: rotated},
		{name: "login again, file", storage: "file", loggedIn: true, args: relogin, isNew: another},
		{name: "login again, keyring", storage: "keyring", loggedIn: true, args: relogin, isNew: another},
		{name: "migrate to file", storage: "keyring", loggedIn: true, args: migrate("file"), isNew: livesIn("file")},
		{name: "migrate to keyring", storage: "file", loggedIn: true, args: migrate("keyring"), isNew: livesIn("keyring")},
		{name: "first login, file", storage: "file", isNew: another},
		{name: "first login, keyring", storage: "keyring", isNew: another},
	}
)

func migrate(to string) []string { return []string{"storage", "migrate", "--to", to, "work"} }

func livesIn(storage string) func(*machine, origin, origin) bool {
	return func(run *machine, _, _ origin) bool {
		return strings.Contains(run.ok("status", "work", "--json"), `"storage": "`+storage+`"`)
	}
}

// What a kill leaves.
const (
	leftOld  = "old"
	leftNew  = "new"
	leftLost = "lost" // the server may have rotated the token, and fob says so
)

// sweep is one scenario at one server.
type sweep struct {
	scenario
	t      *testing.T
	server *issuer
	grace  bool
	times  int  // that each effect is killed at, before it happens
	after  bool // kill right after each effect, too

	mu      sync.Mutex // guards all below
	killed  map[string]map[string]int
	missed  []string
	number  int
	started map[string]bool
}

func TestF52KilledAtEveryEffect(t *testing.T) {
	t.Parallel()
	for _, grace := range []bool{true, false} {
		var flags []string
		if grace {
			flags = []string{"-grace"}
		}
		server := startIssuer(t, flags...)
		for _, sc := range scenarios {
			s := &sweep{scenario: sc, t: t, server: server, grace: grace, times: 1}
			if soak != "" {
				s.times, s.after = 3, true
			}
			s.run()
		}
	}
}

func (s *sweep) title() string {
	if s.grace {
		return s.name + ", grace"
	}
	return s.name + ", reuse detection"
}

// job is one kill: at an effect, or right after it.
type job struct {
	at    effect
	after bool
}

func (s *sweep) run() {
	machines := make(chan *machine, runtime.NumCPU()+1)
	for range cap(machines) {
		m := newMachineAt(s.t, "FOB_STORAGE="+s.storage, "FOB_SEAL_KEY="+strings.Repeat("5a", 32))
		if s.storage == "keyring" || slices.Contains(s.args, "keyring") {
			m.startKeyring()
		}
		machines <- m
	}
	points := s.record(machines)
	s.killed = map[string]map[string]int{}
	var wg sync.WaitGroup
	for _, j := range s.jobs(points) {
		m := <-machines
		wg.Go(func() {
			defer func() { machines <- m }()
			s.kill(m, j)
		})
	}
	wg.Wait()
	for _, missed := range s.missed {
		s.t.Errorf("%s: not killed at %s", s.title(), missed)
	}
	s.t.Log("\n" + s.table(points))
	addToReport(s.table(points))
}

// record lists the effects that each of three whole runs has.
func (s *sweep) record(machines chan *machine) []effect {
	m := <-machines
	defer func() { machines <- m }()
	var common []effect
	for i := range 3 {
		v := s.prepare(m)
		all, err := v.trace().effects(v.argv(), v.env(), v.stdout, v.stderr)
		if err != nil {
			s.t.Fatalf("%s: %v\n%s", s.title(), err, v.said())
		}
		if i == 0 {
			common = all
		}
		common = slices.DeleteFunc(common, func(e effect) bool { return !slices.Contains(all, e) })
		v.tidy()
	}
	if len(common) < 10 {
		s.t.Fatalf("%s: only %d effects: %v", s.title(), len(common), common)
	}
	return common
}

func (s *sweep) jobs(points []effect) []job {
	var jobs []job
	for _, e := range points {
		for range s.times {
			jobs = append(jobs, job{at: e})
			if s.after {
				jobs = append(jobs, job{at: e, after: true})
			}
		}
	}
	return jobs
}

// kill does one job. The order of effects between threads is not quite the same
// in each run, so that a run may end without having come to this one.
func (s *sweep) kill(m *machine, j job) {
	for range 5 {
		v := s.prepare(m)
		hit, err := v.killAt(j)
		if err != nil {
			s.t.Errorf("%s: %v", s.title(), err)
			return
		}
		if hit {
			left, err := v.left()
			if err != nil {
				s.t.Errorf("%s: killed at %s (after it: %v): %v", s.title(), j.at, j.after, err)
			}
			s.note(j.at, left)
			v.tidy()
			return
		}
		v.tidy()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.missed = append(s.missed, j.at.String())
}

func (s *sweep) note(e effect, left string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.killed[e.kind()] == nil {
		s.killed[e.kind()] = map[string]int{}
	}
	s.killed[e.kind()][left]++
}

// victim is one run of the command, in a home of its own.
type victim struct {
	*sweep
	m              *machine
	before         origin
	stdout, stderr *os.File

	sent, journaled bool // before the kill
}

func (s *sweep) prepare(m *machine) *victim {
	s.mu.Lock()
	s.number++
	home := filepath.Join(m.home, strconv.Itoa(s.number))
	s.mu.Unlock()
	v := &victim{sweep: s, m: &machine{t: m.t, home: home, program: m.program, env: append(slices.Clone(m.env), "FOB_HOME="+home+"/fob")}}
	if err := os.Mkdir(home, 0o700); err != nil {
		s.t.Error(err)
	}
	for name, file := range map[string]**os.File{"stdout": &v.stdout, "stderr": &v.stderr} {
		var err error
		if *file, err = os.Create(filepath.Join(home, name)); err != nil {
			s.t.Error(err)
		}
	}
	if s.loggedIn {
		v.m.loginAt(s.server)
		var err error
		if v.before, err = s.server.origin(v.m.ok("token", "work")); err != nil {
			s.t.Error(err)
		}
	}
	return v
}

func (v *victim) argv() []string {
	if len(v.args) == 0 {
		return []string{fob, "login", "work", "--issuer", v.server.url, "--client-id", "fob-test"}
	}
	return append([]string{fob}, v.args...)
}

func (v *victim) env() []string { return v.m.command(fob).Environ() }

func (v *victim) trace() *tracer {
	return &tracer{home: v.m.home + "/fob", issuer: v.server.port()}
}

func (v *victim) said() string {
	text, _ := os.ReadFile(v.stderr.Name())
	return string(text)
}

func (v *victim) killAt(j job) (hit bool, err error) {
	t := v.trace()
	t.at = func(e effect, happened bool) bool {
		if hit {
			return false
		}
		if happened {
			v.sent = v.sent || e.kind() == "write the issuer"
			v.journaled = v.journaled || e == effect{"renameat", "data/journal/.work.* → data/journal/work", 2}
		}
		hit = e == j.at && happened == j.after
		return hit
	}
	status, err := t.run(v.argv(), v.env(), v.stdout, v.stderr)
	if err == nil && hit != status.Signaled() && !j.after { // a kill may come after the last line
		err = fmt.Errorf("at %s: wait status %x\n%s", j.at, status, v.said())
	}
	return hit, err
}

// left tells what the kill has left, by what the user sees next.
func (v *victim) left() (string, error) {
	now := v.m.fob("", "token", "work")
	next := v.m.fob("", "token", "work", "--force-refresh")
	switch {
	case next.status == 0:
		return v.alive(now, next)
	case !v.loggedIn && (next.status == 2 || next.status == 4) && now.stdout == "" && strings.Contains(next.stderr, "fob login"):
		v.m.loginAt(v.server) // nothing must be in its way
		return leftOld, nil
	case next.status == 4 && strings.Contains(next.stderr, "cut off before its answer came"):
		if !v.refreshes || v.grace || !v.sent || v.journaled {
			return leftLost, fmt.Errorf("the login is lost (request sent %v, answer kept %v)\n%s", v.sent, v.journaled, next.stderr)
		}
		v.m.loginAt(v.server)
		return leftLost, nil
	}
	return "broken", fmt.Errorf("token: exit status %d, --force-refresh: exit status %d\n%s%s", now.status, next.status, now.stderr, next.stderr)
}

// alive is left for a login that goes on.
func (v *victim) alive(now, next result) (string, error) {
	if now.status != 0 || now.stdout == "" {
		return "broken", fmt.Errorf("token: exit status %d\n%s", now.status, now.stderr)
	}
	after, err := v.server.origin(next.stdout)
	if err != nil {
		return "broken", err
	}
	if again := v.m.fob("", "token", "work", "--force-refresh"); again.status != 0 {
		return "broken", fmt.Errorf("one refresh more: exit status %d\n%s", again.status, again.stderr)
	}
	if v.isNew(v.m, v.before, after) {
		return leftNew, nil
	}
	if v.journaled && v.refreshes {
		return leftOld, fmt.Errorf("the journal held the new refresh token, and it was not taken up")
	}
	return leftOld, nil
}

// tidy keeps the keyring small, since it is written whole each time.
func (v *victim) tidy() {
	_ = v.stdout.Close()
	_ = v.stderr.Close()
	if v.storage == "keyring" || slices.Contains(v.args, "keyring") {
		v.m.fob("", "logout", "work", "--local")
	}
	_ = os.RemoveAll(v.m.home)
}

// table has one line for each distinct effect.
func (s *sweep) table(points []effect) string {
	var b strings.Builder
	fmt.Fprintf(&b, "## Killed: %s\n\n| point | killed | old | new | lost |\n|---|---|---|---|---|\n", s.title())
	sum := map[string]int{}
	row := func(name string, by map[string]int) {
		killed := 0
		for left, n := range by {
			killed += n
			if name != "all" {
				sum[left] += n
			}
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d |\n", name, killed, by[leftOld], by[leftNew], by[leftLost])
	}
	for _, kind := range kinds(points) {
		row("`"+kind+"`", s.killed[kind])
	}
	row("all", sum)
	return b.String()
}
