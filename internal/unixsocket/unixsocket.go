// Package unixsocket listens on Unix sockets, replacing those of processes that have ended.
package unixsocket

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"
)

// Why a path cannot be listened on.
var (
	ErrInUse     = errors.New("another program listens there")
	ErrNotSocket = errors.New("something other than a socket is there")
)

// dialTimeout bounds the connection to a possible listener.
const dialTimeout = 2 * time.Second

// Listen creates a socket with a mode. It only replaces an existing socket that refuses
// connections: after any other failure to connect, a process may still be listening.
func Listen(ctx context.Context, path string, mode fs.FileMode) (net.Listener, error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case info.Mode().Type() != fs.ModeSocket:
		return nil, ErrNotSocket
	default:
		if err := removeStale(ctx, path); err != nil {
			return nil, err
		}
	}
	l, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, mode); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func removeStale(ctx context.Context, path string) error {
	conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "unix", path)
	if err == nil {
		_ = conn.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return ErrInUse
	}
	return os.Remove(path)
}
