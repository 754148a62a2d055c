package e2e

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/apikey/registry/registrytest"
)

// served is fob serve alone, with a good key.
type served struct {
	*keyMachine
	fob     *daemon
	address string
	key     string
}

func newServed(t *testing.T, registry keyRegistry, flags ...string) *served {
	t.Helper()
	k := newKeyMachine(t, registry)
	key, _ := k.newKey("shop")
	port := freePort(t)
	return &served{keyMachine: k, fob: k.startServe(t, port, flags...), address: fmt.Sprintf("127.0.0.1:%d", port), key: key}
}

// status asks for a key's.
func (s *served) status(key string) int {
	s.t.Helper()
	r, err := http.NewRequest("GET", "http://"+s.address+"/verify", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+key)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

// memory is the resident memory of fob, in KiB.
func (s *served) memory() int {
	s.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.fob.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				s.t.Fatal(err)
			}
			return kib
		}
	}
	s.t.Fatal("no VmRSS")
	return 0
}

// openFiles is how many file descriptors fob has.
func (s *served) openFiles() int {
	s.t.Helper()
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.fob.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	return len(files)
}

// raw sends bytes and returns the status lines of all answers until the connection
// ends.
func (s *served) raw(text string) []string {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(3 * time.Second))
	if _, err := io.WriteString(conn, text); err != nil {
		s.t.Log(err)
	}
	var lines []string
	for scanner := bufio.NewScanner(conn); scanner.Scan(); {
		if strings.HasPrefix(scanner.Text(), "HTTP/1.") {
			lines = append(lines, scanner.Text())
		}
	}
	return lines
}

// What a proxy and fob might cut into requests in two ways gets one answer at most, and
// that is no yes for what hides behind it.
func TestG59ServeRequestSmuggling(t *testing.T) {
	t.Parallel()
	s := newServed(t, keyRegistries[0])
	hidden := "GET /verify HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + s.key + "\r\n\r\n"
	bad := "Authorization: Bearer nonsense\r\n"
	for name, text := range map[string]string{
		"CL and TE":               "POST /verify HTTP/1.1\r\nHost: x\r\n" + bad + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
		"two CLs":                 "POST /verify HTTP/1.1\r\nHost: x\r\n" + bad + fmt.Sprintf("Content-Length: 0\r\nContent-Length: %d\r\n\r\n", len(hidden)) + hidden,
		"TE junk":                 "POST /verify HTTP/1.1\r\nHost: x\r\n" + bad + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + hidden,
		"TE twice":                "POST /verify HTTP/1.1\r\nHost: x\r\n" + bad + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + hidden,
		"space before colon":      "GET /verify HTTP/1.1\r\nHost: x\r\nContent-Length : 5\r\n" + bad + "\r\n" + hidden,
		"folded line":             "GET /verify HTTP/1.1\r\nHost: x\r\nX: y\r\n Authorization: Bearer " + s.key + "\r\n\r\n",
		"hidden in a body":        "POST /verify HTTP/1.1\r\nHost: x\r\n" + bad + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(hidden)) + hidden,
		"hidden in a chunked one": "POST /verify HTTP/1.1\r\nHost: x\r\n" + bad + fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(hidden), hidden),
		"negative length":         "POST /verify HTTP/1.1\r\nHost: x\r\n" + bad + "Content-Length: -1\r\n\r\n" + hidden,
		"length with a sign":      "POST /verify HTTP/1.1\r\nHost: x\r\n" + bad + "Content-Length: +0\r\n\r\n" + hidden,
		"NUL in a header":         "GET /verify HTTP/1.1\r\nHost: x\r\nX: \x00\r\n" + bad + "\r\n" + hidden,
		"two hosts":               "GET /verify HTTP/1.1\r\nHost: x\r\nHost: y\r\n" + bad + "\r\n" + hidden,
		"body with a GET":         "GET /verify HTTP/1.1\r\nHost: x\r\n" + bad + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(hidden)) + hidden,
	} {
		answers := s.raw(text)
		if len(answers) > 1 {
			t.Errorf("%s: %d answers: %v", name, len(answers), answers)
		}
		for _, answer := range answers {
			if strings.Contains(answer, " 200 ") {
				t.Errorf("%s: %s", name, answer)
			}
		}
	}
	if answers := s.raw(strings.Replace(hidden, "Host: x\r\n", "Host: x\r\nConnection: close\r\n", 1)); len(answers) != 1 || !strings.Contains(answers[0], " 200 ") {
		t.Error("a plain request:", answers)
	}
}

