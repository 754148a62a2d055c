//go:build unix

package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/filelock"
	"github.com/fobcli/fob/internal/unixsocket"
)

// Listen makes a socket that this user alone may ask, in a folder that is this user's
// alone. ErrRunning: another process listens there; atomicfile.ErrUnsafe: others could
// put a socket of their own in its place. What a killed process has left is replaced.
func Listen(ctx context.Context, path string) (net.Listener, error) {
	lock, err := filelock.TryAcquire(path + lockSuffix)
	if errors.Is(err, filelock.ErrTimeout) {
		return nil, fmt.Errorf("%w: %s", ErrRunning, path)
	}
	if err != nil {
		return nil, err
	}
	l, err := unixsocket.Listen(ctx, path, 0o600) // until it has that mode checkPeer alone refuses others
	switch {
	case err == nil:
		return &listener{l, lock}, nil
	case errors.Is(err, unixsocket.ErrInUse):
		err = fmt.Errorf("%w: %s", ErrRunning, path)
	case errors.Is(err, unixsocket.ErrNotSocket):
		err = fmt.Errorf("%w: %w", atomicfile.ErrUnsafe, err)
	}
	lock.Release()
	return nil, fmt.Errorf("listening at %s: %w", path, err)
}

const lockSuffix = ".lock"

// RemoveLock deletes what an agent that has ended leaves of its socket, for a purge. Two
// that start just then may both listen, and the later one is asked: nothing is lost.
func RemoveLock(path string) { _ = os.Remove(path + lockSuffix) }

// listener holds the lock of its socket, which is how a second one knows of it.
type listener struct {
	net.Listener
	lock *filelock.Lock
}

func (l *listener) Close() error {
	defer l.lock.Release()
	return l.Listener.Close()
}

// dial connects to a socket of this user's, and to no other's: fs.ErrNotExist where
// there is none.
func dial(ctx context.Context, path string) (net.Conn, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if info.Mode().Type() != fs.ModeSocket || info.Mode().Perm()&0o077 != 0 || !ok || int(owner.Uid) != os.Geteuid() {
		return nil, fmt.Errorf("%w: the agent's socket %s is not this user's alone", atomicfile.ErrUnsafe, path)
	}
	conn, err := (&net.Dialer{Timeout: patience}).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	if err := checkPeer(conn, os.Geteuid(), 0); err != nil { // sshd may be root's, behind a forwarded socket
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// checkPeer refuses a socket whose other side is none of these users.
func checkPeer(conn net.Conn, users ...int) error {
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return err
	}
	var uid int
	var peerErr error
	if err := raw.Control(func(fd uintptr) { uid, peerErr = peerUID(int(fd)) }); err != nil || peerErr != nil {
		return errors.Join(err, peerErr)
	}
	if !slices.Contains(users, uid) {
		return fmt.Errorf("%w: user %d is on the other side of the agent's socket", atomicfile.ErrUnsafe, uid)
	}
	return nil
}

// longest is the longest path of a socket on all systems (sun_path in unix(7)), in bytes.
const longest = 103

// CheckPath says why no socket can be at a path.
func CheckPath(path string) error {
	switch {
	case !filepath.IsAbs(path):
		return fmt.Errorf("%q is not an absolute path", path)
	case len(path) > longest:
		return fmt.Errorf("%s has more than the %d bytes that a socket's path may have", path, longest)
	}
	return nil
}
