//go:build unix

package agent

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/atomicfile"
)

const places = 200

// start runs a server until the test ends, and returns its socket.
func start(t *testing.T, answer Answerer) string {
	t.Helper()
	path := filepath.Join(shortDir(t), "agent.sock")
	l, err := Listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, l, places, answer) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return path
}

// shortDir is a folder whose sockets fit their limit, whatever the test is called.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "fob")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func echo(_ context.Context, r Request, note func(string)) Answer {
	note("for " + r.Profile)
	return Answer{Token: &Token{AccessToken: "token of " + r.Profile}}
}

func TestAskAndAnswer(t *testing.T) {
	path := start(t, echo)
	var notes []string
	a, err := Ask(t.Context(), path, Request{Do: DoToken, Profile: "work"}, func(line string) { notes = append(notes, line) })
	if err != nil || a.Token == nil || a.Token.AccessToken != "token of work" || len(notes) != 1 || notes[0] != "for work" {
		t.Errorf("%+v, %v, %q", a, err, notes)
	}
	if _, err := Ask(t.Context(), path+"x", Request{Do: DoToken}, nil); !errors.Is(err, ErrAbsent) {
		t.Errorf("no socket: %v", err)
	}
}

// For the race detector: the end of a call hangs up beside Close.
func TestAskAgain(t *testing.T) {
	path := start(t, echo)
	for range 100 {
		if _, err := Ask(t.Context(), path, Request{Do: DoToken}, func(string) {}); err != nil {
			t.Fatal(err)
		}
	}
}

