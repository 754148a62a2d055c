package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// theDay is a machine on the day of a compromise: a key in a .env file, in Vault's engine,
// and behind a program, and a fob that may be killed at any of these.
type theDay struct {
	*machine
	v     *vaultEngine
	rng   *rand.Rand
	trace []string // of this sequence

	reports int // names one for each incident

	mu   sync.Mutex // guards what follows
	gate string     // where the running fob is killed, or what refuses it
	pid  int
}

// daysProgram stores its stdin. $dir/gate is when it kills fob, or what else it does: a
// program that is late waits until fob is dead, and somebody opens the pipe.
const daysProgram = `d=%q; v=$(cat); g=$(cat $d/gate)
case $g in
"exec: before") kill -9 $PPID; exit ;;
"exec: late") kill -9 $PPID; read x <$d/pipe ;;
"exec: refused") echo no >&2; exit 1 ;;
esac
printf %%s "$v" >$d/put.new && mv $d/put.new $d/put
if test "$g" = "exec: after"; then kill -9 $PPID; fi
`

func newDay(t *testing.T, rng *rand.Rand) *theDay {
	t.Helper()
	v := newVaultEngine(t)
	d := &theDay{machine: newVaultMachine(t, v), v: v, rng: rng}
	v.Config.Handler = d
	d.env = append(d.env, "FOB_HOME="+d.home+"/fob")
	config := fmt.Sprintf("[commands]\nput = [\"/bin/sh\", \"-c\", %q]\n[destination]\ndotenv_roots = [%q]\n", fmt.Sprintf(daysProgram, d.home), d.home)
	if err := errors.Join(os.Mkdir(d.home+"/fob", 0o700), os.WriteFile(d.home+"/fob/config.toml", []byte(config), 0o600), syscall.Mkfifo(d.home+"/pipe", 0o600)); err != nil {
		t.Fatal(err)
	}
	d.arm("")
	d.ok(slices.Concat([]string{"key", "create", "--owner", "shop", "--env", "live", "--quiet"}, d.to())...)
	return d
}

func (d *theDay) to() []string {
	return []string{"--to", "dotenv:" + d.home + "/.env#KEY", "--to", "vault:team/kv/app#KEY", "--to", "exec:put"}
}

// gates are the moments at which fob is killed, and the destinations that refuse a key.
var gates = []string{
	"", "vault: asked", "vault: before", "vault: after", "vault: refused", "exec: before", "exec: after", "exec: late", "exec: refused", "begun", "interrupted",
}

func (d *theDay) arm(gate string) {
	d.t.Helper()
	if err := os.WriteFile(d.home+"/gate", []byte(gate), 0o600); err != nil {
		d.t.Fatal(err)
	}
	d.mu.Lock()
	d.gate = gate
	d.mu.Unlock()
}

// ServeHTTP is Vault, which kills fob at its gate.
func (d *theDay) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	gate, pid := d.gate, d.pid
	d.mu.Unlock()
	if write := r.Method != http.MethodGet; write && gate == "vault: before" || !write && gate == "vault: asked" {
		_ = syscall.Kill(pid, syscall.SIGKILL)
		return
	} else if write && gate == "vault: refused" {
		w.WriteHeader(http.StatusForbidden)
		return
	} else if write && gate == "vault: after" {
		defer func() { _ = syscall.Kill(pid, syscall.SIGKILL) }()
	} else if write && gate == "interrupted" {
		_ = syscall.Kill(pid, syscall.SIGINT)
	}
	d.v.ServeHTTP(w, r)
}

// run runs fob, which may be killed. The status of a killed one is -1.
func (d *theDay) run(gate, stdin string, args ...string) result {
	d.t.Helper()
	d.arm(gate)
	defer d.arm("")
	c := d.fobCommand(args...)
	var stdout, stderr bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr, c.Dir, c.WaitDelay = strings.NewReader(stdin), &stdout, &stderr, d.home, time.Second
	d.mu.Lock() // the pid is known before Vault is asked
	err := c.Start()
	if err == nil {
		d.pid = c.Process.Pid
	}
	d.mu.Unlock()
	if err != nil {
		d.t.Fatal(err)
	}
	if gate == "begun" {
		_ = c.Process.Kill()
	}
	_ = c.Wait()
	r := result{stdout.String(), stderr.String(), c.ProcessState.ExitCode()}
	d.trace = append(d.trace, fmt.Sprintf("%q, gate %q: %d\n%s", args, gate, r.status, r.stderr))
	return r
}

// report is the name of a report that is not there.
func (d *theDay) report() string {
	d.reports++
	return fmt.Sprintf("%d.md", d.reports)
}

