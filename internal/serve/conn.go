package serve

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

type limited struct {
	net.Listener
	slots chan struct{}
}

func (l *limited) Accept() (net.Conn, error) {
	l.slots <- struct{}{}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return newConn(c, func() { <-l.slots }), nil
}

// conn is a connection that gives its slot back, and whose deadlines cost little.
type conn struct {
	net.Conn
	reads, writes deadline
	release       func()
}

func newConn(c net.Conn, release func()) *conn {
	born := time.Now()
	return &conn{Conn: c, reads: deadline{set: c.SetReadDeadline, born: born}, writes: deadline{set: c.SetWriteDeadline, born: born}, release: sync.OnceFunc(release)}
}

func (c *conn) Read(p []byte) (int, error) {
	if err := c.reads.begin(); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	c.reads.end()
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	if err := c.writes.begin(); err != nil {
		return 0, err
	}
	n, err := c.Conn.Write(p)
	c.writes.end()
	return n, err
}

func (c *conn) SetReadDeadline(t time.Time) error  { return c.reads.want(t) }
func (c *conn) SetWriteDeadline(t time.Time) error { return c.writes.want(t) }

func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.reads.want(t), c.writes.want(t))
}

func (c *conn) Close() error {
	defer c.release()
	return c.Conn.Close()
}

// deadline is that of a connection's reads, or of its writes. net/http wants eight for
// each request, of which nearly all are over before anything has waited: the connection,
// which has to set a timer, hears only of one that a read or a write begins under.
type deadline struct {
	set  func(time.Time) error // the connection's own
	born time.Time

	mu     sync.Mutex
	wanted time.Time
	known  time.Time // to the connection
	busy   int       // reads or writes that are under way
}

// deadlineSlack is how much sooner than requested a deadline may be: that of an idle
// connection, which each request moves a little, is then set only once a second.
const deadlineSlack = time.Second

// want notes a deadline; what is under way hears of it at once.
func (d *deadline) want(t time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wanted = t
	if d.busy > 0 {
		return d.tell()
	}
	return nil
}

// begin lets a read or a write begin, under the deadline that is wanted.
func (d *deadline) begin() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.wanted.IsZero() && d.wanted.Before(d.born) { // net/http's way to call a read off
		return os.ErrDeadlineExceeded
	}
	if sooner := d.wanted.Sub(d.known); sooner < 0 || sooner >= deadlineSlack {
		if err := d.tell(); err != nil {
			return err
		}
	}
	d.busy++
	return nil
}

func (d *deadline) end() {
	d.mu.Lock()
	d.busy--
	d.mu.Unlock()
}

func (d *deadline) tell() error {
	if err := d.set(d.wanted); err != nil {
		return err
	}
	d.known = d.wanted
	return nil
}
