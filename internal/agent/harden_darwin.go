package agent

import "golang.org/x/sys/unix"

// Harden keeps the process's memory from core dumps and from debuggers (PT_DENY_ATTACH
// in ptrace(2)).
func Harden() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return err
	}
	return unix.PtraceDenyAttach()
}
