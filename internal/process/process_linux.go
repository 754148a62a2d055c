package process

import "golang.org/x/sys/unix"

// Protect makes the process undumpable (PR_SET_DUMPABLE in prctl(2)): its environ, mem,
// maps and fd in /proc belong to root, no program of this user can attach to it, and it
// writes no core file, whatever GOTRACEBACK and RLIMIT_CORE are. execve(2) resets this, so
// that children are ordinary processes.
func Protect() error { return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }

// WithCallersLimits runs start. Protect changes no limits here.
func WithCallersLimits(start func() error) error { return start() }
