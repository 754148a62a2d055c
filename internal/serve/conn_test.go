package serve

import (
	"errors"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// counting counts how often a connection hears of a deadline.
type counting struct {
	net.Conn
	reads int
}

func (c *counting) SetReadDeadline(t time.Time) error {
	c.reads++
	return c.Conn.SetReadDeadline(t)
}

// piped is a connection as the server has it, over one that counts, and its other end.
func piped(t *testing.T) (c *conn, inner *counting, peer net.Conn) {
	near, peer := net.Pipe()
	inner = &counting{Conn: near}
	c = newConn(inner, func() {})
	t.Cleanup(func() { _, _ = c.Close(), peer.Close() })
	return c, inner, peer
}

// A read and a write end when it was last said that they must, and at most a second before.
func TestDeadlines(t *testing.T) {
	for name, last := range map[string]struct {
		want        []time.Duration // for one read or write after the other
		from, until time.Duration
	}{
		"one":             {[]time.Duration{5 * time.Second}, 5 * time.Second, 5 * time.Second},
		"moved on":        {[]time.Duration{5 * time.Second, 2 * time.Minute}, 2 * time.Minute, 2 * time.Minute},
		"moved a little":  {[]time.Duration{5 * time.Second, 5900 * time.Millisecond}, 4900 * time.Millisecond, 5900 * time.Millisecond},
		"brought forward": {[]time.Duration{2 * time.Minute, 300 * time.Millisecond}, 300 * time.Millisecond, 300 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			for kind, io := range map[string]struct {
				ours, theirs func(net.Conn, []byte) (int, error)
			}{
				"read": {net.Conn.Read, net.Conn.Write}, "write": {net.Conn.Write, net.Conn.Read},
			} {
				synctest.Test(t, func(t *testing.T) {
					c, _, peer := piped(t)
					began := time.Now()
					for _, d := range last.want[:len(last.want)-1] {
						_ = c.SetDeadline(began.Add(d))
						go func() { _, _ = io.theirs(peer, make([]byte, 1)) }()
						if _, err := io.ours(c, make([]byte, 1)); err != nil {
							t.Fatal(err)
						}
					}
					_ = c.SetDeadline(began.Add(last.want[len(last.want)-1]))
					_, err := io.ours(c, make([]byte, 1))
					if took := time.Since(began); !errors.Is(err, os.ErrDeadlineExceeded) || took < last.from || took > last.until {
						t.Errorf("%s: %v after %s", kind, err, took)
					}
				})
			}
		})
	}
}

// What waits hears of a deadline at once: that is how net/http calls a read off.
func TestDeadlineOfWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, peer := piped(t)
		_ = c.SetReadDeadline(time.Now().Add(time.Minute))
		ended := make(chan error)
		read := func() { _, err := c.Read(make([]byte, 1)); ended <- err }
		go read()
		synctest.Wait()
		_ = c.SetReadDeadline(time.Unix(1, 0))
		if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the read that waited: %v", err)
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the next one: %v", err)
		}
		_ = c.SetReadDeadline(time.Time{})
		go read()
		<-time.After(time.Hour)
		if _, err := peer.Write([]byte("x")); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Errorf("without a deadline: %v", err)
		}
	})
}

// A busy connection hears of a deadline once a second, and an hour of requests is cut off
// by none of those that were replaced.
func TestDeadlinesOfABusyConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, inner, peer := piped(t)
		const every, requests = 100 * time.Millisecond, 36_000
		go func() {
			for range requests {
				<-time.After(every)
				_, _ = peer.Write([]byte("x"))
			}
		}()
		for i := range requests {
			for _, d := range []time.Duration{readHeaderTimeout, readTimeout, idleTimeout} {
				_ = c.SetReadDeadline(time.Now().Add(d))
			}
			if _, err := c.Read(make([]byte, 1)); err != nil {
				t.Fatalf("request %d: %v", i, err)
			}
		}
		if most := int(requests*every/deadlineSlack) + 1; inner.reads > most {
			t.Errorf("told %d times in %d requests: at most %d", inner.reads, requests, most)
		}
	})
}
