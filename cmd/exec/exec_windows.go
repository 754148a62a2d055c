package exec

import (
	"errors"
	"os"
	"syscall"
)

// canReplaceProcess: a Windows process cannot become another.
const canReplaceProcess = false

func replaceProcess(string, []string, []string) error { return errors.ErrUnsupported }

// passedOn are the signals that the program gets from fob.
func passedOn() []os.Signal { return []os.Signal{os.Interrupt, syscall.SIGTERM} }
