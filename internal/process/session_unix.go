//go:build !windows

package process

import "syscall"

// OwnSession starts a child in a session of its own, without this terminal.
func OwnSession() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
