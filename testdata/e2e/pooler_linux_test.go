package e2e

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// startPooler starts a PgBouncer in front of a database and returns the database's URL there.
func startPooler(t testing.TB, direct, mode string, size int) string {
	t.Helper()
	u, err := url.Parse(direct)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	behind := query.Get("host")
	dir, err := os.MkdirTemp("", "fob-pooler-") // t.TempDir() is for root only
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	config := fmt.Sprintf("[databases]\n* = host=%s user=postgres\n[pgbouncer]\nlisten_addr =\nlisten_port = 6432\nunix_socket_dir = %s\nauth_type = any\npool_mode = %s\ndefault_pool_size = %d\n",
		behind, dir, mode, size)
	if err := os.WriteFile(dir+"/pgbouncer.ini", []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	var output strings.Builder
	c := exec.Command("pgbouncer", dir+"/pgbouncer.ini")
	c.Stdout, c.Stderr = &output, &output
	if os.Getuid() == 0 { // PgBouncer refuses to run as root
		info, err := os.Stat(behind)
		if err != nil {
			t.Fatal(err)
		}
		owner, _ := info.Sys().(*syscall.Stat_t)
		if err := os.Chown(dir, int(owner.Uid), int(owner.Gid)); err != nil {
			t.Fatal(err)
		}
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: owner.Uid, Gid: owner.Gid}}
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
		if t.Failed() {
			t.Log(output.String())
		}
	})
	eventually(t, func() error {
		_, err := os.Stat(filepath.Join(dir, ".s.PGSQL.6432"))
		return err
	})
	query.Set("host", dir)
	query.Set("port", "6432")
	u.RawQuery = query.Encode()
	return u.String()
}

// Behind a pooler, each transaction may be in another session, which another client has used
// before.
func TestKeysAndServeBehindAPooler(t *testing.T) {
	t.Parallel()
	for mode, size := range map[string]int{"transaction": 2, "session": 20} {
		t.Run(mode, func(t *testing.T) {
			s := newServed(t, keyRegistry{"PgBouncer", "pgx", func(t *testing.T, _ *machine) (string, string) {
				direct, err := postgresServer(t).NewDatabase()
				if err != nil {
					t.Fatal(err)
				}
				return startPooler(t, direct, mode, size), direct
			}})
			for range 5 {
				s.newKey("five")
			}
			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() {
					if r := s.keyMachine.fob("", "key", "create", "--owner", "twenty"); r.status != 0 {
						t.Errorf("%d\n%s", r.status, r.stderr)
					}
				})
			}
			wg.Wait()
			if n := len(s.keys()); n != 26 {
				t.Errorf("%d keys", n)
			}
			keys := strings.Fields(s.ok("key", "create", "--owner", "many", "--count", "1000"))
			keys = slices.DeleteFunc(keys, func(word string) bool { return !strings.HasPrefix(word, "fob_") })
			if len(keys) != 1000 {
				t.Fatalf("%d keys", len(keys))
			}
			until(t, 200, func() (int, error) { return s.status(s.key), nil })
			for i, key := range keys {
				if got := s.status(key); got != 200 {
					t.Fatalf("key %d: %d", i, got)
				}
			}
			s.ok("key", "revoke", "--yes", strings.Split(s.key, "_")[2])
			for revoked := time.Now(); s.status(s.key) == 200; {
				if after := time.Since(revoked); after > time.Second {
					t.Fatalf("revoked, and accepted after %s", after)
				}
			}
			until(t, 401, func() (int, error) { return s.status(s.key), nil })
			s.ok("key", "audit", "--verify")
		})
	}
}

// BenchmarkPooler compares a registry behind PgBouncer with the same one, directly.
func BenchmarkPooler(b *testing.B) {
	t, began := newTable(b, "Pooler"), time.Now()
	direct, err := postgresServer(b).NewDatabase()
	if err != nil {
		b.Fatal(err)
	}
	m, behind := newMachine(b, "FOB_REGISTRY="+direct), newMachine(b, "FOB_REGISTRY="+startPooler(b, direct, "transaction", 2))
	key := filepath.Join(m.home, "key.txt")
	if err := os.WriteFile(key, []byte(m.ok("key", "create", "--owner", "first")), 0o600); err != nil {
		b.Fatal(err)
	}
	m.stdin, behind.stdin = key, key
	for _, args := range [][]string{{"create", "--owner", "next"}, {"verify"}} {
		args = append([]string{fob, "key"}, args...)
		t.pair(command{behind, args}, command{m, args})
	}
	t.finish(began)
}
