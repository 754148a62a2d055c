package exec

import (
	"errors"
	"os"
	"syscall"
)

// canReplaceProcess is false: Windows has no exec(3).
const canReplaceProcess = false

func replaceProcess(string, []string, []string) error { return errors.ErrUnsupported }

// forwardedSignals are passed on to a child.
func forwardedSignals() []os.Signal { return []os.Signal{os.Interrupt, syscall.SIGTERM} }
