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
	l, err := listen(ctx, path)
	if err != nil {
		lock.Release()
		return nil, fmt.Errorf("listening at %s: %w", path, err)
	}
	return &listener{l, lock}, nil
}

func listen(ctx context.Context, path string) (*net.UnixListener, error) {
	info, err := os.Lstat(path)
	switch {
	case err == nil && info.Mode().Type() != fs.ModeSocket:
		return nil, fmt.Errorf("%w: something other than a socket is there", atomicfile.ErrUnsafe)
	case err == nil:
		if err := removeDead(ctx, path); err != nil {
			return nil, err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil { // until then checkPeer alone refuses others
		return nil, errors.Join(err, l.Close())
	}
	return l.(*net.UnixListener), nil
}

// removeDead deletes the socket of a process that has ended, and none that another program
// listens on.
func removeDead(ctx context.Context, path string) error {
	conn, err := (&net.Dialer{Timeout: patience}).DialContext(ctx, "unix", path)
	if err == nil {
		_ = conn.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("%w: %s", ErrRunning, path)
	}
	return os.Remove(path)
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
		return fmt.Errorf("%q is no absolute path", path)
	case len(path) > longest:
		return fmt.Errorf("%s has more than the %d bytes that a socket's path may have", path, longest)
	}
	return nil
}
