package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/apikey"
)

// BenchmarkServe measures fob serve on one core, with wrk on the other.
func BenchmarkServe(b *testing.B) {
	t, began := newTable(b, "Serve"), time.Now()
	s := newServeBench(t, 1_000_000, register)
	s.throughput()
	s.guesses()
	s.behindNginx()
	s.memoryOfKeys()
	for _, registry := range keyRegistries {
		t.revocation(registry)
	}
	newServeBench(t, 10_000_000, func(s *serveBench) {
		s.k.ok("key", "create", "--owner", "a") // makes the registry
		fillRegistry(t, filepath.Join(s.k.home, "fob", "data", "registry.db"), 10_000_000)
	}).throughput()
	t.finish(began)
}

const (
	serveRounds = 7
	wrkTime     = "4s"
	// usedKeys is how many different keys the load goes through.
	usedKeys = 10_000
)

// serveBench is a registry with many keys, and two servers that are asked in turn.
type serveBench struct {
	b          *table
	k          *keyMachine
	count      int
	fob, bare  string // addresses
	fobProcess *exec.Cmd
	script     string // of wrk: goes through the keys
}

func newServeBench(t *table, count int, register func(*serveBench)) *serveBench {
	t.Helper()
	home := t.TempDir()
	k := &keyMachine{machine: &machine{t: t, home: home, program: []string{shipped}}}
	k.env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "FOB_HOME=" + home + "/fob"}
	s := &serveBench{b: t, k: k, count: count, script: home + "/keys.lua"}
	register(s)
	var lua strings.Builder
	lua.WriteString("local keys = {\n")
	made := k.ok("key", "create", "--owner", "team-1", "--env", "live", "--yes", "--scope", "orders:read", "--scope", "orders:write", "--count", strconv.Itoa(usedKeys))
	for key := range strings.FieldsSeq(made) {
		fmt.Fprintf(&lua, "%q,\n", key)
	}
	lua.WriteString(`}
local requests, at = {}, 0
init = function()
  for i, key in ipairs(keys) do requests[i] = wrk.format("GET", "/verify", { ["Authorization"] = "Bearer " .. key }) end
end
request = function()
  at = at % #requests + 1
  return requests[at]
end
`)
	if err := os.WriteFile(s.script, []byte(lua.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	s.bare = s.pinned(buildBare(t.B), "%s")
	s.fob = s.pinned(shipped, "serve", "--listen", "%s")
	s.wrk(s.fob, 64, "3s", s.script) // fills the cache
	return s
}

// register imports the keys.
func register(s *serveBench) {
	s.b.Helper()
	list := filepath.Join(s.k.home, "list")
	if err := writeList(list, "key,owner,environment,scopes\n", keyLine, s.count); err != nil {
		s.b.Fatal(err)
	}
	s.k.stdin = list
	command{s.k.machine, []string{shipped, "key", "import"}}.run()
}

// pinned starts a server on the first core; %s in an argument is its address.
func (s *serveBench) pinned(program string, args ...string) (address string) {
	s.b.Helper()
	address, c := pinned(s.b.B, "0", s.k.env, program, args...)
	if program == shipped {
		s.fobProcess = c
	}
	return address
}

// pinned starts a server on a core, and waits until it answers; %s in an argument is its
// address.
func pinned(b *testing.B, core string, env []string, program string, args ...string) (address string, c *exec.Cmd) {
	b.Helper()
	address = fmt.Sprintf("127.0.0.1:%d", freePort(b))
	argv := []string{"-c", core, program}
	for _, arg := range args {
		argv = append(argv, strings.ReplaceAll(arg, "%s", address))
	}
	c = exec.Command("taskset", argv...)
	c.Env = env
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	answers(b, "http://"+address+"/readyz")
	return address, c
}

func answers(b *testing.B, url string) {
	b.Helper()
	until(b, 200, func() (int, error) { return statusOf(url) })
}

// buildBare builds testdata/e2e/bare.
func buildBare(b *testing.B) string {
	b.Helper()
	bare := filepath.Join(b.TempDir(), "bare")
	if out, err := exec.Command("go", "build", "-o", bare, "./bare").CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	return bare
}

// load is what wrk has measured.
type load struct{ rate, p50, p99 float64 } // requests a second, milliseconds

var (
	wrkRate    = regexp.MustCompile(`Requests/sec:\s+([0-9.]+)`)
	wrkLatency = regexp.MustCompile(`\s(50|99)%\s+([0-9.]+)(us|ms|s)`)
	wrkWrong   = regexp.MustCompile(`Non-2xx|Socket errors`)
)

// wrk asks a server from the second core.
func (s *serveBench) wrk(address string, connections int, duration string, script string, more ...string) load {
	s.b.Helper()
	return wrk(s.b.B, "http://"+address+"/verify", connections, duration, append([]string{"-s", script}, more...)...)
}

func wrk(b *testing.B, url string, connections int, duration string, more ...string) load {
	b.Helper()
	args := append([]string{"-c", "1", "wrk", "-t1", "-c" + strconv.Itoa(connections), "-d" + duration, "--latency"}, more...)
	out, err := exec.Command("taskset", append(args, url)...).CombinedOutput()
	rate := wrkRate.FindSubmatch(out)
	if err != nil || rate == nil || wrkWrong.Match(out) {
		b.Fatalf("wrk: %v\n%s", err, out)
	}
	var l load
	l.rate, _ = strconv.ParseFloat(string(rate[1]), 64)
	for _, m := range wrkLatency.FindAllSubmatch(out, -1) {
		value, _ := strconv.ParseFloat(string(m[2]), 64)
		value *= map[string]float64{"us": 0.001, "ms": 1, "s": 1000}[string(m[3])]
		if string(m[1]) == "50" {
			l.p50 = value
		} else {
			l.p99 = value
		}
	}
	return l
}

func (s *serveBench) throughput() {
	s.b.Helper()
	var ours, bare samples
	var p99, bareP99 []float64
	for range serveRounds {
		a, z := s.wrk(s.fob, 64, wrkTime, s.script), s.wrk(s.bare, 64, wrkTime, s.script)
		ours.wall, bare.wall, p99, bareP99 = append(ours.wall, a.rate), append(bare.wall, z.rate), append(p99, a.p99), append(bareP99, z.p99)
	}
	s.b.addPair(ours, bare, "", "")
	if s.count == 1_000_000 {
		s.b.add(cells{measured: fmt.Sprintf("%.1f ms", median(p99)), with: fmt.Sprintf("%.1f ms", median(bareP99)), spread: fmt.Sprintf("worst %.1f ms", slices.Max(p99))})
	}
}

// guesses shows ten thousand wrong keys a second from another address.
func (s *serveBench) guesses() {
	s.b.Helper()
	keys := make([]string, 10_000)
	for i := range keys {
		m, err := apikey.Mint("fob", "live")
		if err != nil {
			s.b.Fatal(err)
		}
		keys[i] = m.Key.Reveal()
	}
	before, alone := s.memory(), s.wrk(s.fob, 64, wrkTime, s.script)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var sent sync.Map
	const senders = 20
	for i := range senders {
		wg.Go(func() {
			sent.Store(i, s.guess(keys[i*len(keys)/senders:(i+1)*len(keys)/senders], 10_000/senders, stop))
		})
	}
	began := time.Now()
	beside := s.wrk(s.fob, 64, "8s", s.script)
	during := s.memory()
	close(stop)
	wg.Wait()
	total := 0
	sent.Range(func(_, n any) bool { total += n.(int); return true })
	s.b.add(cells{
		measured: fmt.Sprintf("%.0f per second, %.0f wrong", beside.rate, float64(total)/time.Since(began).Seconds()), with: fmt.Sprintf("%.0f", alone.rate),
		ratio: beside.rate / alone.rate,
	})
	after := s.memory()
	s.b.add(cells{measured: fmt.Sprintf("%.0f, during them %.0f", after, during), with: fmt.Sprintf("%.0f", before), ratio: after / before})
}

// guess shows wrong keys at a rate until it is told to stop, and returns how many.
func (s *serveBench) guess(keys []string, perSecond int, stop chan struct{}) (sent int) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	conn, err := dialer.Dial("tcp", s.fob)
	if err != nil {
		s.b.Error(err)
		return 0
	}
	defer conn.Close()
	go func() { // the answers
		buffer := make([]byte, 64<<10)
		for {
			if _, err := conn.Read(buffer); err != nil {
				return
			}
		}
	}()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return sent
		case <-tick.C:
		}
		var batch strings.Builder
		for range perSecond / 50 {
			fmt.Fprintf(&batch, "GET /verify HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", keys[sent%len(keys)])
			sent++
		}
		if _, err := conn.Write([]byte(batch.String())); err != nil {
			return sent
		}
	}
}

