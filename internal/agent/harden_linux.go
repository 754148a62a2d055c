package agent

import "golang.org/x/sys/unix"

// Harden keeps the process's memory from core dumps, and from other processes of this
// user (PR_SET_DUMPABLE in prctl(2)).
func Harden() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return err
	}
	return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
}
