package unixsocket

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A server whose queue is full cannot be connected to (EAGAIN), and lives.
func TestListen_LeavesABusyServersSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	busy, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(busy)
	if err := errors.Join(unix.Bind(busy, &unix.SockaddrUnix{Name: path}), unix.Listen(busy, 0)); err != nil {
		t.Fatal(err)
	}
	for full := false; !full; {
		client, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(client)
		full = errors.Is(unix.Connect(client, &unix.SockaddrUnix{Name: path}), unix.EAGAIN)
	}
	if _, err := Listen(t.Context(), path, 0o600); !errors.Is(err, ErrInUse) {
		t.Error(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Error(err)
	}
}

func TestListen_ReplacesOnlyADeadSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	first, err := Listen(t.Context(), path, 0o660)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode() != fs.ModeSocket|0o660 {
		t.Error(info, err)
	}
	if _, err := Listen(t.Context(), path, 0o600); !errors.Is(err, ErrInUse) {
		t.Error(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	dead, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(unix.Bind(dead, &unix.SockaddrUnix{Name: path}), unix.Close(dead)); err != nil {
		t.Fatal(err)
	}
	again, err := Listen(t.Context(), path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	_ = again.Close()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(t.Context(), path, 0o600); !errors.Is(err, ErrNotSocket) {
		t.Error(err)
	}
}