func TestG60ServeSlowClientsAndLargeHeaders(t *testing.T) {
	t.Parallel()
	s := newServed(t, keyRegistries[0])
	before := s.memory()
	var slow []net.Conn
	for range 300 {
		conn, err := net.Dial("tcp", s.address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprint(conn, "GET /verify HTTP/1.1\r\nHost: x\r\nX-Slow: ")
		slow = append(slow, conn)
	}
	for range 20 {
		if got := s.status(s.key); got != 200 {
			t.Fatalf("beside slow clients: %d", got)
		}
	}
	for range 20 {
		answers := s.raw("GET /verify HTTP/1.1\r\nHost: x\r\nX-Large: " + strings.Repeat("x", 1<<20) + "\r\n\r\n")
		if len(answers) > 0 && !strings.Contains(answers[0], " 431 ") {
			t.Errorf("1 MiB of headers: %v", answers)
		}
	}
	if grown := s.memory() - before; grown > 32<<10 {
		t.Errorf("memory grew by %d KiB", grown)
	}
	// Who does not come to the point is cut off.
	_ = slow[0].SetReadDeadline(time.Now().Add(15 * time.Second))
	if _, err := io.Copy(io.Discard, slow[0]); err != nil {
		t.Errorf("a slow client is still there: %v", err)
	}
	if got := s.status(s.key); got != 200 {
		t.Error(got)
	}
}

// get asks over a connection of one's own making.
func get(url, key string, dial func() (net.Conn, error)) (int, error) {
	transport := &http.Transport{Dial: func(string, string) (net.Conn, error) { return dial() }, DialTLS: func(string, string) (net.Conn, error) { return dial() }}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequest("GET", url, nil)
	if err != nil {
		return 0, err
	}
	r.Header.Set("Authorization", "Bearer "+key)
	resp, err := (&http.Client{Transport: transport, Timeout: 5 * time.Second}).Do(r)
	if err != nil {
		return 0, err
	}
	resp.Body.Close()
	return resp.StatusCode, nil
}

func TestServeOnSockets(t *testing.T) {
	t.Parallel()
	k := newKeyMachine(t, keyRegistries[0])
	key, _ := k.newKey("shop")
	path := runtimeDir(t) + "/fob"
	ask := func() (int, error) {
		return get("http://fob/verify", key, func() (net.Conn, error) { return net.Dial("unix", path) })
	}
	first := startDaemon(t, k.env, k.program[0], "serve", "--listen", "unix:"+path)
	until(t, 200, ask)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Error(info.Mode(), err)
	}
	if r := k.fob("", "serve", "--listen", "unix:"+path); r.status != 1 || !strings.Contains(r.stderr, "another program listens there") {
		t.Errorf("%d\n%s", r.status, r.stderr)
	}
	first.stop(syscall.SIGKILL) // its socket stays, and is in nobody's way
	second := startDaemon(t, k.env, k.program[0], "serve", "--listen", "unix:"+path)
	until(t, 200, ask)
	second.stop(syscall.SIGTERM)

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	file, err := listener.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	c := exec.Command("sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" serve --listen systemd`, k.program[0])
	c.Env, c.ExtraFiles = k.env, []*os.File{file}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	until(t, 200, func() (int, error) {
		return get("http://fob/verify", key, func() (net.Conn, error) { return net.Dial("tcp", listener.Addr().String()) })
	})
}

// A socket that systemd passes is judged by its address, too: no flag names it.
func TestI78_SystemdSocketThatOthersReach(t *testing.T) {
	t.Parallel()
	k := newKeyMachine(t, keyRegistries[0])
	key, _ := k.newKey("shop")
	listener, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	serve := func(flags string) *exec.Cmd {
		file, err := listener.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		c := exec.Command("sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" serve --listen systemd `+flags, k.program[0])
		c.Env, c.ExtraFiles = k.env, []*os.File{file}
		return c
	}
	if out, err := serve("").CombinedOutput(); err == nil || !strings.Contains(string(out), "refusing to serve plain HTTP on systemd") {
		t.Errorf("%v\n%s", err, out)
	}
	c := serve("--plain-http")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	until(t, 200, func() (int, error) {
		return get("http://fob/verify", key, func() (net.Conn, error) { return net.Dial("tcp", "127.0.0.1:"+port) })
	})
}

