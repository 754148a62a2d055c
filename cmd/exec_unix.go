//go:build !windows

package cmd

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// canReplaceProcess: terminal, signals and status are the program's own, without fob
// in between.
const canReplaceProcess = true

func replaceProcess(path string, argv, environ []string) error {
	err := syscall.Exec(path, argv, environ)
	status := exitExecFailed
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ENOEXEC) {
		status = exitNotExecutable
	}
	return &execError{fmt.Errorf("%s cannot be run: %w", argv[0], err), status}
}