// memory is fob's resident memory, in MiB.
func (s *serveBench) memory() float64 {
	s.b.Helper()
	return residentMiB(s.b.B, s.fobProcess.Process.Pid)
}

func residentMiB(b *testing.B, pid int) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kib / 1024
		}
	}
	return 0
}

// behindNginx measures what asking fob adds to a request through nginx.
func (s *serveBench) behindNginx() {
	s.b.Helper()
	dir := s.b.TempDir()
	with, without, service := freePort(s.b), freePort(s.b), s.bare
	config := strings.NewReplacer("127.0.0.1:8080", fmt.Sprintf("127.0.0.1:%d", with), "127.0.0.1:9000", service, "env=live&scope=orders:read", "").
		Replace(s.k.ok("serve", "--print-config", "nginx", "--listen", s.fob))
	config += fmt.Sprintf("server { listen 127.0.0.1:%d; location / { proxy_set_header Authorization \"\"; proxy_pass http://%s; } }\n", without, service)
	path := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(path, []byte(nginxConf(dir, config)), 0o600); err != nil {
		s.b.Fatal(err)
	}
	nginx := exec.Command("nginx", "-e", dir+"/error.log", "-p", dir, "-c", path)
	if err := nginx.Start(); err != nil {
		s.b.Fatal(err)
	}
	defer func() { _ = nginx.Process.Signal(syscall.SIGTERM); _ = nginx.Wait() }()
	answers(s.b.B, fmt.Sprintf("http://127.0.0.1:%d/", without))
	var added, plain []float64
	for range serveRounds {
		a := s.wrk(fmt.Sprintf("127.0.0.1:%d", with), 1, "2s", s.script)
		z := s.wrk(fmt.Sprintf("127.0.0.1:%d", without), 1, "2s", s.script)
		added, plain = append(added, a.p50-z.p50), append(plain, z.p50)
	}
	s.b.add(cells{measured: fmt.Sprintf("%.3f ms to %.3f ms", median(added), median(plain)), value: median(added), spread: fmt.Sprintf("%.3f–%.3f ms", slices.Min(added), slices.Max(added))})
}