func TestServeTLSCertificateIsRenewed(t *testing.T) {
	t.Parallel()
	first, second := newPKI(t), newPKI(t)
	k := newKeyMachine(t, keyRegistries[0])
	key, _ := k.newKey("shop")
	port := freePort(t)
	install := func(p *pki) {
		for from, to := range map[string]string{p.Cert: "/cert.pem", p.Key: "/key.pem"} {
			text, err := os.ReadFile(from)
			if err != nil {
				t.Fatal(err)
			}
			writeFile(t, k.home+to, string(text))
		}
	}
	install(first)
	daemon := startDaemon(t, k.env, k.program[0], "serve", "--listen", fmt.Sprintf("127.0.0.1:%d", port), "--tls-cert", k.home+"/cert.pem", "--tls-key", k.home+"/key.pem")
	ask := func(p *pki) func() (int, error) {
		roots := x509.NewCertPool()
		roots.AddCert(p.root.cert)
		return func() (int, error) {
			return get("https://127.0.0.1/verify", key, func() (net.Conn, error) {
				return tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port), &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"})
			})
		}
	}
	until(t, 200, ask(first))
	if got, err := ask(second)(); err == nil {
		t.Error("another authority's certificate:", got)
	}
	writeFile(t, k.home+"/key.pem", "half written")
	eventually(t, func() error { // the files are looked at once a second, when somebody connects
		if got, err := ask(first)(); got != 200 {
			t.Fatal(got, err)
		}
		if !strings.Contains(daemon.said(), "the renewed certificate cannot be used") {
			return errors.New(daemon.said())
		}
		return nil
	})
	install(second)
	until(t, 200, ask(second))
}

func TestServeStopsGracefully(t *testing.T) {
	t.Parallel()
	s := newServed(t, keyRegistries[0])
	var wg sync.WaitGroup
	var mu sync.Mutex
	statuses := map[int]int{}
	stop := make(chan struct{})
	for range 8 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				got := s.status(s.key)
				mu.Lock()
				statuses[got]++
				mu.Unlock()
				if got == 0 {
					return // it listens no more
				}
			}
		})
	}
	eventually(t, func() error { // in the middle of traffic
		mu.Lock()
		defer mu.Unlock()
		if statuses[200] < 100 {
			return fmt.Errorf("answers: %v", statuses)
		}
		return nil
	})
	s.fob.stop(syscall.SIGTERM)
	close(stop)
	wg.Wait()
	if status := s.fob.cmd.ProcessState.ExitCode(); status != 0 {
		t.Errorf("exit status %d\n%s", status, s.fob.said())
	}
	for status, n := range statuses {
		if status != 200 && status != 0 {
			t.Errorf("%d answers with %d", n, status)
		}
	}
	if used := s.ok("key", "show", strings.Split(s.key, "_")[2]); !strings.Contains(used, "about "+strconv.Itoa(statuses[200])) {
		t.Errorf("%d uses were not written down:\n%s", statuses[200], used)
	}
}

// Without a word from the database every key is refused within a second or so, and
// accepted again when it is back, in whatever way it was gone.
func TestServeWithoutPostgreSQL(t *testing.T) {
	t.Parallel()
	server, err := registrytest.StartPostgres()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	s := newServed(t, keyRegistry{"PostgreSQL", "pgx", func(t *testing.T, _ *machine) (string, string) {
		name, err := server.NewDatabase()
		if err != nil {
			t.Fatal(err)
		}
		return name, name
	}})
	ask := func() (int, error) { return s.status(s.key), nil }
	until(t, 200, ask)
	for _, gone := range []struct {
		name       string
		end, begin func() error
	}{
		{"killed", func() error { server.Kill(); return nil }, server.Start},
		{"stopped", server.Freeze, server.Thaw},
	} {
		if err := gone.end(); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		until(t, 503, ask)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s: keys were accepted for %s", gone.name, took)
		}
		if err := gone.begin(); err != nil {
			t.Fatal(err)
		}
		until(t, 200, ask)
	}
}

// A fob that slept does not go by what it knew before.
func TestServeAfterASleep(t *testing.T) {
	t.Parallel()
	s := newServed(t, keyRegistries[0])
	if got := s.status(s.key); got != 200 {
		t.Fatal(got)
	}
	if err := s.fob.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	s.ok("key", "revoke", strings.Split(s.key, "_")[2])
	<-time.After(1500 * time.Millisecond) // longer than --max-stale
	if err := s.fob.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	for range 50 {
		if got := s.status(s.key); got == 200 {
			t.Fatal("a key that was revoked meanwhile is accepted")
		}
	}
	until(t, 401, func() (int, error) { return s.status(s.key), nil })
}
