package e2e

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/fobcli/fob/internal/apikey/registry/registrytest"
)

// keyRegistry is a kind of registry that keys are kept in.
type keyRegistry struct {
	name   string
	driver string
	fresh  func(t *testing.T, m *machine) (name, source string) // of an empty one: as fob takes it, and as the driver does
}

var privatePostgres struct {
	sync.Once
	server *registrytest.Postgres
	err    error
}

// postgresServer is the one server of all tests; run stops it.
func postgresServer(t testing.TB) *registrytest.Postgres {
	t.Helper()
	privatePostgres.Do(func() { privatePostgres.server, privatePostgres.err = registrytest.StartPostgres() })
	if privatePostgres.err != nil {
		t.Fatal(privatePostgres.err)
	}
	return privatePostgres.server
}

func stopPostgres() {
	if privatePostgres.server != nil {
		privatePostgres.server.Stop()
	}
}

var keyRegistries = []keyRegistry{
	{"SQLite", "sqlite", func(_ *testing.T, m *machine) (string, string) {
		path := m.home + "/fob/data/registry.db"
		return "sqlite:" + path, path
	}},
	{"PostgreSQL", "pgx", func(t *testing.T, _ *machine) (string, string) {
		name, err := postgresServer(t).NewDatabase()
		if err != nil {
			t.Fatal(err)
		}
		return name, name
	}},
}

// keyMachine is a machine with a registry.
type keyMachine struct {
	*machine
	registry       keyRegistry
	source         string
	stdout, stderr *os.File
	inPlace        [4]int // kills after which so many places had the successor
}

func newKeyMachine(t *testing.T, registry keyRegistry) *keyMachine {
	t.Helper()
	home := t.TempDir()
	k := &keyMachine{registry: registry, machine: &machine{t: t, home: home, program: []string{shipped}}}
	name, source := registry.fresh(t, k.machine)
	k.source = source
	k.env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "FOB_HOME=" + home + "/fob", "NO_COLOR=1", "FOB_REGISTRY=" + name}
	for file, to := range map[string]**os.File{"stdout": &k.stdout, "stderr": &k.stderr} {
		var err error
		if *to, err = os.Create(filepath.Join(home, file)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { (*to).Close() })
	}
	return k
}

// keyJSON is a key as fob lists it.
type keyJSON struct {
	ID          string `json:"id"`
	State       string `json:"state"`
	Predecessor string `json:"predecessor"`
	Owner       string `json:"owner"`
}

func (k *keyMachine) keys(filter ...string) []keyJSON {
	k.t.Helper()
	var list []keyJSON
	r := k.fob("", append([]string{"key", "list", "--json"}, filter...)...)
	if r.status != 0 || json.Unmarshal([]byte(r.stdout), &list) != nil {
		k.t.Fatalf("key list: %d\n%s", r.status, r.stderr)
	}
	return list
}

// newKey makes a key and returns its text and id.
func (k *keyMachine) newKey(owner string, to ...string) (text, id string) {
	k.t.Helper()
	args := []string{"key", "create", "--owner", owner}
	for _, name := range to {
		args = append(args, "--to", name)
	}
	text = strings.TrimSpace(k.ok(args...))
	return text, strings.Split(text, "_")[2]
}

func (k *keyMachine) accepts(text string) bool {
	k.t.Helper()
	r := k.fob(text, "key", "verify")
	if r.status != 0 && r.status != 8 {
		k.t.Errorf("verify: %d\n%s", r.status, r.stderr)
	}
	return r.status == 0
}

// forgetLease lets the next fob take a rotation over that a killed one has begun.
func (k *keyMachine) forgetLease() {
	k.t.Helper()
	db, err := sql.Open(k.registry.driver, k.source)
	if err != nil {
		k.t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("UPDATE rotation SET leased_until = 0"); err != nil {
		k.t.Fatal(err)
	}
}

// changes counts what has been done to the registry; 0 while it does not answer.
func (k *keyMachine) changes() (n int64) {
	db, err := sql.Open(k.registry.driver, k.source)
	if err == nil {
		defer db.Close()
		_ = db.QueryRow("SELECT max(seq) FROM audit_log").Scan(&n)
	}
	return n
}

// keyScenario is a key command that is killed at each of its effects.
type keyScenario struct {
	name string
	args func(id string) []string
	// to are where its key goes; nil: nowhere.
	to func(k *keyMachine) []string
	// left checks what a kill has left. printed is the new key if its whole line was.
	left func(k *keyMachine, old, id, printed string) error
}

var keyScenarios = []keyScenario{
	{"rotate", rotateArgs("--overlap", "1h"), nil, leftByRotation("retiring")},
	{"rotate --compromised", rotateArgs("--compromised"), nil, leftByRotation("revoked")},
	{"rotate to three destinations", rotateArgs("--overlap", "1h"), threePlaces, leftInPlaces(false)},
	{"rotate --compromised to three destinations", rotateArgs("--compromised"), threePlaces, leftInPlaces(true)},
	{"create", func(string) []string { return []string{"key", "create", "--owner", "new"} }, nil, leftByCreation},
	{"revoke", func(id string) []string { return []string{"key", "revoke", id} }, nil, leftByRevocation},
}

func rotateArgs(more ...string) func(id string) []string {
	return func(id string) []string { return append([]string{"key", "rotate", id}, more...) }
}

// threePlaces are two lines of one file, and a program that replaces a file.
func threePlaces(k *keyMachine) []string {
	k.t.Helper()
	dir := k.home + "/fob/places"
	config := fmt.Sprintf("[commands]\nput = [\"/bin/sh\", \"-c\", \"cat >$0/put.new && mv $0/put.new $0/put\", %q]\n[destination]\ndotenv_roots = [%q]\n", dir, dir)
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(k.home+"/fob/config.toml", []byte(config), 0o600)); err != nil {
		k.t.Fatal(err)
	}
	return []string{"dotenv:" + dir + "/.env#ONE", "dotenv:" + dir + "/.env#TWO", "exec:put"}
}

