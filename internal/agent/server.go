package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

// The bounds of what a client may take of the agent.
const (
	maxRequest     = 8 << 10 // bytes
	requestTimeout = 2 * time.Second
	aliveEvery     = 500 * time.Millisecond
	writeTimeout   = 2 * time.Second
	acceptAgain    = 50 * time.Millisecond
)

// Answerer answers a request. note shows a line to the person who asked; ctx ends when
// nobody waits any more.
type Answerer func(ctx context.Context, r Request, note func(line string)) Answer

// Serve answers so many at once until ctx ends, and returns when what it has begun is
// answered. Who comes while all places are taken is sent away, and does without. The error
// is that of a socket which takes no more connections.
func Serve(ctx context.Context, l net.Listener, places int, answer Answerer) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	slots := make(chan struct{}, places)
	var open sync.WaitGroup
	defer open.Wait()
	for {
		conn, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("the agent's socket: %w", err)
		case err != nil: // no file is left for a connection: another ends before long
			<-time.After(acceptAgain)
			continue
		}
		select {
		case slots <- struct{}{}:
			open.Go(func() {
				defer func() { <-slots }()
				serveOne(context.WithoutCancel(ctx), conn, answer)
			})
		default:
			_ = conn.Close()
		}
	}
}

// serveOne answers one request of this user's.
func serveOne(ctx context.Context, conn net.Conn, answer Answerer) {
	defer func() { _ = conn.Close() }()
	if checkPeer(conn, os.Geteuid()) != nil {
		return
	}
	r, err := readRequest(conn)
	if err != nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // nothing more comes but the end
		_, _ = conn.Read(make([]byte, 1))
		cancel()
	}()
	w := &writer{conn: conn}
	finished := make(chan struct{})
	var beat sync.WaitGroup
	beat.Go(func() { w.aliveUntil(finished) })
	last := answerOne(ctx, r, func(line string) { w.send(Answer{Note: line}) }, answer)
	close(finished)
	beat.Wait()
	last.Last = true
	w.send(last)
}

// answerOne keeps a fault in one request from ending what others have begun.
func answerOne(ctx context.Context, r Request, note func(string), answer Answerer) (last Answer) {
	defer func() {
		if recover() != nil { // what it says may hold a secret
			last = Answer{Failure: &Failure{Error: errFault.Error(), Hint: "please report it", Status: 1}}
		}
	}()
	return answer(ctx, r, note)
}

var (
	errBadRequest = errors.New("not a request")
	errFault      = errors.New("the agent failed")
)

// readRequest reads a line of JSON that is one request, and nothing behind it.
func readRequest(conn net.Conn) (Request, error) {
	_ = conn.SetReadDeadline(time.Now().Add(requestTimeout))
	line, err := bufio.NewReaderSize(conn, maxRequest).ReadSlice('\n')
	if err != nil {
		return Request{}, err
	}
	defer clear(line) // it may hold a key
	_ = conn.SetReadDeadline(time.Time{})
	return parseRequest(line)
}

func parseRequest(line []byte) (r Request, err error) {
	if err := json.Unmarshal(line, &r); err != nil || r.Do == "" {
		return Request{}, errBadRequest
	}
	return r, nil
}

// writer writes one line at a time.
type writer struct {
	mu   sync.Mutex
	conn net.Conn
}

func (w *writer) send(a Answer) {
	line, err := json.Marshal(a)
	if err != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, _ = w.conn.Write(append(line, '\n'))
}

// aliveUntil tells a client that waits that the agent has not been stopped.
func (w *writer) aliveUntil(finished <-chan struct{}) {
	tick := time.NewTicker(aliveEvery)
	defer tick.Stop()
	for {
		select {
		case <-finished:
			return
		case <-tick.C:
			w.send(Answer{Alive: true})
		}
	}
}
