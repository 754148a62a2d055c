package e2e

import (
	"bufio"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/apikey"
)

// traffic is what fob serve is asked, while other processes make and end keys.
type traffic struct {
	*served
	test      *testing.T
	requests  int // in all
	perSecond int

	good      []string // keys that nobody touches: more than the cache holds
	limited   string   // a key with a rate of its own
	asker     string   // may introspect
	strangers []string

	end                         chan struct{} // closed when all was asked
	asked, unavailable, changes atomic.Int64
	mu                          sync.Mutex // guards what follows
	ended                       []string   // keys that were seen to be refused
	slowest                     time.Duration
	resident                    []float64 // MiB
	descriptors                 []int
}

// A day at 100 requests a second is 8.64 million; in the long form they follow each
// other 144 times as fast, and last ten minutes.
const (
	dayOfRequests  = 24 * 60 * 60 * 100
	soakPerSecond  = dayOfRequests / 600
	shortRequests  = 20_000
	shortPerSecond = 2_000
	askers         = 8   // connections
	pipelined      = 24  // requests that follow each other without waiting
	perConnection  = 200 // such rows, and then a new one
)

func TestServeADayOfTrafficWhileKeysChange(t *testing.T) {
	a := &traffic{test: t, requests: dayOfRequests, perSecond: soakPerSecond, end: make(chan struct{})}
	if soak == "" {
		t.Parallel()
		a.requests, a.perSecond = shortRequests, shortPerSecond
	}
	a.served = newServed(t, keyRegistries[0], "--trusted-proxy", "127.0.0.1/32", "--cache-size", "900")
	a.makeKeys()
	idle := a.openFiles()
	began := time.Now()
	var asking, beside sync.WaitGroup
	for range askers {
		asking.Go(a.ask)
	}
	for range 2 {
		beside.Go(a.changeKeys)
	}
	beside.Go(a.watch)
	asking.Wait()
	close(a.end)
	beside.Wait()
	lasted := time.Since(began)
	http.DefaultClient.CloseIdleConnections()
	a.judge(lasted, idle)
}

func (a *traffic) makeKeys() {
	a.t.Helper()
	create := func(more ...string) []string {
		return strings.Fields(a.ok(append([]string{"key", "create", "--yes", "--owner", "team", "--scope", "orders:read"}, more...)...))
	}
	a.good = create("--count", "1000")
	a.limited = create("--rate", "5/s")[0]
	a.asker = create("--scope", "fob:introspect")[0]
	if _, err := apikey.Parse(wrongSecret(a.asker)); err != nil {
		a.t.Fatal(err)
	}
	for range 1000 {
		m, err := apikey.Mint("fob", "test")
		if err != nil {
			a.t.Fatal(err)
		}
		a.strangers = append(a.strangers, m.Key.Reveal())
	}
}

func one(of []string) string { return of[rand.IntN(len(of))] }

// wrongSecret is a key with the secret of another, and the checksum of both.
func wrongSecret(key string) string {
	parts := strings.Split(key, "_")
	secret := []byte(parts[3][:32])
	slices.Reverse(secret)
	text := strings.Join(parts[:3], "_") + "_" + string(secret)
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	sum, n := []byte("000000"), int64(crc32.ChecksumIEEE([]byte(text)))
	for i := len(sum) - 1; n > 0; i, n = i-1, n/62 {
		sum[i] = digits[n%62]
	}
	return text + string(sum)
}

// address is one of two hundred million, in both families.
func address() string {
	if rand.IntN(2) == 0 {
		return fmt.Sprintf("2001:db8:%x:%x::1", rand.IntN(1<<16), rand.IntN(1<<11))
	}
	return fmt.Sprintf("10.%d.%d.%d", rand.IntN(256), rand.IntN(256), rand.IntN(256))
}

// request is one, and the statuses that are right for it.
type request struct {
	text string
	want []int
}

func getting(target string, want []int, headers ...string) request {
	return request{"GET " + target + " HTTP/1.1\r\nHost: x\r\n" + strings.Join(headers, "\r\n") + "\r\n\r\n", want}
}

