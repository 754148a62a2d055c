package early

import "syscall"

// If this fails, process.Protect fails too, and main reports it.
var _, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_DUMPABLE, 0, 0)