// inPlaces are the keys that stand in the three places.
func (k *keyMachine) inPlaces() []string {
	k.t.Helper()
	env, envErr := os.ReadFile(k.home + "/fob/places/.env")
	put, putErr := os.ReadFile(k.home + "/fob/places/put")
	if err := errors.Join(envErr, putErr); err != nil {
		k.t.Fatal(err)
	}
	values := map[string]string{}
	for line := range strings.Lines(string(env)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		values[name] = value
	}
	return []string{values["ONE"], values["TWO"], string(put)}
}

// leftInPlaces: each place has a good key, also before the resumption (a compromised key
// ends anyway), which brings one successor to all; and no other is good.
func leftInPlaces(compromised bool) func(k *keyMachine, old, id, printed string) error {
	return func(k *keyMachine, _, id, _ string) error {
		places := k.inPlaces()
		arrived := 0
		for i, text := range places {
			if !strings.HasPrefix(text, "fob_test_") || !k.accepts(text) && !compromised {
				return fmt.Errorf("place %d was left with a dead key", i)
			}
			if !strings.Contains(text, "_"+id+"_") {
				arrived++
			}
		}
		k.inPlace[arrived]++
		k.forgetLease()
		if r := k.fob("", "key", "rotate", "--resume"); r.status != 0 {
			return fmt.Errorf("resumed: %d\n%s", r.status, r.stderr)
		}
		places = k.inPlaces()
		if compromised && len(k.keys("--state", "active")) == 1 && strings.Contains(places[0], "_"+id+"_") {
			return nil // killed before anything was done
		}
		if places[0] != places[1] || places[1] != places[2] || !k.accepts(places[0]) {
			return fmt.Errorf("after the resumption the places have no good key in common: %.22s", places)
		}
		good := k.keys("--owner", "old", "--state", "active")
		if len(good) != 1 || !strings.Contains(places[0], "_"+good[0].ID+"_") {
			return fmt.Errorf("%d keys are good, and the places have %.22s", len(good), places[0])
		}
		return nil
	}
}

func (sc *keyScenario) places(k *keyMachine) []string {
	if sc.to == nil {
		return nil
	}
	return sc.to(k)
}

// leftByRotation: the old key or the new one is good, and the next rotation, or the one
// that was killed, ends with one successor.
func leftByRotation(oldState string) func(k *keyMachine, old, id, printed string) error {
	return func(k *keyMachine, old, id, printed string) error {
		oldGood, newGood := k.accepts(old), printed != "" && k.accepts(printed)
		if !oldGood && !newGood {
			return fmt.Errorf("neither key is good (printed: %v)", printed != "")
		}
		if printed != "" && !newGood {
			return fmt.Errorf("the key that was printed is not good")
		}
		k.forgetLease()
		args := []string{"key", "rotate", id, "--overlap", "1h"}
		if oldState == "revoked" {
			args = []string{"key", "rotate", id, "--compromised"}
		}
		r := k.fob("", args...)
		over := strings.Contains(r.stderr, "was rotated before") || strings.Contains(r.stderr, "only a key in use")
		if r.status != 0 && !over {
			return fmt.Errorf("rotated again: %d\n%s", r.status, r.stderr)
		}
		if r.status == 0 && !k.accepts(strings.TrimSpace(r.stdout)) {
			return fmt.Errorf("the successor of the second rotation is not good")
		}
		good := 0
		for _, key := range k.keys() {
			if key.Predecessor == id && key.State == "active" {
				good++
			}
			if key.ID == id && key.State != oldState {
				return fmt.Errorf("the old key is %s in the end", key.State)
			}
		}
		if good != 1 {
			return fmt.Errorf("%d successors are good in the end", good)
		}
		return nil
	}
}

func leftByCreation(k *keyMachine, _, _, printed string) error {
	made := k.keys("--owner", "new", "--state", "active")
	if printed != "" && !k.accepts(printed) {
		return fmt.Errorf("the key that was printed is not good")
	}
	if len(made) > 1 {
		return fmt.Errorf("%d keys were made", len(made))
	}
	return nil
}

