package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// giteaDouble keeps what is put into it; names that start with FAIL are refused, and
// those that start with HANG are never answered.
type giteaDouble struct {
	*httptest.Server
	mu     sync.Mutex
	values map[string]string
	hung   chan struct{} // one for each request that hangs
}

func newGiteaDouble(t *testing.T) *giteaDouble {
	d := &giteaDouble{values: map[string]string{}, hung: make(chan struct{}, 100)}
	end := make(chan struct{})
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
		switch {
		case strings.HasPrefix(name, "FAIL"):
			w.WriteHeader(http.StatusForbidden)
			return
		case strings.HasPrefix(name, "HANG"):
			d.hung <- struct{}{}
			<-end
			return
		}
		var body bytes.Buffer
		_, _ = body.ReadFrom(r.Body)
		d.mu.Lock()
		d.values[name] = strings.TrimSuffix(strings.TrimPrefix(body.String(), `{"data":"`), `"}`)
		d.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(d.Close)
	t.Cleanup(func() { close(end) })
	return d
}

func (d *giteaDouble) value(name string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.values[name]
}

// newDeliveringMachine has a key that goes to secrets of the double.
func newDeliveringMachine(t *testing.T, d *giteaDouble, names ...string) (k *keyMachine, text, id string) {
	t.Helper()
	k = newKeyMachine(t, keyRegistries[0])
	k.env = append(k.env, "GITEA_URL="+d.URL, "GITEA_TOKEN=canary-of-the-platform")
	text, id = k.newKey("old")
	args := []string{"key", "update", id}
	for _, name := range names {
		args = append(args, "--to", "gitea:acme/web#"+name)
	}
	k.ok(args...)
	return k, text, id
}

func TestG55HalfOfTenDestinationsFail(t *testing.T) {
	t.Parallel()
	d := newGiteaDouble(t)
	var names []string
	for i := range 5 {
		names = append(names, fmt.Sprintf("GOOD_%d", i), fmt.Sprintf("FAIL_%d", i))
	}
	k, old, id := newDeliveringMachine(t, d, names...)
	r := k.fob("", "key", "rotate", id)
	if r.status != 1 || r.stdout != "" || strings.Count(r.stderr, "answered 403") != 5 || strings.Count(r.stderr, "Delivered ") != 5 || !strings.Contains(r.stderr, "rotate --resume "+id) {
		t.Errorf("%d %q\n%s", r.status, r.stdout, r.stderr)
	}
	if strings.Contains(r.stderr, "canary") {
		t.Error("the platform's credential is shown")
	}
	if !k.accepts(old) || !k.accepts(d.value("GOOD_3")) {
		t.Error("a destination was left with a dead key")
	}
	if r := k.fob("", "key", "rotate", id, "--compromised"); r.status != 1 || k.accepts(old) || !k.accepts(strings.TrimSpace(r.stdout)) || d.value("GOOD_1") != strings.TrimSpace(r.stdout) {
		t.Errorf("%d %q\n%s", r.status, r.stdout, r.stderr)
	}
	// The others still need the key: it stays unfinished until they are no destinations any more.
	args := []string{"key", "update", id}
	for i := range 5 {
		args = append(args, "--to", fmt.Sprintf("gitea:acme/web#GOOD_%d", i))
	}
	k.ok(args...)
	k.ok("key", "rotate", "--resume")
	if good := k.keys("--state", "active"); len(good) != 1 || !k.accepts(d.value("GOOD_1")) {
		t.Errorf("good in the end: %v", good)
	}
}

// A destination that never answers keeps a compromised key alive for less than 30 s.
func TestG55ACompromisedKeyEndsThoughADestinationHangs(t *testing.T) {
	t.Parallel()
	d := newGiteaDouble(t)
	k, old, id := newDeliveringMachine(t, d, "GOOD", "HANG")
	start := time.Now()
	r := k.fob("", "key", "rotate", id, "--compromised")
	if took := time.Since(start); took > 30*time.Second || r.status != 1 || k.accepts(old) || !k.accepts(d.value("GOOD")) {
		t.Errorf("%v, %d\n%s", took, r.status, r.stderr)
	}
	if !strings.Contains(r.stderr, "HANG") || !strings.Contains(r.stderr, "is revoked") {
		t.Error(r.stderr)
	}
}

// Ctrl-C while a destination hangs leaves the old key as it is and says so; a
// compromised one ends all the same.
func TestG55ARotationIsInterrupted(t *testing.T) {
	t.Parallel()
	for _, compromised := range []bool{false, true} {
		d := newGiteaDouble(t)
		k, old, id := newDeliveringMachine(t, d, "GOOD", "HANG")
		c := exec.Command(shipped, "key", "rotate", id)
		if compromised {
			c.Args = append(c.Args, "--compromised")
		}
		var stderr bytes.Buffer
		c.Env, c.Stderr = k.env, &stderr
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		<-d.hung
		until(t, 1, func() (int, error) { return min(1, len(d.value("GOOD"))), nil })
		_ = c.Process.Signal(syscall.SIGINT)
		_ = c.Wait()
		if c.ProcessState.ExitCode() != 130 || !strings.Contains(stderr.String(), "interrupted") || !strings.Contains(stderr.String(), "key "+id+" ") {
			t.Errorf("compromised %v: %d\n%s", compromised, c.ProcessState.ExitCode(), stderr.String())
		}
		if !k.accepts(d.value("GOOD")) || !compromised && !k.accepts(old) {
			t.Errorf("compromised %v: a destination was left with a dead key", compromised)
		}
		show := k.ok("key", "show", id)
		if compromised != strings.Contains(show, "retiring") {
			t.Errorf("compromised %v:\n%s", compromised, show)
		}
	}
}