// next draws a request: most are good.
func (a *traffic) next() request {
	from := "X-Forwarded-For: " + address()
	bearer := func(key string) string { return "Authorization: Bearer " + key }
	switch n := rand.IntN(100); {
	case n < 50:
		return getting("/verify", []int{200}, bearer(one(a.good)), from)
	case n < 60:
		return getting("/verify?env=test&scope=orders:read", []int{200}, "X-API-Key: "+one(a.good), from)
	case n < 64:
		return getting("/verify?scope=orders:write", []int{403}, bearer(one(a.good)), from)
	case n < 68:
		return getting("/verify", []int{200, 429}, bearer(a.limited), from)
	case n < 73:
		return getting("/verify", []int{401}, bearer(wrongSecret(one(a.good))), from)
	case n < 78:
		return getting("/verify", []int{401}, bearer(one(a.strangers)), from)
	case n < 88: // one address guesses without end
		return getting("/verify", []int{401, 429}, bearer(one(a.strangers)), "X-Forwarded-For: 203.0.113.7")
	case n < 90:
		return getting("/verify", []int{401}, bearer("no-key-of-anybody-at-all"), from)
	case n < 92:
		return getting("/verify", []int{401}, bearer(one(a.good)), bearer(one(a.good)), from)
	case n < 93:
		return getting("/verify", []int{401}, from)
	case n < 94:
		return getting("/verify?key="+one(a.good), []int{400}, from)
	case n < 95:
		return getting("/verify?scopes=orders:read", []int{400}, bearer(one(a.good)), from)
	case n < 97:
		if key := a.oneEnded(); key != "" {
			return getting("/verify", []int{401}, bearer(key), from)
		}
	}
	form := "token=" + one(a.good)
	return request{fmt.Sprintf("POST /introspect HTTP/1.1\r\nHost: x\r\n%s\r\n%s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s",
		bearer(a.asker), from, len(form), form), []int{200}}
}

func (a *traffic) oneEnded() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.ended) == 0 {
		return ""
	}
	return one(a.ended)
}

// ask sends its share of the requests, at its share of the rate.
func (a *traffic) ask() {
	began, left := time.Now(), a.requests/askers
	for left > 0 {
		conn, err := net.Dial("tcp", a.address)
		if err != nil {
			a.t.Error(err)
			return
		}
		answers := bufio.NewReader(conn)
		for range perConnection {
			due := time.Duration(a.requests/askers-left) * askers * time.Second / time.Duration(a.perSecond)
			time.Sleep(time.Until(began.Add(due)))
			if err := a.row(conn, answers); err != nil {
				a.t.Error(err)
				left = 0
			}
			if left -= pipelined; left <= 0 {
				break
			}
		}
		conn.Close()
	}
}

// row sends some requests at once and reads their answers.
func (a *traffic) row(conn net.Conn, answers *bufio.Reader) error {
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	var row [pipelined]request
	var text strings.Builder
	for i := range row {
		row[i] = a.next()
		text.WriteString(row[i].text)
	}
	if _, err := io.WriteString(conn, text.String()); err != nil {
		return err
	}
	for _, sent := range row {
		resp, err := http.ReadResponse(answers, nil)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return err
		}
		a.asked.Add(1)
		if resp.StatusCode == http.StatusServiceUnavailable {
			a.unavailable.Add(1) // it was kept from asking the registry, and says so
		} else if !slices.Contains(sent.want, resp.StatusCode) {
			line, _, _ := strings.Cut(sent.text, "\r\n")
			return fmt.Errorf("%s: status %d, not %v", line, resp.StatusCode, sent.want)
		}
	}
	return nil
}

// changeKeys makes a key, replaces it and revokes what replaced it, again and again.
func (a *traffic) changeKeys() {
	for !a.t.Failed() {
		select {
		case <-a.end:
			return
		case <-time.After(100 * time.Millisecond):
		}
		first, id := a.newKey("shop")
		a.accepted(first)
		second := strings.TrimSpace(a.ok("key", "rotate", "--yes", "--compromised", id))
		a.refused(first)
		a.accepted(second)
		a.ok("key", "revoke", "--yes", strings.Split(second, "_")[2])
		a.refused(second)
		a.changes.Add(1)
	}
}

// verify asks for a key's status, beside the traffic.
func (a *traffic) verify(key string) int {
	a.asked.Add(1)
	status := a.status(key)
	if status == http.StatusServiceUnavailable {
		a.unavailable.Add(1)
	}
	return status
}

func (a *traffic) accepted(key string) {
	for {
		switch status := a.verify(key); status {
		case http.StatusOK:
			return
		case http.StatusServiceUnavailable:
			<-time.After(20 * time.Millisecond)
		default:
			a.t.Errorf("a new key: %d", status)
			return
		}
	}
}

