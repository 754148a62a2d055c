package exec

import (
	"errors"
	"os"
	"syscall"
)

// canReplaceProcess: a Windows process cannot become another.
const canReplaceProcess = false

func replaceProcess(string, []string, []string) error { return errors.ErrUnsupported }

// forwardedSignals are the signals that the program gets from fob.
func forwardedSignals() []os.Signal { return []os.Signal{os.Interrupt, syscall.SIGTERM} }
