package process

import (
	"errors"
	"sync"

	"golang.org/x/sys/unix"
)

// core is the limit for core files that fob was started with.
var core struct {
	sync.Mutex
	callers unix.Rlimit
}

// Protect prevents debuggers from attaching (PT_DENY_ATTACH in ptrace(2)), and core files.
// It does not change the hard limit, so that the soft one can be restored for children.
func Protect() error {
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &core.callers); err != nil {
		return err
	}
	if err := writeNoCore(); err != nil {
		return err
	}
	return unix.PtraceDenyAttach()
}

func writeNoCore() error {
	return unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Max: core.callers.Max})
}

// WithCallersLimits runs a function that starts a child or executes another program, with
// the caller's limits. A child inherits the limits at its fork, so they are restored during
// the fork; a crash at that moment may write a core file.
func WithCallersLimits(start func() error) error {
	core.Lock()
	defer core.Unlock()
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &core.callers); err != nil {
		return err
	}
	err := start()
	return errors.Join(err, writeNoCore())
}