// refused asks with a key that has ended until it is refused. That takes a second at
// most, however busy the machine is: fob serve refuses all rather than go by older news.
func (a *traffic) refused(key string) {
	ended := time.Now()
	for {
		after := time.Since(ended)
		status := a.verify(key)
		if status == http.StatusUnauthorized {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.slowest = max(a.slowest, after)
			if a.ended = append(a.ended, key); len(a.ended) > 1000 {
				a.ended = a.ended[1:]
			}
			return
		}
		if status == http.StatusOK && after > time.Second || after > time.Minute {
			a.t.Errorf("status %d, %s after the key's end", status, after)
			return
		}
		<-time.After(5 * time.Millisecond)
	}
}

// watch samples what fob holds.
func (a *traffic) watch() {
	every := time.Duration(a.requests) * time.Second / time.Duration(a.perSecond) / 60
	for {
		select {
		case <-a.end:
			return
		case <-time.After(every):
		}
		a.resident = append(a.resident, float64(a.memory())/1024)
		a.descriptors = append(a.descriptors, a.openFiles())
	}
}

// goroutines ends fob with a list of what it was about, and counts that.
func (a *traffic) goroutines() int {
	a.t.Helper()
	a.fob.stop(syscall.SIGQUIT)
	return len(regexp.MustCompile(`(?m)^goroutine \d+ `).FindAllString(a.fob.said(), -1))
}

// counted sums up what fob says of its checks, and fails for an outcome that never was.
func (a *traffic) counted() (sum int64) {
	a.t.Helper()
	resp, err := http.Get("http://" + a.address + "/metrics")
	if err != nil {
		a.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^fob_checks_total\{outcome="(\w+)"\} (\d+)$`).FindAllStringSubmatch(string(text), -1) {
		n, _ := strconv.ParseInt(m[2], 10, 64)
		if sum += n; n == 0 && !slices.Contains([]string{"no_rule", "unclear_path", "preflight", "unavailable"}, m[1]) { // there are no rules here
			a.t.Errorf("nothing was answered with %s", m[1])
		}
	}
	return sum
}

// judge says what was measured, and whether it grows.
func (a *traffic) judge(lasted time.Duration, idle int) {
	a.t.Helper()
	third := len(a.resident) / 3
	if third == 0 || a.changes.Load() == 0 {
		a.t.Fatalf("%d samples, %d changes: that was no traffic", len(a.resident), a.changes.Load())
	}
	second, last := a.resident[third:2*third], a.resident[2*third:]
	before, after := meanOf(second), meanOf(last)
	if after > 1.1*before+8 {
		a.t.Errorf("memory grows: %.0f MiB", a.resident)
	}
	files, most := slices.Max(a.descriptors[third:2*third]), slices.Max(a.descriptors[2*third:])
	if most > files+4 {
		a.t.Errorf("open files grow: %d", a.descriptors)
	}
	if sum := a.counted(); sum != a.asked.Load() {
		a.t.Errorf("%d checks were asked for, and %d counted", a.asked.Load(), sum)
	}
	http.DefaultClient.CloseIdleConnections()
	var released int
	until(a.test, 0, func() (int, error) { released = a.openFiles(); return max(0, released-idle-4), nil })
	left := a.goroutines()
	if left > 25 || left == 0 {
		a.t.Errorf("%d goroutines at the end", left)
	}
	said := fmt.Sprintf(`%d requests in %s, %.0f a second: a day's, at %.1f a second. %d of them were answered 503.
Meanwhile other processes created a key, replaced it at once and revoked its successor %d times; each was refused
at most %d ms after the process that had ended it. Resident memory, on average: %.1f MiB in the second third,
%.1f MiB in the last; at most %.1f MiB. Open files: %d before, %d in the second third, %d in the last, %d after.
Goroutines at the end: %d.
`, a.asked.Load(), lasted.Round(time.Second), float64(a.asked.Load())/lasted.Seconds(), float64(a.asked.Load())/(24*60*60), a.unavailable.Load(),
		a.changes.Load(), a.slowest.Milliseconds(), before, after, slices.Max(a.resident), idle, files, most, released, left)
	a.t.Log("\n" + said)
	if soak != "" {
		addToReport("## fob serve: a day of traffic while keys change\n\n" + said)
	}
}

func meanOf(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}
