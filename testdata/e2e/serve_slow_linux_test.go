package e2e

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/registry/registrytest"
)

// slowSocket stands before a database, and hands on its answers late.
type slowSocket struct {
	dir     string
	delay   atomic.Int64
	delayed atomic.Int64 // pieces that came late
}

const socketName = "/.s.PGSQL.5432"

func newSlowSocket(t *testing.T, server string) *slowSocket {
	t.Helper()
	s := &slowSocket{dir: runtimeDir(t)}
	listener, err := net.Listen("unix", s.dir+socketName)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("unix", server+socketName)
			if err != nil {
				near.Close()
				continue
			}
			go s.handOn(far, near, func() time.Duration { return 0 })
			go s.handOn(near, far, func() time.Duration { return time.Duration(s.delay.Load()) })
		}
	}()
	return s
}

// handOn copies what it reads, each piece so much later; one waits for no other.
func (s *slowSocket) handOn(to, from net.Conn, late func() time.Duration) {
	type piece struct {
		due  time.Time
		late bool
		text []byte
	}
	pieces := make(chan piece, 1000)
	go func() {
		defer to.Close()
		defer from.Close()
		for p := range pieces {
			time.Sleep(time.Until(p.due))
			if _, err := to.Write(p.text); err != nil {
				break
			}
			if p.late {
				s.delayed.Add(1)
			}
		}
		for range pieces {
		}
	}()
	defer close(pieces)
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			delay := late()
			pieces <- piece{time.Now().Add(delay), delay > 0, slices.Clone(buffer[:n])}
		}
		if err != nil {
			return
		}
	}
}

// serveThrough starts a fob serve whose registry is behind the socket.
func (k *keyMachine) serveThrough(t *testing.T, s *slowSocket, key string, flags ...string) *served {
	t.Helper()
	direct := k.env
	defer func() { k.env = direct }()
	k.env = slices.Clone(direct)
	for i, variable := range k.env {
		if name, ok := strings.CutPrefix(variable, "FOB_REGISTRY="); ok {
			k.env[i] = "FOB_REGISTRY=" + atSocket(t, name, s.dir)
		}
	}
	port := freePort(t)
	return &served{keyMachine: k, fob: k.startServe(t, port, flags...), address: fmt.Sprintf("127.0.0.1:%d", port), key: key}
}

func atSocket(t *testing.T, name, dir string) string {
	t.Helper()
	u, err := url.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	query.Set("host", dir)
	u.RawQuery = query.Encode()
	return u.String()
}

// asks asks with a good key for a while, and returns how often each status came, and
// the longest that an answer took.
func (s *served) asks(lasts time.Duration) (statuses map[int]int, longest time.Duration) {
	statuses = map[int]int{}
	for end := time.Now().Add(lasts); time.Now().Before(end); {
		began := time.Now()
		statuses[s.status(s.key)]++
		longest = max(longest, time.Since(began))
		<-time.After(5 * time.Millisecond)
	}
	return statuses, longest
}

// guesses shows unknown ids over so many connections until stop is closed, each again as
// soon as it is answered, and returns how long the longest answer took.
func (s *served) guesses(connections int, stop chan struct{}) func() (longest time.Duration, wrong string) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var longest time.Duration
	wrong := ""
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections}, Timeout: 30 * time.Second}
	for range connections {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				m, err := apikey.Mint("fob", "test")
				if err != nil {
					panic(err)
				}
				r, err := http.NewRequest("GET", "http://"+s.address+"/verify", nil)
				if err != nil {
					panic(err)
				}
				r.Header.Set("Authorization", "Bearer "+m.Key.Reveal())
				r.Header.Set("X-Forwarded-For", address())
				began := time.Now()
				resp, err := client.Do(r)
				mu.Lock()
				longest = max(longest, time.Since(began))
				if err != nil {
					wrong = err.Error()
				} else if resp.Body.Close(); resp.StatusCode != 401 && resp.StatusCode != 503 {
					wrong = resp.Status
				}
				mu.Unlock()
			}
		})
	}
	return func() (time.Duration, string) {
		close(stop)
		wg.Wait()
		client.CloseIdleConnections()
		return longest, wrong
	}
}

// A database that is slow is heard of late. As long as that is within --max-stale keys are
// answered as ever, however many unknown ones are shown; else every key is refused, at once.
func TestServeWithSlowPostgreSQL(t *testing.T) {
	t.Parallel()
	server, err := registrytest.StartPostgres()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	var dir string
	k := newKeyMachine(t, keyRegistry{"PostgreSQL", "pgx", func(t *testing.T, _ *machine) (string, string) {
		name, err := server.NewDatabase()
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		dir = u.Query().Get("host")
		return name, name
	}})
	key, _ := k.newKey("shop")
	revoked, id := k.newKey("shop")
	socket := newSlowSocket(t, dir)
	const trusted = "--trusted-proxy=127.0.0.1/32"
	strict := k.serveThrough(t, socket, key, trusted)
	patient := k.serveThrough(t, socket, key, trusted, "--max-stale", "10s")
	for _, s := range []*served{strict, patient} {
		until(t, 200, func() (int, error) { return s.status(key), nil })
		until(t, 200, func() (int, error) { return s.status(revoked), nil })
	}

	socket.delay.Store(int64(300 * time.Millisecond))
	eventually(t, func() error { // until each has had several late answers
		if n := socket.delayed.Load(); n < 10 {
			return fmt.Errorf("%d late answers", n)
		}
		return nil
	})
	stop := strict.guesses(50, make(chan struct{}))
	statuses, longest := strict.asks(3 * time.Second)
	if statuses[200] == 0 || len(statuses) != 1 || longest > time.Second {
		t.Errorf("300 ms late: %v, at most %s", statuses, longest)
	}
	if longest, wrong := stop(); longest > 4*time.Second || wrong != "" {
		t.Errorf("300 ms late, unknown keys: %s, at most %s", wrong, longest)
	}
	k.ok("key", "revoke", "--yes", id)
	ended := time.Now()
	for status := 200; status == 200; status = strict.status(revoked) {
		if after := time.Since(ended); after > 2*time.Second {
			t.Fatalf("300 ms late: revoked, and accepted after %s", after)
		}
	}
	until(t, 401, func() (int, error) { return strict.status(revoked), nil })

	socket.delay.Store(int64(3 * time.Second))
	until(t, 503, func() (int, error) { return strict.status(key), nil })
	stop = patient.guesses(50, make(chan struct{}))
	files := strict.openFiles()
	if statuses, longest := strict.asks(3 * time.Second); len(statuses) != 1 || statuses[503] == 0 || longest > time.Second {
		t.Errorf("3 s late: %v, at most %s", statuses, longest)
	}
	if more := strict.openFiles(); more > files+10 {
		t.Errorf("3 s late: %d open files, %d before", more, files)
	}
	if statuses, longest := patient.asks(8 * time.Second); len(statuses) != 1 || statuses[200] == 0 || longest > time.Second {
		t.Errorf("3 s late, and trusted for 10: %v, at most %s", statuses, longest)
	}
	if longest, wrong := stop(); longest > 12*time.Second || wrong != "" {
		t.Errorf("3 s late, unknown keys: %s, at most %s", wrong, longest)
	}

	socket.delay.Store(0)
	for _, s := range []*served{strict, patient} {
		until(t, 200, func() (int, error) { return s.status(key), nil })
		until(t, 401, func() (int, error) { return s.status(revoked), nil })
	}
}
