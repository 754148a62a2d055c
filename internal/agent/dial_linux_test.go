package agent

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// A signal, such as those of Go's scheduler, does not end an attempt to connect to an agent
// whose queue is full.
func TestDial_RestartsAfterASignal(t *testing.T) {
	path := filepath.Join(shortDir(t), "agent.sock")
	server, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(server) }()
	if err := unix.Bind(server, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(server, 0); err != nil {
		t.Fatal(err)
	}
	first, err := dial(path) // fills the queue
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	thread, dialed := make(chan int), make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		thread <- unix.Gettid()
		conn, err := dial(path)
		if err == nil {
			err = conn.Close()
		}
		dialed <- err
	}()
	tid := <-thread
	for sent := 0; sent < 50; {
		select {
		case err := <-dialed:
			t.Fatalf("after %d signals: %v", sent, err)
		default:
		}
		stat, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/stat", tid))
		if err != nil {
			t.Fatal(err)
		}
		if _, state, _ := bytes.Cut(stat, []byte(") ")); state[0] == 'S' { // it sleeps in connect
			if err := unix.Tgkill(os.Getpid(), tid, unix.SIGURG); err != nil {
				t.Fatal(err)
			}
			sent++
		}
		runtime.Gosched()
	}
	accepted, _, err := unix.Accept(server)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(accepted) }()
	if err := <-dialed; err != nil {
		t.Error(err)
	}
}
