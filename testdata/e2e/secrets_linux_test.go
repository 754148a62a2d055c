package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestE45SecretsInTheKeyring: two values of the largest size, as a rotation holds them,
// fit the OS keyring, move between the storages and survive a change of the key. So do
// peppers.
func TestE45SecretsInTheKeyring(t *testing.T) {
	t.Parallel()
	m := newMachineAt(t, "FOB_SEAL_KEY="+strings.Repeat("5a", 32))
	m.startKeyring()
	old, next := strings.Repeat("o", 64<<10), strings.Repeat("n", 64<<10)
	okWith := func(stdin string, args ...string) {
		t.Helper()
		if r := m.fob(stdin, args...); r.status != 0 {
			t.Fatalf("fob %v: exit status %d\n%s", args, r.status, r.stderr)
		}
	}
	is := func(want, where string) {
		t.Helper()
		if got := m.ok("secret", "get", "stripe/prod"); strings.TrimSuffix(got, "\n") != want {
			t.Errorf("%s: %d bytes, %.10s", where, len(got), got)
		}
	}
	okWith(old, "secret", "set", "stripe/prod")
	okWith("small", "secret", "set", "stripe")
	m.ok("key", "pepper", "add", "p1")
	pepper := m.ok("key", "pepper", "export", "p1")
	config := filepath.Join(m.home, ".config/fob/config.toml")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	commands := fmt.Sprintf("[commands]\nkeep = [\"sh\", \"-c\", \"test -e %[1]s/open && cat >%[1]s/kept\"]\n", m.home)
	if err := os.WriteFile(config, append(text, commands...), 0o600); err != nil {
		t.Fatal(err)
	}
	m.ok("secret", "set", "stripe/prod", "--keep", "--to", "exec:keep")
	if r := m.fob(next, "secret", "rotate", "stripe/prod"); r.status != 1 {
		t.Fatalf("rotate: %d\n%s", r.status, r.stderr)
	}
	is(old, "half way")
	m.ok("storage", "migrate", "--to", "file")
	if items := m.items(); items != "" {
		t.Errorf("the keyring still holds\n%.2000s", items)
	}
	is(old, "in a file")
	m.ok("storage", "migrate", "--to", "keyring")
	m.ok("storage", "rekey", "--storage", "keyring")
	if err := os.WriteFile(filepath.Join(m.home, "open"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	m.ok("secret", "rotate", "stripe/prod", "--resume")
	is(next, "resumed")
	if m.ok("key", "pepper", "export", "p1") != pepper || m.ok("secret", "get", "stripe") != "small\n" {
		t.Error("the pepper or the other secret is another now")
	}
	m.ok("storage", "check")
	m.ok("secret", "remove", "stripe/prod", "--yes")
	m.ok("secret", "remove", "stripe", "--yes")
	m.ok("key", "pepper", "remove", "p1", "--force")
	if items := m.items(); items != "" {
		t.Errorf("the keyring still holds\n%.2000s", items)
	}
}

// secretScenario is a command that is killed at each of its effects.
type secretScenario struct {
	name    string
	args    []string
	keyring bool
	end     []string // goes on with what a kill has left
}

var secretScenarios = []secretScenario{
	{name: "rotate", args: []string{"secret", "rotate", "shop/prod", "--yes"}},
	{name: "rekey", args: []string{"storage", "rekey", "--key-file", "HOME/next.key"}, end: []string{"storage", "check"}},
	{name: "migrate to keyring", args: []string{"storage", "migrate", "--to", "keyring"}, keyring: true, end: []string{"storage", "check"}},
}

// TestF52SecretsKilledAtEveryEffect: wherever fob is killed, 'get' prints a value that the
// issuer honours, the peppers are there, and what was begun comes to its end.
func TestF52SecretsKilledAtEveryEffect(t *testing.T) {
	t.Parallel()
	for _, sc := range secretScenarios {
		t.Run(sc.name, func(t *testing.T) {
			m := newMachineAt(t)
			m.program = []string{shipped}
			if sc.keyring {
				m.startKeyring()
			}
			v := newSecretVictim(t, m, sc, 0)
			points, err := v.tracer().effects(v.argv(), v.env(), v.stderr, v.stderr)
			if err != nil {
				t.Fatalf("%v\n%s", err, v.said())
			}
			killed, missed := 0, 0
			for i, at := range points {
				v := newSecretVictim(t, m, sc, i+1)
				if hit := v.killAt(at); !hit {
					missed++
				} else {
					killed++
				}
				if err := v.sound(); err != nil {
					t.Errorf("killed at %s: %v\n%s", at, err, v.said())
				}
			}
			t.Logf("%s: killed at %d effects, %d were not met", sc.name, killed, missed)
			if killed < 10 {
				t.Errorf("only %d kills", killed)
			}
		})
	}
}

// secretVictim is one run, in a home of its own with an issuer of secrets in files.
type secretVictim struct {
	*machine
	scenario secretScenario
	stderr   *os.File
	pepper   string
}

func newSecretVictim(t *testing.T, m *machine, sc secretScenario, number int) *secretVictim {
	t.Helper()
	home := filepath.Join(m.home, fmt.Sprint("run", number))
	v := &secretVictim{scenario: sc, machine: &machine{t: t, home: home, program: m.program, env: append(slices.Clone(m.env), "FOB_HOME="+home+"/fob", "FOB_STORAGE=")}}
	if err := os.MkdirAll(home+"/fob", 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"fob/config.toml": fmt.Sprintf(`storage = "file"
key_file = %q
[commands]
mint = ["sh", "-c", "cat %[2]s/next | tee -a %[2]s/good"]
retire = ["sh", "-c", "grep -vx $(cat) %[2]s/good >%[2]s/left; cp %[2]s/left %[2]s/good"]
keep = ["sh", "-c", "cat >%[2]s/kept"]
`, home+"/fob.key", home),
		"fob.key": strings.Repeat("5a", 32), "good": "canary-0\n", "next": "canary-1\n",
	} {
		if err := os.WriteFile(filepath.Join(home, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if v.stderr, err = os.Create(filepath.Join(home, "stderr")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.stderr.Close() })
	if r := v.fob("canary-0", "secret", "set", "shop/prod", "--to", "exec:keep", "--rotate-with", "mint", "--retire-with", "retire"); r.status != 0 {
		t.Fatal(r.stderr)
	}
	v.ok("key", "pepper", "add", "p1")
	v.pepper = v.ok("key", "pepper", "export", "p1")
	return v
}

func (v *secretVictim) argv() []string {
	argv := slices.Concat(v.program, v.scenario.args)
	for i := range argv {
		argv[i] = strings.ReplaceAll(argv[i], "HOME", v.home)
	}
	return argv
}

func (v *secretVictim) env() []string { return v.command(v.program...).Environ() }

func (v *secretVictim) said() string { return readText(v.t, v.stderr.Name()) }

func (v *secretVictim) tracer() *tracer { return &tracer{home: v.home + "/fob"} }

func (v *secretVictim) killAt(at effect) (hit bool) {
	t := v.tracer()
	t.at = func(e effect, happened bool) bool {
		hit = hit || !happened && e == at
		return !happened && e == at
	}
	if _, err := t.run(v.argv(), v.env(), v.stderr, v.stderr); err != nil {
		v.t.Error(err)
	}
	return hit
}

// sound checks what a kill has left, and ends what was begun.
func (v *secretVictim) sound() error {
	if err := v.good("after the kill"); err != nil {
		return err
	}
	end := v.scenario.end
	if end == nil && strings.Contains(v.ok("secret", "list", "--json"), `"rotation"`) {
		end = []string{"secret", "rotate", "shop/prod", "--resume", "--yes"}
	}
	if end != nil {
		if r := v.fob("", end...); r.status != 0 {
			return fmt.Errorf("%v: exit status %d\n%s", end, r.status, r.stderr)
		}
	}
	if list := v.ok("secret", "list", "--json"); strings.Contains(list, `"rotation"`) || strings.Contains(list, `"problem"`) {
		return fmt.Errorf("not at rest: %s", list)
	}
	return v.good("at the end")
}

func (v *secretVictim) good(when string) error {
	got := v.fob("", "secret", "get", "shop/prod")
	if got.status != 0 || got.stdout == "" || !strings.Contains(readText(v.t, v.home+"/good"), got.stdout) {
		return fmt.Errorf("%s 'get' prints %q (exit status %d), and the issuer honours %q\n%s", when, got.stdout, got.status, readText(v.t, v.home+"/good"), got.stderr)
	}
	if pepper := v.fob("", "key", "pepper", "export", "p1"); pepper.stdout != v.pepper {
		return fmt.Errorf("%s the pepper is lost: %s", when, pepper.stderr)
	}
	return nil
}
