package process

import "golang.org/x/sys/unix"

// Protect makes the process undumpable (PR_SET_DUMPABLE in prctl(2)): its environ, mem,
// maps and fd in /proc belong to root, no program of this user can attach to it, and it
// writes no core file, whatever GOTRACEBACK and RLIMIT_CORE say. execve(2) undoes this,
// so that children are ordinary processes.
func Protect() error { return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }

// WithCallersLimits runs a function that starts a child, or becomes another program.
// Protect has changed no limit here.
func WithCallersLimits(start func() error) error { return start() }