// places are the keys of the three destinations.
func (d *theDay) places() []string {
	d.t.Helper()
	put, _ := os.ReadFile(d.home + "/put")
	env, _ := os.ReadFile(d.home + "/.env")
	fields, _ := d.v.held("app")
	return []string{strings.TrimSpace(strings.TrimPrefix(string(env), "KEY=")), strings.TrimSuffix(strings.TrimPrefix(fields, `{"KEY":"`), `"}`), string(put)}
}

// isGood reports whether fob accepts a key.
func (d *theDay) isGood(key string) bool {
	d.t.Helper()
	r := d.fob(key, "key", "verify")
	if r.status != 0 && r.status != 8 {
		d.t.Errorf("verify: %d\n%s", r.status, r.stderr)
	}
	return r.status == 0
}

// next is the command that fob's overview names.
func (d *theDay) next() string {
	d.t.Helper()
	_, next, _ := strings.Cut(d.ok(), "next: ")
	return strings.TrimSpace(next)
}

// whole checks that each place has the same good key, that no leaked one is good, and that
// the log is whole.
func (d *theDay) whole(when string, leaked map[string]bool) {
	d.t.Helper()
	places := d.places()
	if places[0] != places[1] || places[1] != places[2] || !d.isGood(places[0]) {
		d.t.Errorf("%s: the places have no good key in common: %.22s", when, places)
	}
	for key := range leaked {
		if d.isGood(key) {
			d.t.Errorf("%s: the leaked key %.22s is good", when, key)
		}
	}
	if r := d.fob("", "key", "audit", "--verify"); r.status != 0 {
		d.t.Errorf("%s: audit: %d\n%s", when, r.status, r.stderr)
	}
	if next := d.next(); next != "fob key list" {
		d.t.Errorf("%s: fob says %q", when, next)
	}
}

// releaseLate lets the programs write that have outlived their fob.
func (d *theDay) releaseLate() {
	for {
		pipe, err := syscall.Open(d.home+"/pipe", syscall.O_WRONLY|syscall.O_NONBLOCK, 0)
		if errors.Is(err, syscall.ENXIO) {
			return // nobody waits
		}
		if err != nil {
			d.t.Fatal(err)
		}
		before := d.places()[2]
		_, _ = syscall.Write(pipe, []byte("\n"))
		_ = syscall.Close(pipe)
		eventually(d.t, func() error {
			if d.places()[2] == before {
				return errors.New("the late program has not written")
			}
			return nil
		})
	}
}

// sequence does some things to the key, of which most are killed, then what fob names.
func (d *theDay) sequence() {
	d.t.Helper()
	incidents := make(map[string]bool) // by the leaked key, whether nothing was unfinished since
	for range 1 + d.rng.IntN(4) {
		gate := gates[d.rng.IntN(len(gates))]
		places := d.places()
		key := places[d.rng.IntN(len(places))]
		id := strings.Split(key, "_")[2]
		var r result
		switch op := d.rng.IntN(8); {
		case op < 4:
			incidents[key] = false
			r = d.run(gate, key, "incident", "--yes", "--output", d.report())
		case op < 5:
			r = d.run(gate, "", "key", "rotate", id, "--overlap", "1h", "--quiet")
		case op < 6:
			r = d.run(gate, "", "key", "rotate", id, "--compromised", "--quiet")
		default:
			r = d.run(gate, "", "key", "rotate", "--resume", "--quiet")
		}
		finished := d.next() == "fob key list"
		if r.status == 0 && finished {
			d.whole("after a command with status 0", nil)
		}
		for key, over := range incidents { // the same command again reports what is unfinished
			incidents[key] = over || finished
			if r := d.run("", key, "incident", "--dry-run"); r.status != 0 || strings.Contains(r.stderr, "nothing to do") && !incidents[key] {
				d.t.Errorf("incident --dry-run of %.22s: %d\n%s", key, r.status, r.stderr)
			}
		}
	}
	if next := d.next(); next != "fob key list" {
		if r := d.run("", "", append(strings.Fields(next)[1:], "--quiet")...); r.status != 0 {
			d.t.Errorf("%s: %d\n%s", next, r.status, r.stderr)
		}
	}
	for key := range incidents {
		if r := d.run("", key, "incident", "--yes", "--output", d.report()); r.status != 0 {
			d.t.Errorf("incident again: %d\n%s", r.status, r.stderr)
		}
	}
	d.releaseLate()
	d.whole("in the end", incidents)
}

// A sample of what the registries' model test tries, with real processes: kills of fob at
// any of its effects on destinations, then exactly what fob names.
func TestADayOfACompromise(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("FOB_SEQUENCE_SEED"); text != "" {
		seed, _ = strconv.ParseUint(text, 10, 64)
	}
	t.Logf("FOB_SEQUENCE_SEED=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	sequences := 40
	if soak != "" {
		sequences = 300
	}
	d := newDay(t, rng)
	for range sequences {
		d.trace = nil
		d.sequence()
		if t.Failed() {
			t.Fatal(strings.Join(d.trace, "\n"))
		}
	}
}
