package cmd

import (
	"syscall"

	"golang.org/x/sys/windows"
)

// ownSession keeps the child from this console.
func ownSession() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: windows.DETACHED_PROCESS}
}
