package e2e

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unsafe"
)

// effect is one system call that others can see: what it does to what, and that
// it is the nth of its kind in its process.
type effect struct {
	call, target string
	nth          int
}

func (e effect) kind() string { return e.call + " " + e.target }

func (e effect) String() string { return fmt.Sprintf("%s #%d", e.kind(), e.nth) }

// tracer runs one program under ptrace and shows each of its effects, before it
// happens and after, in the order of the whole process. strace's inject counts
// calls by thread, and Go moves its work between threads as it likes.
type tracer struct {
	home   string // left out of the targets
	issuer int    // its port
	at     func(e effect, happened bool) (kill bool)

	pid     int
	memory  *os.File
	peers   map[int]string    // of sockets, by file descriptor
	pending map[int]effect    // by thread: seen to begin, not yet to end
	inCall  map[int]callStart // by thread
	counts  map[string]int
}

// callStart is a system call that has begun.
type callStart struct {
	nr   uint64
	args [6]uint64
}

const (
	syscallStop     = syscall.SIGTRAP | 0x80 // PTRACE_O_TRACESYSGOOD
	optExitKill     = 0x100000               // PTRACE_O_EXITKILL
	getSyscallInfo  = 0x420e                 // PTRACE_GET_SYSCALL_INFO
	waitOwnThread   = 0x20000000             // __WNOTHREAD: not another goroutine's child
	waitAllChildren = 0x40000000             // __WALL
)

// run starts the program and returns how it ended. ptrace belongs to a thread, so
// the goroutine keeps its own meanwhile.
func (t *tracer) run(argv, env []string, stdout, stderr *os.File) (syscall.WaitStatus, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	t.peers, t.pending, t.inCall, t.counts = map[int]string{}, map[int]effect{}, map[int]callStart{}, map[string]int{}
	t.pid, err = syscall.ForkExec(argv[0], argv, &syscall.ProcAttr{
		Env:   env,
		Files: []uintptr{null.Fd(), stdout.Fd(), stderr.Fd()},
		// The group is what wait4 below is about: other children are others' business.
		Sys: &syscall.SysProcAttr{Ptrace: true, Setpgid: true},
	})
	if err != nil {
		return 0, err
	}
	status, err := t.follow()
	if err != nil {
		_ = syscall.Kill(t.pid, syscall.SIGKILL)
		_, _ = syscall.Wait4(t.pid, nil, waitAllChildren, nil)
	}
	return status, err
}

// follow goes from stop to stop until the process ends.
func (t *tracer) follow() (syscall.WaitStatus, error) {
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(t.pid, &status, waitAllChildren, nil); err != nil || !status.Stopped() {
		return status, fmt.Errorf("the program did not start: %v, %w", status, err)
	}
	var err error
	if t.memory, err = os.Open(fmt.Sprintf("/proc/%d/mem", t.pid)); err != nil {
		return 0, err
	}
	defer t.memory.Close()
	if err := syscall.PtraceSetOptions(t.pid, syscall.PTRACE_O_TRACESYSGOOD|syscall.PTRACE_O_TRACECLONE|optExitKill); err != nil {
		return 0, err
	}
	if err := syscall.PtraceSyscall(t.pid, 0); err != nil {
		return 0, err
	}
	known := map[int]bool{t.pid: true}
	for {
		tid, err := syscall.Wait4(-t.pid, &status, waitAllChildren|waitOwnThread, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case err != nil:
			return 0, err
		case !status.Stopped() && tid == t.pid:
			return status, nil
		case !status.Stopped():
			continue
		}
		pass := t.stopped(tid, status, known[tid])
		known[tid] = true
		// It fails for a thread that a kill has reached.
		if err := syscall.PtraceSyscall(tid, pass); err != nil && !errors.Is(err, syscall.ESRCH) {
			return 0, err
		}
	}
}

// stopped looks at a stop and returns the signal to pass on.
func (t *tracer) stopped(tid int, status syscall.WaitStatus, known bool) (pass int) {
	switch signal := status.StopSignal(); {
	case signal == syscallStop:
		t.syscall(tid)
		return 0
	case status.TrapCause() > 0, signal == syscall.SIGSTOP && !known: // a new thread, told of and arrived
		return 0
	default:
		return int(signal)
	}
}

// syscall looks at a system call that begins or ends.
func (t *tracer) syscall(tid int) {
	var info struct {
		op   uint8
		_    [7]byte
		_    [2]uint64
		args [7]uint64 // at the beginning the number, then the arguments; at the end the result
	}
	_, _, errno := syscall.Syscall6(syscall.SYS_PTRACE, getSyscallInfo, uintptr(tid), unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0)
	switch {
	case errno != 0:
		return
	case info.op == 1:
		call := callStart{nr: info.args[0], args: [6]uint64(info.args[1:])}
		t.inCall[tid] = call
		name, target := t.describe(call)
		if name == "" {
			return
		}
		t.counts[name+" "+target]++
		e := effect{name, target, t.counts[name+" "+target]}
		t.pending[tid] = e
		t.show(e, false)
	case info.op == 2:
		if t.inCall[tid].nr == syscall.SYS_ACCEPT4 && int64(info.args[0]) >= 0 {
			t.peers[int(info.args[0])] = "the browser"
		}
		if e, ok := t.pending[tid]; ok {
			delete(t.pending, tid)
			t.show(e, true)
		}
	}
}

