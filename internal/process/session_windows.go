package process

import (
	"syscall"

	"golang.org/x/sys/windows"
)

// OwnSession starts a child without this console.
func OwnSession() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: windows.DETACHED_PROCESS}
}
