package app

import (
	"bytes"
	"context"
	"errors"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/fobcli/fob/internal/process"
)

// The rules for what fob starts:
//
//   - No child inherits a secret of fob's: TakeEnviron has taken them out of the
//     process's environment before anything else runs.
//   - Its output goes to stderr, unless it is the result.
//   - No shell: arguments are passed as they are.
//
// The browser's launcher (login_browser.go) gets the rest of the environment, this
// terminal, and may outlive fob. The child here gets as little as cron gives.

// childFarewell is how long an interrupted child has to clean up.
const childFarewell = 2 * time.Second

// CronVariables are what cron sets, and those of fob's folders, which a crontab can.
var (
	CronVariables   = []string{"HOME", "LOGNAME", "USER"}
	FolderVariables = []string{"FOB_HOME", "FOB_CONFIG", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"}
	// Windows starts nothing without the first, and fob finds its folders by the others.
	windowsVariables = []string{"SystemRoot", "SYSTEMROOT", "AppData", "APPDATA", "LocalAppData", "LOCALAPPDATA", "USERPROFILE"}
)

// CronEnviron is what a cron job would find of this environment.
func CronEnviron(environ map[string]string) map[string]string {
	cron := map[string]string{"SHELL": "/bin/sh", "PATH": "/usr/bin:/bin"}
	kept := append(append([]string{}, CronVariables...), FolderVariables...)
	if runtime.GOOS == "windows" {
		kept = append(kept, windowsVariables...)
	}
	for _, name := range kept {
		if value := environ[name]; value != "" {
			cron[name] = value
		}
	}
	return cron
}

// RunUnderCron runs fob itself with cron's environment, in a session of its own, so
// that there is no terminal to ask on, and returns what it prints on stdout and on
// stderr. The error is an *exec.ExitError where it ran and failed.
func (a *App) RunUnderCron(ctx context.Context, args ...string) (stdout, stderr []byte, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	child := process.Command(ctx, self, args...)
	child.Args[0] = os.Args[0]
	environ := CronEnviron(a.Environ)
	for name, value := range environ {
		child.Env = append(child.Env, name+"="+value)
	}
	if info, err := os.Stat(environ["HOME"]); err == nil && info.IsDir() {
		child.Dir = environ["HOME"]
	}
	var out, complaints bytes.Buffer
	child.Stdout, child.Stderr = &out, &complaints
	child.SysProcAttr = OwnSession()
	child.Cancel = func() error {
		if err := child.Process.Signal(os.Interrupt); !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
		return child.Process.Kill()
	}
	child.WaitDelay = childFarewell
	err = child.Run()
	return out.Bytes(), complaints.Bytes(), err
}

// WithVariables sets variables in an environment.
func WithVariables(environ []string, added map[string]string) []string {
	result := slices.DeleteFunc(slices.Clone(environ), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		_, replaced := added[name]
		return replaced
	})
	for name, value := range added {
		result = append(result, name+"="+value)
	}
	slices.Sort(result)
	return result
}