func (t *tracer) show(e effect, happened bool) {
	if t.at(e, happened) {
		_ = syscall.Kill(t.pid, syscall.SIGKILL)
	}
}

// describe names a call and its target, if it has an effect. Go makes none of the
// calls that these have replaced: open, rename, unlink and the like.
func (t *tracer) describe(c callStart) (name, target string) {
	a := c.args
	switch c.nr {
	case syscall.SYS_OPENAT:
		if a[2]&syscall.O_CREAT != 0 {
			return "openat(O_CREAT)", t.path(a[0], a[1])
		}
	case syscall.SYS_MKDIRAT:
		return "mkdirat", t.path(a[0], a[1])
	case syscall.SYS_UNLINKAT:
		return "unlinkat", t.path(a[0], a[1])
	case syscall.SYS_RENAMEAT:
		return "renameat", t.path(a[0], a[1]) + " → " + t.path(a[2], a[3])
	case syscall.SYS_LINKAT:
		return "linkat", t.path(a[0], a[1]) + " → " + t.path(a[2], a[3])
	case syscall.SYS_CONNECT:
		t.peers[int(int32(a[0]))] = t.peer(a[1], a[2])
		return "connect", t.peers[int(int32(a[0]))]
	}
	for _, onFile := range []struct {
		nr   uint64
		name string
	}{
		{syscall.SYS_WRITE, "write"}, {syscall.SYS_WRITEV, "write"}, {syscall.SYS_PWRITE64, "write"},
		{syscall.SYS_SENDTO, "send"}, {syscall.SYS_SENDMSG, "send"},
		{syscall.SYS_FSYNC, "fsync"}, {syscall.SYS_FDATASYNC, "fsync"}, {syscall.SYS_FCHMOD, "fchmod"}, {syscall.SYS_FLOCK, "flock"},
		{syscall.SYS_LISTEN, "listen"},
	} {
		if c.nr == onFile.nr {
			if target := t.file(a[0]); target != "" {
				return onFile.name, target
			}
		}
	}
	return "", ""
}

// file names what a descriptor stands for; "" is nothing that others could see.
func (t *tracer) file(fd uint64) string {
	n := int(int32(fd))
	link, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", t.pid, n))
	switch {
	case n == 1:
		return "stdout"
	case n == 2:
		return "stderr"
	case err != nil, strings.HasPrefix(link, "anon_inode:"), strings.HasPrefix(link, "pipe:"): // the runtime's own
		return ""
	case strings.HasPrefix(link, "socket:"):
		if peer, ok := t.peers[n]; ok {
			return peer
		}
		return "the loopback port"
	}
	return t.short(link)
}

// path reads a path out of the program's memory, and what it is relative to.
func (t *tracer) path(dirFD, address uint64) string {
	text := t.bytes(address, 4096)
	if end := bytes.IndexByte(text, 0); end >= 0 {
		text = text[:end]
	}
	path := string(text)
	if !filepath.IsAbs(path) && int32(dirFD) >= 0 {
		dir, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", t.pid, int32(dirFD)))
		if err == nil {
			path = filepath.Join(dir, path)
		}
	}
	return t.short(path)
}

func (t *tracer) bytes(address uint64, size int) []byte {
	text := make([]byte, size)
	n, _ := t.memory.ReadAt(text, int64(address))
	return text[:n]
}

// peer names whom a socket is connected to.
func (t *tracer) peer(address, size uint64) string {
	text := t.bytes(address, int(min(size, 128)))
	if len(text) < 4 {
		return "nobody"
	}
	switch family := binary.NativeEndian.Uint16(text); family {
	case syscall.AF_UNIX:
		return "the D-Bus socket"
	case syscall.AF_INET, syscall.AF_INET6:
		if port := int(binary.BigEndian.Uint16(text[2:])); port != t.issuer {
			return "port " + strconv.Itoa(port)
		}
		return "the issuer"
	default:
		return "family " + strconv.Itoa(int(family))
	}
}

var (
	tempName  = regexp.MustCompile(`/(\.[^/]+)\.[A-Z2-7]{26}\b`)
	probeName = regexp.MustCompile(`\bprobe([/.]+)[0-9a-f]{16}\b`)
)

// short is a path within the home, with all that is random in it blotted out.
func (t *tracer) short(path string) string {
	path = strings.TrimPrefix(path, t.home+"/")
	path = tempName.ReplaceAllString("/"+path, "/$1.*")[1:]
	return probeName.ReplaceAllString(path, "probe$1*")
}

// effects runs the program to its end and lists what it did.
func (t *tracer) effects(argv, env []string, stdout, stderr *os.File) ([]effect, error) {
	var all []effect
	t.at = func(e effect, happened bool) bool {
		if !happened {
			all = append(all, e)
		}
		return false
	}
	status, err := t.run(argv, env, stdout, stderr)
	if err == nil && status.ExitStatus() != 0 {
		err = fmt.Errorf("%v: exit status %d", argv, status.ExitStatus())
	}
	return all, err
}

// kinds are the distinct points of a list, in order.
func kinds(all []effect) []string {
	var names []string
	for _, e := range all {
		if !slices.Contains(names, e.kind()) {
			names = append(names, e.kind())
		}
	}
	return names
}
