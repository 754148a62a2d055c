//go:build !windows

package exec

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/process"
)

// canReplaceProcess is true: the program replaces fob, with its terminal, signals and exit
// status.
const canReplaceProcess = true

func replaceProcess(path string, argv, environ []string) error {
	err := process.WithCallersLimits(func() error { return syscall.Exec(path, argv, environ) }) //nolint:forbidigo // it is
	status := exitExecFailed
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ENOEXEC) {
		status = exitNotExecutable
	}
	return cli.WithStatus(fmt.Errorf("%s cannot be run: %w", argv[0], err), status)
}

// forwardedSignals are passed on to a child. A signal that was ignored when fob started, as
// by nohup, stays ignored.
func forwardedSignals() []os.Signal {
	all := []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2}
	return slices.DeleteFunc(all, signal.Ignored)
}
