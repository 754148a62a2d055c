//go:build !windows

package destination

import (
	"os"
	"syscall"
)

// endProcess asks a program to end; what it holds half-written it can put in order.
func endProcess(p *os.Process) error { return p.Signal(syscall.SIGTERM) }
