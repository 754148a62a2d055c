package app

import (
	"syscall"

	"golang.org/x/sys/windows"
)

// OwnSession keeps the child from this console.
func OwnSession() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: windows.DETACHED_PROCESS}
}
