package process

import (
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Protect makes the process undumpable (PR_SET_DUMPABLE in prctl(2)): its environ, mem,
// maps and fd in /proc belong to root, no program of this user can attach to it, and it
// writes no core file, whatever GOTRACEBACK and RLIMIT_CORE are. execve(2) resets this, so
// that children are ordinary processes.
func Protect() error { return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }

// WithCallersLimits runs start. Protect changes no limits here.
func WithCallersLimits(start func() error) error { return start() }

// RunTied is Run for a child that gets SIGTERM if fob is killed (PR_SET_PDEATHSIG in
// prctl(2)): what it would do later could undo what the next fob does. The system watches
// the thread that started the child, which must not end before.
func (c *Cmd) RunTied() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	(*exec.Cmd)(c).SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	return c.Run()
}