// An answer may take longer than a client's patience, as long as the agent lives.
func TestASlowAnswerIsWaitedForAndADeadAgentIsNot(t *testing.T) {
	path := start(t, func(context.Context, Request, func(string)) Answer {
		<-time.After(aliveTimeout + time.Second)
		return Answer{Token: &Token{AccessToken: "late"}}
	})
	if a, err := Ask(t.Context(), path, Request{Do: DoToken}, nil); err != nil || a.Token.AccessToken != "late" {
		t.Errorf("%+v, %v", a, err)
	}
	silent, err := Listen(t.Context(), filepath.Join(shortDir(t), "agent.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	begun := time.Now()
	if _, err := Ask(t.Context(), silent.Addr().String(), Request{Do: DoToken}, nil); !errors.Is(err, ErrNoAnswer) || time.Since(begun) > 3*aliveTimeout {
		t.Errorf("a stopped agent: %v after %s", err, time.Since(begun))
	}
}

func TestAFaultEndsOneRequestAlone(t *testing.T) {
	path := start(t, func(_ context.Context, r Request, _ func(string)) Answer {
		if r.Profile == "bad" {
			panic("canary")
		}
		return Answer{}
	})
	for profile, fails := range map[string]bool{"bad": true, "work": false} {
		a, err := Ask(t.Context(), path, Request{Do: DoToken, Profile: profile}, nil)
		if err != nil || (a.Failure != nil) != fails || fails && strings.Contains(a.Failure.Error, "canary") {
			t.Errorf("%s: %+v, %v", profile, a.Failure, err)
		}
	}
}

func TestNobodyWaitsAnyMore(t *testing.T) {
	ended := make(chan struct{})
	path := start(t, func(ctx context.Context, _ Request, _ func(string)) Answer {
		<-ctx.Done()
		close(ended)
		return Answer{}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := Ask(ctx, path, Request{Do: DoToken}, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	<-ended
}

func TestOneAgentAtASocket(t *testing.T) {
	path := start(t, echo)
	if _, err := Listen(t.Context(), path); !errors.Is(err, ErrRunning) {
		t.Errorf("a second one: %v", err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	left := filepath.Join(shortDir(t), "agent.sock") // of an agent that was killed
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: left})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	_ = l.Close()
	live, err := net.Listen("unix", filepath.Join(shortDir(t), "other.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	if _, err := Listen(t.Context(), live.Addr().String()); !errors.Is(err, ErrRunning) {
		t.Errorf("another program's socket: %v", err)
	}
	if _, err := Ask(t.Context(), left, Request{Do: DoToken}, nil); !errors.Is(err, ErrAbsent) && !errors.Is(err, atomicfile.ErrUnsafe) {
		t.Errorf("a socket that was left: %v", err)
	}
	again, err := Listen(t.Context(), left)
	if err != nil {
		t.Fatal(err)
	}
	_ = again.Close()
}

func TestF50WhatOthersCouldHavePlanted(t *testing.T) {
	for name, plant := range map[string]func(path string) error{
		"link to a file": func(path string) error {
			return errors.Join(os.WriteFile(path+".victim", []byte("x"), 0o600), os.Symlink(path+".victim", path))
		},
		"link to a socket": func(path string) error { return os.Symlink(start(t, echo), path) },
		"file":             func(path string) error { return os.WriteFile(path, []byte("x"), 0o600) },
		"pipe":             func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"folder":           func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		t.Run("F50 "+name, func(t *testing.T) {
			path := filepath.Join(shortDir(t), "agent.sock")
			if err := plant(path); err != nil {
				t.Fatal(err)
			}
			if _, err := Listen(t.Context(), path); !errors.Is(err, atomicfile.ErrUnsafe) {
				t.Errorf("Listen: %v", err)
			}
			if _, err := Ask(t.Context(), path, Request{Do: DoToken}, nil); !errors.Is(err, atomicfile.ErrUnsafe) {
				t.Errorf("Ask: %v", err)
			}
		})
	}
	loose := shortDir(t)
	if err := os.Chmod(loose, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(t.Context(), filepath.Join(loose, "agent.sock")); !errors.Is(err, atomicfile.ErrUnsafe) {
		t.Errorf("a folder that others write to: %v", err)
	}
	path := start(t, echo)
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Ask(t.Context(), path, Request{Do: DoToken}, nil); !errors.Is(err, atomicfile.ErrUnsafe) {
		t.Errorf("a socket that others write to: %v", err)
	}
}

const askVariable = "AGENT_TEST_ASK"

// TestAsker is another user's process: it sends a request to a socket and prints what
// comes back.
func TestAsker(t *testing.T) {
	path := os.Getenv(askVariable)
	if path == "" {
		return
	}
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "unix", path)
	if err != nil {
		_, _ = os.Stdout.WriteString("cannot connect: " + err.Error())
		return
	}
	_, _ = os.Stdout.WriteString("connected\n")
	_, _ = conn.Write([]byte(`{"do":"token","profile":"work"}` + "\n"))
	_, _ = io.Copy(os.Stdout, conn)
}

// Another user gets nothing, neither by the socket's mode nor, were that loosened, by who
// the kernel says it is. Only root can be another user.
func TestAnotherUserIsRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("only root can try this; the socket's mode is looked at elsewhere")
		return
	}
	path := start(t, echo)
	self := filepath.Join(filepath.Dir(path), "asker")
	program, err := os.ReadFile(os.Args[0])
	if err != nil || os.WriteFile(self, program, 0o755) != nil || os.Chmod(filepath.Dir(path), 0o711) != nil {
		t.Fatal(err)
	}
	ask := func() string {
		asker := exec.CommandContext(t.Context(), self, "-test.run=^TestAsker$")
		asker.Env = []string{askVariable + "=" + path}
		asker.Dir = "/"
		asker.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, err := asker.CombinedOutput()
		if err != nil {
			t.Errorf("%v: %s", err, out)
		}
		return string(out)
	}
	if said := ask(); !strings.Contains(said, "cannot connect") {
		t.Errorf("the socket's mode lets others in: %q", said)
	}
	if err := os.Chmod(path, 0o777); err != nil {
		t.Fatal(err)
	}
	if said := ask(); !strings.Contains(said, "connected") || strings.Contains(said, "token") {
		t.Errorf("another user was served: %q", said)
	}
}

// Half-written requests, and longer than there are places for, keep nobody from being
// served or sent away at once, and what they took is given back.
func TestG60Flood(t *testing.T) {
	path := start(t, echo)
	var flood []net.Conn
	for range places + 100 {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "unix", path)
		if err != nil {
			continue // the backlog is full
		}
		flood = append(flood, conn)
		_, _ = conn.Write([]byte(`{"do":"tok`))
	}
	begun := time.Now()
	_, err := Ask(t.Context(), path, Request{Do: DoToken, Profile: "work"}, func(string) {})
	if took := time.Since(begun); took > 2*aliveTimeout || err != nil && !errors.Is(err, ErrNoAnswer) {
		t.Errorf("within the flood: %v after %s", err, took)
	}
	for _, conn := range flood {
		_ = conn.SetReadDeadline(time.Now().Add(3 * requestTimeout))
		if n, err := conn.Read(make([]byte, 1)); n != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("a half-written request is still open: %v", err)
		}
		_ = conn.Close()
	}
	if _, err := Ask(t.Context(), path, Request{Do: DoToken, Profile: "work"}, func(string) {}); err != nil {
		t.Errorf("after the flood: %v", err)
	}
}

func TestH62BadRequests(t *testing.T) {
	var mu sync.Mutex
	served := 0
	path := start(t, func(context.Context, Request, func(string)) Answer {
		mu.Lock()
		defer mu.Unlock()
		served++
		return Answer{}
	})
	for _, text := range []string{
		"\n", "{}\n", "null\n", "[]\n", "{\"do\":1}\n", "{\"do\":\"\"}\n", "token\n", "\x00\n", "{\"do\":\"token\"",
		"{\"do\":\"token\"}{\"do\":\"stop\"}\n", strings.Repeat("x", maxRequest) + "\n", "{\"do\":\"" + strings.Repeat("x", maxRequest) + "\"}\n",
	} {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "unix", path)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write([]byte(text))
		if answer, err := io.ReadAll(conn); len(answer) != 0 {
			t.Errorf("%.40q is answered: %q, %v", text, answer, err)
		}
		_ = conn.Close()
	}
	if served != 0 {
		t.Errorf("%d were taken for requests", served)
	}
}

// What a socket answers that is no agent's is no answer.
func TestBadAnswers(t *testing.T) {
	for _, text := range []string{"", "\n", "HTTP/1.1 400 Bad Request\r\n\r\n", "{\"last\":true", "{\"last\":1}\n", strings.Repeat("{\"note\":\"\"}\n", 3), strings.Repeat("x", maxAnswer+1)} {
		l, err := Listen(t.Context(), filepath.Join(shortDir(t), "agent.sock"))
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = bufio.NewReader(conn).ReadString('\n')
			_, _ = conn.Write([]byte(text))
			_ = conn.Close()
		}()
		if a, err := Ask(t.Context(), l.Addr().String(), Request{Do: DoToken}, func(string) {}); !errors.Is(err, ErrNoAnswer) {
			t.Errorf("%.40q: %+v, %v", text, a, err)
		}
		_ = l.Close()
	}
}