func leftByRevocation(k *keyMachine, old, id, _ string) error {
	if r := k.fob("", "key", "revoke", id); r.status != 0 {
		return fmt.Errorf("revoked again: %d\n%s", r.status, r.stderr)
	}
	if k.accepts(old) {
		return fmt.Errorf("it is good after it was revoked")
	}
	return nil
}

// keySweep is what the sweep's report says of each command; the places are those of three.
const keySweep = `## Keys: killed at every effect (G55)

Each command is killed with SIGKILL before each effect that it has on files, programs and the registry. After each kill the
log was whole and the old key or the new one good. Of three places none had a dead key (of a compromised one: none after the
resumption), and the resumption left one good key, in all of them.

| registry | command | kills | the successor had come to 0 places | 1 | 2 | 3 |
|---|---|---|---|---|---|---|
%s`

func TestG55KilledAtEveryStepOfAKeysLife(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex // guards rows
	var rows []string
	t.Cleanup(func() {
		if !t.Failed() {
			slices.Sort(rows)
			addToReport(fmt.Sprintf(keySweep, strings.Join(rows, "")))
		}
	})
	for _, registry := range keyRegistries {
		t.Run(registry.name, func(t *testing.T) {
			t.Parallel()
			for _, sc := range keyScenarios {
				row := sweepKeys(t, registry, sc)
				mu.Lock()
				rows = append(rows, row)
				mu.Unlock()
			}
		})
	}
}

// sweepKeys kills one command at each of its effects, and returns the report's row of it.
func sweepKeys(t *testing.T, registry keyRegistry, sc keyScenario) string {
	t.Helper()
	k := newKeyMachine(t, registry)
	points := keyEffects(t, k, sc)
	if soak == "" && len(points) > 24 { // the whole sweep is in make soak
		points = everyNth(points, (len(points)+23)/24)
	}
	var inPlace [4]int
	for _, at := range points {
		if registry.name == "SQLite" {
			k = newKeyMachine(t, registry)
		}
		killKeyCommand(k, sc, at)
		for n := range inPlace {
			inPlace[n] += k.inPlace[n]
		}
		k.inPlace = [4]int{}
	}
	places := "– | – | – | –"
	if sc.to != nil {
		places = fmt.Sprintf("%d | %d | %d | %d", inPlace[0], inPlace[1], inPlace[2], inPlace[3])
	}
	row := fmt.Sprintf("| %s | `key %s` | %d | %s |\n", registry.name, sc.name, len(points), places)
	t.Log(row)
	return row
}

func everyNth(points []effect, n int) []effect {
	var some []effect
	for i := 0; i < len(points); i += n {
		some = append(some, points[i])
	}
	return append(some, points[len(points)-1])
}

func (k *keyMachine) tracer() *tracer { return &tracer{home: k.home + "/fob"} }

// keyEffects lists the effects that three whole runs have in common.
func keyEffects(t *testing.T, k *keyMachine, sc keyScenario) []effect {
	t.Helper()
	var common []effect
	for i := range 3 {
		_ = k.fob("", "key", "revoke", "--owner", "old", "--yes") // of the run before: its places are free then
		_, id := k.newKey("old", sc.places(k)...)
		all, err := k.tracer().effects(slices.Concat(k.program, sc.args(id)), k.env, k.stdout, k.stderr)
		if err != nil {
			text, _ := os.ReadFile(k.stderr.Name())
			t.Fatalf("%s: %v\n%s", sc.name, err, text)
		}
		if i == 0 {
			common = all
		}
		common = slices.DeleteFunc(common, func(e effect) bool { return !slices.Contains(all, e) })
	}
	if len(common) < 5 {
		t.Fatalf("%s: only %d effects: %v", sc.name, len(common), common)
	}
	return common
}

func killKeyCommand(k *keyMachine, sc keyScenario, at effect) {
	k.t.Helper()
	_ = k.fob("", "key", "revoke", "--owner", "new", "--yes") // of the run before
	_ = k.fob("", "key", "revoke", "--owner", "old", "--yes")
	old, id := k.newKey("old", sc.places(k)...)
	if err := k.stdout.Truncate(0); err != nil {
		k.t.Fatal(err)
	}
	_, _ = k.stdout.Seek(0, 0)
	tr := k.tracer()
	tr.at = func(e effect, happened bool) bool { return e == at && !happened }
	if _, err := tr.run(slices.Concat(k.program, sc.args(id)), k.env, k.stdout, k.stderr); err != nil {
		k.t.Fatal(err)
	}
	text, err := os.ReadFile(k.stdout.Name())
	if err != nil {
		k.t.Fatal(err)
	}
	printed := ""
	if line, whole := strings.CutSuffix(string(text), "\n"); whole {
		printed = line
	}
	if r := k.fob("", "key", "audit", "--verify"); r.status != 0 {
		k.t.Errorf("%s, killed at %s: audit: %d\n%s", sc.name, at, r.status, r.stderr)
	}
	if err := sc.left(k, old, id, printed); err != nil {
		k.t.Errorf("%s, killed at %s: %v", sc.name, at, err)
	}
}