// memoryOfKeys asks for every key of a million once, with room for all.
func (s *serveBench) memoryOfKeys() {
	s.b.Helper()
	const held = 1_000_000
	address := s.pinned(shipped, "serve", "--listen", "%s", "--cache-size", strconv.Itoa(held))
	empty := s.memory()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		s.b.Fatal(err)
	}
	defer conn.Close()
	done := make(chan int)
	go func() {
		answers, buffer := 0, make([]byte, 256<<10)
		for answers < held {
			n, err := conn.Read(buffer)
			answers += strings.Count(string(buffer[:n]), "HTTP/1.1 2")
			if err != nil {
				break
			}
		}
		done <- answers
	}()
	var batch strings.Builder
	for i := range held {
		key, _, _ := strings.Cut(keyLine(i), ",")
		fmt.Fprintf(&batch, "GET /verify HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", key)
		if batch.Len() > 64<<10 || i == held-1 {
			if _, err := conn.Write([]byte(batch.String())); err != nil {
				s.b.Fatal(err)
			}
			batch.Reset()
		}
	}
	if answers := <-done; answers != held {
		s.b.Fatalf("%d keys were accepted", answers)
	}
	full := s.memory()
	s.b.add(cells{measured: fmt.Sprintf("%.0f; %.0f MiB, none cached %.0f MiB", (full-empty)*(1<<20)/held, full, empty)})
}

// revocation measures how long a key is accepted after another process has revoked it:
// from the end of that process.
func (b *table) revocation(registry keyRegistry) {
	b.Helper()
	const revocations, atOnce = 1000, 4
	home := b.TempDir()
	k := &keyMachine{machine: &machine{t: b, home: home, program: []string{shipped}}}
	name := "sqlite:" + home + "/fob/data/registry.db"
	if registry.driver == "pgx" {
		var err error
		if name, err = postgresServer(b).NewDatabase(); err != nil {
			b.Fatal(err)
		}
	}
	k.env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "FOB_HOME=" + home + "/fob", "FOB_REGISTRY=" + name}
	keys := strings.Fields(k.ok("key", "create", "--owner", "a", "--count", strconv.Itoa(revocations)))
	address := fmt.Sprintf("127.0.0.1:%d", freePort(b))
	c := exec.Command(shipped, "serve", "--listen", address)
	c.Env = k.env
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = c.Process.Kill(); _ = c.Wait() }()
	answers(b.B, "http://"+address+"/readyz")
	var mu sync.Mutex
	var took []float64
	var wg sync.WaitGroup
	work := make(chan string)
	for range atOnce {
		wg.Go(func() {
			for key := range work {
				ms := revocationSeen(b.B, k, address, key)
				mu.Lock()
				took = append(took, ms)
				mu.Unlock()
			}
		})
	}
	for _, key := range keys {
		work <- key
	}
	close(work)
	wg.Wait()
	slices.Sort(took)
	b.add(cells{
		measured: fmt.Sprintf("%.0f ms, p50 %.0f ms, p99 %.0f ms", slices.Max(took), median(took), took[len(took)*99/100]), value: slices.Max(took),
	})
}

// revocationSeen is how many milliseconds a revoked key was still accepted.
func revocationSeen(b *testing.B, k *keyMachine, address, key string) float64 {
	ask := func() int {
		status, err := get("http://"+address+"/verify", key, func() (net.Conn, error) { return net.Dial("tcp", address) })
		if err != nil {
			b.Error(err)
		}
		return status
	}
	if got := ask(); got != 200 {
		b.Errorf("before: %d", got)
	}
	if r := k.fob("", "key", "revoke", strings.Split(key, "_")[2]); r.status != 0 {
		b.Errorf("%d\n%s", r.status, r.stderr)
	}
	revoked := time.Now()
	for ask() == 200 {
		<-time.After(2 * time.Millisecond)
	}
	return float64(time.Since(revoked).Microseconds()) / 1000
}
