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

// Protect keeps debuggers from the process (PT_DENY_ATTACH in ptrace(2)), and has it
// write no core file. The hard limit stays, so that children get back the soft one.
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

// WithCallersLimits runs a function that starts a child, or becomes another program. The
// child of a fork inherits fob's limits of that moment, so they are the caller's for as
// long as the fork takes; if fob crashes in that moment, it may write a core file.
func WithCallersLimits(start func() error) error {
	core.Lock()
	defer core.Unlock()
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &core.callers); err != nil {
		return err
	}
	err := start()
	return errors.Join(err, writeNoCore())
}
