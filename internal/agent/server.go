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

// The limits of a client.
const (
	maxRequest     = 8 << 10 // bytes
	requestTimeout = 2 * time.Second
	aliveEvery     = 500 * time.Millisecond
	writeTimeout   = 2 * time.Second
	acceptRetry    = 50 * time.Millisecond
)

// Answerer responds to a request. note shows a line at the client; ctx ends when the client
// is gone.
type Answerer func(ctx context.Context, r Request, note func(line string)) Answer

// Serve serves up to places clients at once until ctx ends, and returns when the requests in
// progress are done. Further clients are disconnected, and do without. The error is that of
// a socket that accepts no more connections.
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
		case err != nil: // out of files: another connection will end
			<-time.After(acceptRetry)
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
	go func() { // the client sends nothing more before it is gone
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

// answerOne keeps a panic in one request from ending others.
func answerOne(ctx context.Context, r Request, note func(string), answer Answerer) (last Answer) {
	defer func() {
		if recover() != nil { // its text may contain a secret
			last = Answer{Failure: &Failure{Error: errFault.Error(), Hint: "please report it", Status: 1}}
		}
	}()
	return answer(ctx, r, note)
}

var (
	errBadRequest = errors.New("not a request")
	errFault      = errors.New("the agent failed")
)

func readRequest(conn net.Conn) (Request, error) {
	_ = conn.SetReadDeadline(time.Now().Add(requestTimeout))
	line, err := bufio.NewReaderSize(conn, maxRequest).ReadSlice('\n')
	if err != nil {
		return Request{}, err
	}
	defer clear(line) // it may contain a key
	_ = conn.SetReadDeadline(time.Time{})
	return parseRequest(line)
}

func parseRequest(line []byte) (r Request, err error) {
	if err := json.Unmarshal(line, &r); err != nil || r.Do == "" {
		return Request{}, errBadRequest
	}
	return r, nil
}

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

// aliveUntil sends signs of life to a waiting client.
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
