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
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil { // until then the folder's mode guards it
		return nil, errors.Join(err, l.Close())
	}
	return l.(*net.UnixListener), nil
}

const lockSuffix = ".lock"

// RemoveLock deletes what an agent that has ended leaves of its socket. Another that
// starts just then may be replaced by a third, which loses nothing.
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
	if err := checkPeer(conn, os.Geteuid(), 0); err != nil {
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
	uid, peerErr := -1, error(nil)
	if err := raw.Control(func(fd uintptr) { uid, peerErr = peerUID(int(fd)) }); err != nil {
		return err
	}
	for _, user := range users {
		if peerErr == nil && uid == user {
			return nil
		}
	}
	return errors.Join(fmt.Errorf("%w: user %d is on the other side of the agent's socket", atomicfile.ErrUnsafe, uid), peerErr)
}

// PathFits reports whether a path is short enough for a socket (sun_path in unix(7)).
func PathFits(path string) bool {
	const shortest = 104 // of the systems; Linux takes 108
	return len(path) < shortest && filepath.IsAbs(path)
}
