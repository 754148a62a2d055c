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
	loggedIn  bool   // before the command
	cut       effect // a refresh was killed here before the command; zero: none
	refreshes bool   // without grace, a kill between the send and the journal loses the login
	args      []string
	isNew     func(run *machine, before, after origin) bool // the login goes on as the command would have left it
}

var (
	rotated = func(_ *machine, before, after origin) bool { return after.Generation > before.Generation+1 }
	another = func(_ *machine, before, after origin) bool { return after.Family != before.Family }
	movedTo = func(storage string) func(*machine, origin, origin) bool {
		return func(run *machine, _, _ origin) bool {
			return strings.Contains(run.fob("", "status", "work", "--json").stdout, `"storage": "`+storage+`"`)
		}
	}
	refresh   = []string{"token", "work", "--force-refresh"}
	narrower  = []string{"token", "work", "--scope", "openid"}
	relogin   = []string{"login", "work"}
	journaled = effect{"renameat", "data/journal/.work.* → data/journal/work", 2} // the new refresh token is safe
	scenarios = []scenario{
		{name: "refresh, file", storage: "file", loggedIn: true, refreshes: true, args: refresh, isNew: rotated},
		{name: "refresh, keyring", storage: "keyring", loggedIn: true, refreshes: true, args: refresh, isNew: rotated},
		{name: "token of fewer scopes, file", storage: "file", loggedIn: true, refreshes: true, args: narrower, isNew: rotated},
		{name: "refresh that takes up a cut one, file", storage: "file", loggedIn: true, cut: effect{"fsync", "data/records/login", 1}, refreshes: true, args: refresh, isNew: rotated},
		{name: "login again, file", storage: "file", loggedIn: true, args: relogin, isNew: another},
		{name: "login again, keyring", storage: "keyring", loggedIn: true, args: relogin, isNew: another},
		{name: "migrate to file", storage: "keyring", loggedIn: true, args: migrate("file"), isNew: movedTo("file")},
		{name: "migrate to keyring", storage: "file", loggedIn: true, args: migrate("keyring"), isNew: movedTo("keyring")},
		{name: "first login, file", storage: "file", isNew: another},
		{name: "first login, keyring", storage: "keyring", isNew: another},
	}
)

func migrate(to string) []string { return []string{"storage", "migrate", "--to", to, "work"} }

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

	mu     sync.Mutex // guards all below
	killed map[string]map[string]int
	missed []string
	number int // of runs
}

func TestF52KilledAtEveryEffect(t *testing.T) {
	t.Parallel()
	var rows, sums strings.Builder
	for _, grace := range []bool{true, false} {
		var flags []string
		if grace {
			flags = []string{"-grace", "1h"}
		}
		server := startIssuer(t, flags...)
		for _, sc := range scenarios {
			s := &sweep{scenario: sc, t: t, server: server, grace: grace, times: 1, killed: map[string]map[string]int{}}
			if soak != "" {
				s.times, s.after = 3, true
			} else if grace && !s.refreshes {
				continue // no old refresh token comes back
			}
			own, sum := s.table(s.run())
			t.Log(sum)
			rows.WriteString(own)
			sums.WriteString(sum)
		}
	}
	addToReport(fmt.Sprintf(killReport, sums.String(), rows.String()))
}

func (s *sweep) hasKeyring() bool {
	return s.storage == "keyring" || slices.Contains(s.args, "keyring")
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

// run returns the effects that the command was killed at.
func (s *sweep) run() []effect {
	machines := make(chan *machine, 2*runtime.NumCPU()) // they wait for the disk, mostly
	for range cap(machines) {
		machines <- s.machine()
	}
	points := s.record(machines)
	var wg sync.WaitGroup
	for _, j := range s.jobs(points) {
		m := <-machines
		wg.Go(func() {
			defer func() { machines <- m }()
			if s.hasKeyring() && !m.keyringOpens() { // gnome-keyring does that on a slow disk, for good
				s.t.Logf("%s: a keyring locked itself\n%s", s.title(), readText(s.t, m.keyringLog()))
				m = s.machine()
			}
			s.kill(m, j)
		})
	}
	wg.Wait()
	for _, missed := range s.missed {
		s.t.Errorf("%s: not killed at %s", s.title(), missed)
	}
	return points
}

// machine is a new one with the scenario's storage.
func (s *sweep) machine() *machine {
	m := newMachineAt(s.t, "FOB_STORAGE="+s.storage, "FOB_SEAL_KEY="+strings.Repeat("5a", 32))
	m.program = []string{shipped}
	if s.hasKeyring() {
		m.startKeyring()
	}
	return m
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
	v := &victim{sweep: s, m: &machine{t: m.t, program: m.program, home: home, env: append(slices.Clone(m.env), "FOB_HOME="+home+"/fob")}}
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
	if s.cut != (effect{}) {
		if hit, err := v.killAt(job{at: s.cut}); !hit || err != nil {
			s.t.Errorf("%s: not cut at %s: %v", s.title(), s.cut, err)
		}
		v.before.Generation++ // is in the journal
		v.sent, v.journaled = false, false
	}
	return v
}

func (v *victim) argv() []string {
	if len(v.args) == 0 {
		return []string{v.m.program[0], "login", "work", "--issuer", v.server.url, "--client-id", "fob-test"}
	}
	return slices.Concat(v.m.program, v.args)
}

func (v *victim) env() []string { return v.m.command(v.m.program...).Environ() }

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
			v.journaled = v.journaled || e == journaled
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
	case !v.loggedIn && next.status == 2 && now.stdout == "" && strings.Contains(next.stderr, "fob doctor"):
		doctor := v.m.fob("", "doctor", "--fix", "--yes") // the login is stored without its settings
		if again := v.m.fob("", "token", "work", "--force-refresh"); again.status != 0 {
			return "broken", fmt.Errorf("after 'fob doctor --fix': exit status %d\n%s\n%s", again.status, again.stderr, doctor.stdout)
		}
		v.m.loginAt(v.server)
		return leftNew, nil
	case next.status == 4 && strings.Contains(next.stderr, "interrupted before its response"):
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
	if v.hasKeyring() {
		v.m.fob("", "logout", "work", "--local")
	}
	_ = os.RemoveAll(v.m.home)
}

// row is a line of the report.
func (s *sweep) row(point string, left map[string]int) string {
	killed := 0
	for _, n := range left {
		killed += n
	}
	return fmt.Sprintf("| %s | %s | %d | %d | %d | %d |\n", s.title(), point, killed, left[leftOld], left[leftNew], left[leftLost])
}

// table has a row for each distinct effect, and their sum.
func (s *sweep) table(points []effect) (rows, sum string) {
	total := map[string]int{}
	for _, kind := range kinds(points) {
		rows += s.row("`"+kind+"`", s.killed[kind])
		for left, n := range s.killed[kind] {
			total[left] += n
		}
	}
	return rows, s.row("all", total)
}

const killReport = `## Killed at every effect (F52)

Each command is killed with SIGKILL at each call that others can see, three times before it happens and three times
after. A point stands for all calls of its kind. Then come 'fob token work' and two 'fob token work --force-refresh'.
Old and new: the login goes on as it was before the command, or as the command would have left it. A first login has
no old one: there fob says what to do, and a login works, or 'fob doctor --fix' rebuilds its settings. Lost: the
refresh had reached a server that takes no refresh token twice, its answer was not kept yet, and the next call says
just that with exit status 4.

| scenario | point | killed | old | new | lost |
|---|---|---|---|---|---|
%s
Each by itself:

| scenario | point | killed | old | new | lost |
|---|---|---|---|---|---|
%s`
