package e2e

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/fobcli/fob/internal/apikey/registry/registrytest"
)

func TestG55HundredProcessesRotateOneKey(t *testing.T) {
	t.Parallel()
	for _, registry := range keyRegistries {
		t.Run(registry.name, func(t *testing.T) {
			k := newKeyMachine(t, registry)
			old, id := k.newKey("old")
			results := make([]result, 100)
			var wg sync.WaitGroup
			for i := range results {
				wg.Go(func() { results[i] = k.fob("", "key", "rotate", id, "--overlap", "1h") })
			}
			wg.Wait()
			won := ""
			for _, r := range results {
				said := strings.Contains(r.stderr, "another fob rotates this key") || strings.Contains(r.stderr, "was rotated before")
				switch {
				case r.status == 0 && won == "":
					won = strings.TrimSpace(r.stdout)
				case r.status != 1 || r.stdout != "" || !said || !strings.Contains(r.stderr, "hint: "):
					t.Errorf("%d\n%s", r.status, r.stderr)
				}
			}
			if won == "" || !k.accepts(won) || !k.accepts(old) {
				t.Error("nobody won, or a key is not good")
			}
			k.ok("key", "audit", "--verify")
		})
	}
}

// A server that crashes again and again while keys are made and rotated: what was
// printed is good, and the same commands end what is left.
func TestG55PostgreSQLRestartsInTheMiddle(t *testing.T) {
	t.Parallel()
	server, err := registrytest.StartPostgres()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	k := newKeyMachine(t, keyRegistry{"PostgreSQL", "pgx", func(t *testing.T, _ *machine) (string, string) {
		name, err := server.NewDatabase()
		if err != nil {
			t.Fatal(err)
		}
		return name, name
	}})
	for range 40 {
		k.newKey("old")
	}
	done := make(chan struct{})
	changes := k.changes()
	go func() {
		defer close(done)
		for range 5 {
			eventually(t, func() error { // in the middle of a command, and after some that got through
				now := k.changes()
				if now < changes+15 {
					return fmt.Errorf("%d changes after %d", now, changes)
				}
				changes = now
				return nil
			})
			server.Kill()
			if err := server.Start(); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	var printed []string
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		for _, args := range [][]string{{"key", "rotate", "--owner", "old", "--yes", "--overlap", "1h"}, {"key", "create", "--owner", "new", "--count", "20"}} {
			r := k.fob("", args...)
			switch {
			case r.status != 0 && r.status != 5 && !strings.Contains(r.stderr, "no keys match") && !strings.Contains(r.stderr, "another fob rotates"):
				t.Errorf("%v: %d\n%s", args, r.status, r.stderr)
			case r.status == 5 && !strings.Contains(r.stderr, "hint: "):
				t.Errorf("no hint:\n%s", r.stderr)
			}
			for line := range strings.Lines(r.stdout) {
				fields := strings.Fields(line)
				printed = append(printed, fields[len(fields)-1])
			}
		}
	}
	k.forgetLease()
	if r := k.fob("", "key", "rotate", "--owner", "old", "--state", "active", "--state", "retiring", "--dry-run"); r.status != 0 {
		t.Errorf("%d\n%s", r.status, r.stderr)
	}
	good := 0
	for _, text := range printed {
		if k.accepts(text) {
			good++
		}
	}
	// A rotation may have printed its key and not come to its end: then the next one has
	// revoked that and printed another.
	if good == 0 || len(printed)-good > 5 {
		t.Errorf("%d of %d keys that were printed are good", good, len(printed))
	}
	k.ok("key", "audit", "--verify")
}

func TestG55DiskFull(t *testing.T) {
	t.Parallel()
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=1m,mode=0700"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("only root can mount a disk that is full: ", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
	k := newKeyMachine(t, keyRegistry{"SQLite", "sqlite", func(*testing.T, *machine) (string, string) {
		return "sqlite:" + disk + "/keys/registry.db", disk + "/keys/registry.db"
	}})
	old, id := k.newKey("old")
	if err := fill(disk + "/ballast"); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"key", "rotate", id}, {"key", "create", "--owner", "new", "--count", "400"}, {"key", "revoke", id}} {
		r := k.fob("", args...)
		if r.status != 6 || !strings.Contains(r.stderr, "no space left for the registry") || !strings.Contains(r.stderr, "hint: ") {
			t.Errorf("%v: %d\n%s%s", args, r.status, r.stderr, r.stdout)
		}
		if !k.accepts(old) {
			t.Errorf("%v: the old key is not good", args)
		}
	}
	env := k.env
	k.env = append(slices.Clone(env), "FOB_REGISTRY=sqlite:"+disk+"/new/registry.db")
	if r := k.fob("", "key", "create", "--owner", "new"); r.status != 6 || !strings.Contains(r.stderr, "no space left for the registry") {
		t.Errorf("a new registry: %d\n%s", r.status, r.stderr)
	}
	if r := k.fob("", "key", "list"); !strings.Contains(r.stderr, "no registry of keys yet") {
		t.Errorf("a new registry: %d\n%s", r.status, r.stderr)
	}
	if err := os.Remove(disk + "/ballast"); err != nil {
		t.Fatal(err)
	}
	k.ok("key", "create", "--owner", "new")
	k.env = env
	k.ok("key", "audit", "--verify")
	k.ok("key", "rotate", id)
}

