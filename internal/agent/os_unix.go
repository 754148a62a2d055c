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

	"golang.org/x/sys/unix"

	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/filelock"
	"github.com/fobcli/fob/internal/unixsocket"
)

// Listen opens a socket that only this user can connect to, in a private folder. It returns
// ErrRunning if another process listens on it, and atomicfile.ErrUnsafe if other users could
// replace it. The socket of a killed process is replaced.
func Listen(ctx context.Context, path string) (net.Listener, error) {
	lock, err := filelock.TryAcquire(path + lockSuffix)
	if errors.Is(err, filelock.ErrTimeout) {
		return nil, fmt.Errorf("%w: %s", ErrRunning, path)
	}
	if err != nil {
		return nil, err
	}
	l, err := unixsocket.Listen(ctx, path, 0o600) // until it has that mode, checkPeer refuses other users
	switch {
	case err == nil:
		return &listener{l, lock}, nil
	case errors.Is(err, unixsocket.ErrInUse):
		err = fmt.Errorf("%w: %s", ErrRunning, path)
	case errors.Is(err, unixsocket.ErrNotSocket):
		err = fmt.Errorf("%w: %w", atomicfile.ErrUnsafe, err)
	}
	lock.Release()
	return nil, fmt.Errorf("listening on %s: %w", path, err)
}

const lockSuffix = ".lock"

// RemoveLock deletes the lock file of an agent that has stopped, for a purge. Two agents that
// start just then may both listen, and the later one is used: nothing is lost.
func RemoveLock(path string) { _ = os.Remove(path + lockSuffix) }

// listener holds its socket's lock, which shows that it runs.
type listener struct {
	net.Listener
	lock *filelock.Lock
}

func (l *listener) Close() error {
	defer l.lock.Release()
	return l.Listener.Close()
}

// dial connects to a socket of this user only. It returns fs.ErrNotExist if there is none. The
// connection blocks, for aliveTimeout: to start Go's poller takes longer than most requests.
func dial(path string) (*os.File, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if info.Mode().Type() != fs.ModeSocket || info.Mode().Perm()&0o077 != 0 || !ok || int(owner.Uid) != os.Geteuid() {
		return nil, fmt.Errorf("%w: other users could use the agent's socket %s", atomicfile.ErrUnsafe, path)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, err
	}
	unix.CloseOnExec(fd)
	conn, timeout := os.NewFile(uintptr(fd), path), unix.NsecToTimeval(aliveTimeout.Nanoseconds())
	err = errors.Join(unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &timeout), connect(fd, path))
	if err == nil {
		err = checkUser(fd, os.Geteuid(), 0) // behind a forwarded socket, sshd may run as root
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// connect restarts after a signal, which the system does not do for sockets with a timeout.
func connect(fd int, path string) error {
	for {
		if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// FolderID identifies a file's folder among those of this machine, also if another container
// has one with the same path; "" is a missing folder.
func FolderID(file string) string {
	var stat unix.Stat_t
	if unix.Stat(filepath.Dir(file), &stat) != nil {
		return ""
	}
	return fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
}

// hangUp ends a read of another goroutine, too. It may be called after Close, when another
// file can have the descriptor's number.
func hangUp(conn *os.File) {
	if raw, err := conn.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_RDWR) })
	}
}

// checkPeer refuses a socket whose other side is not one of these users.
func checkPeer(conn net.Conn, users ...int) error {
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return err
	}
	var peerErr error
	err = raw.Control(func(fd uintptr) { peerErr = checkUser(int(fd), users...) })
	return errors.Join(err, peerErr)
}

func checkUser(fd int, users ...int) error {
	uid, err := peerUID(fd)
	if err != nil {
		return err
	}
	if !slices.Contains(users, uid) {
		return fmt.Errorf("%w: user %d is on the other side of the agent's socket", atomicfile.ErrUnsafe, uid)
	}
	return nil
}

// maxSocketPath is the longest path of a socket on any system (sun_path in unix(7)), in bytes.
const maxSocketPath = 103

// CheckPath reports why a socket cannot have this path.
func CheckPath(path string) error {
	switch {
	case !filepath.IsAbs(path):
		return fmt.Errorf("%q is not an absolute path", path)
	case len(path) > maxSocketPath:
		return fmt.Errorf("%s is longer than the %d bytes that a socket's path may have", path, maxSocketPath)
	}
	return nil
}

// page is memory outside of Go's heap, which never moves and is not swapped out.
type page struct{ bytes []byte }

func newPage() (*page, error) {
	bytes, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("allocating a page of memory: %w", err)
	}
	p := &page{bytes}
	if err := unix.Mlock(bytes); err != nil {
		_ = p.free()
		return nil, fmt.Errorf("locking a page of memory: %w", err)
	}
	return p, nil
}

func (p *page) free() error {
	clear(p.bytes)
	return unix.Munmap(p.bytes)
}
