//go:build !windows

package process

import "syscall"

// OwnSession starts a child in its own session, without this terminal.
func OwnSession() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