// fill writes until nothing more fits.
func fill(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, size := range []int{4096, 1} {
		for err = nil; err == nil; {
			_, err = f.Write(bytes.Repeat([]byte("x"), size))
		}
	}
	return nil
}

// Garbage in any page: fob says that the registry is damaged, or answers rightly. It
// never accepts a key that was revoked.
func TestG55CorruptPage(t *testing.T) {
	t.Parallel()
	k := newKeyMachine(t, keyRegistries[0])
	for range 40 {
		k.newKey("many")
	}
	good, _ := k.newKey("old")
	revoked, id := k.newKey("old")
	k.ok("key", "revoke", id)
	db, err := sql.Open("sqlite", k.source)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		t.Fatal(err)
	}
	db.Close()
	whole, err := os.ReadFile(k.source)
	if err != nil {
		t.Fatal(err)
	}
	damaged := 0
	for page := 0; page < len(whole)/4096; page++ {
		broken := bytes.Clone(whole)
		copy(broken[page*4096:], bytes.Repeat([]byte{0xa5}, 4096))
		k.replaceRegistry(broken)
		for _, r := range []result{k.fob(good, "key", "verify"), k.fob("", "key", "list"), k.fob("", "key", "audit", "--verify")} {
			switch {
			case strings.Contains(r.stderr, "panic") || strings.Contains(r.stderr, "goroutine"):
				t.Errorf("page %d:\n%s", page, r.stderr)
			case r.status == 6:
				damaged++
			case r.status != 0 && r.status != 3 && r.status != 8:
				t.Errorf("page %d: %d\n%s", page, r.status, r.stderr)
			}
		}
		if r := k.fob(revoked, "key", "verify"); r.status == 0 {
			t.Errorf("page %d: a revoked key is accepted", page)
		}
	}
	if damaged == 0 {
		t.Error("no page mattered")
	}
	k.replaceRegistry(whole)
	k.ok("key", "audit", "--verify")
}

func (k *keyMachine) replaceRegistry(content []byte) {
	k.t.Helper()
	for _, suffix := range []string{"-wal", "-shm"} {
		_ = os.Remove(k.source + suffix)
	}
	if err := os.WriteFile(k.source, content, 0o600); err != nil {
		k.t.Fatal(err)
	}
}

// Ctrl-C in the middle of many keys: status 130, the truth about what was done, and
// the same command goes on where it was.
func TestG55InterruptedBulk(t *testing.T) {
	t.Parallel()
	for _, registry := range keyRegistries {
		t.Run(registry.name, func(t *testing.T) {
			k := newKeyMachine(t, registry)
			const count = 20_000
			list := filepath.Join(k.home, "keys.csv")
			var b strings.Builder
			b.WriteString("key\n")
			for i := range count {
				fmt.Fprintf(&b, "sk_of_another_system_%08d\n", i)
			}
			if err := os.WriteFile(list, []byte(b.String()), 0o600); err != nil {
				t.Fatal(err)
			}
			k.newKey("first")
			r := k.interrupted(list, "key", "import", "--owner", "old", "--env", "live")
			if r.status != 130 || !strings.Contains(r.stderr, "keys were imported.\nTo continue, run it again") {
				t.Errorf("%d\n%s", r.status, r.stderr)
			}
			before := len(k.keys("--owner", "old"))
			if before == 0 || before == count {
				t.Errorf("%d keys were imported before the interrupt", before)
			}
			again := k.fobCommand("key", "import", "--owner", "old", "--env", "live")
			again.Stdin, _ = os.Open(list)
			said, err := again.CombinedOutput()
			if err != nil || !strings.Contains(string(said), fmt.Sprintf("Imported %d keys; skipped %d", count-before, before)) {
				t.Errorf("%v\n%s", err, said)
			}
			r = k.interrupted(os.DevNull, "key", "rotate", "--owner", "old", "--yes", "--overlap", "1h")
			printed := strings.Count(r.stdout, "\n")
			if r.status != 130 || printed == 0 || !strings.Contains(r.stderr, "of 20000 keys were rotated") {
				t.Errorf("%d, %d printed\n%s", r.status, printed, r.stderr)
			}
			if rotated := len(k.keys("--owner", "old", "--state", "retiring")); rotated < printed-1 || rotated > printed {
				t.Errorf("%d keys were printed, and %d rotated", printed, rotated)
			}
			k.ok("key", "audit", "--verify")
		})
	}
}

// interrupted runs fob until it is well under way, and interrupts it.
func (k *keyMachine) interrupted(stdin string, args ...string) result {
	k.t.Helper()
	in, err := os.Open(stdin)
	if err != nil {
		k.t.Fatal(err)
	}
	defer in.Close()
	head := k.ok("key", "audit", "--last", "1")
	var stdout, stderr bytes.Buffer
	c := exec.Command(k.program[0], args...)
	c.Env, c.Stdin, c.Stdout, c.Stderr = k.env, in, &stdout, &stderr
	if err := c.Start(); err != nil {
		k.t.Fatal(err)
	}
	eventually(k.t, func() error {
		if k.ok("key", "audit", "--last", "1") == head {
			return errors.New("nothing changes")
		}
		return nil
	})
	_ = c.Process.Signal(os.Interrupt)
	_ = c.Wait()
	return result{stdout.String(), stderr.String(), c.ProcessState.ExitCode()}
}
