package doctor

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/process"
	"github.com/fobcli/fob/internal/sanitize"
)

// ExamineUnderCron runs the checks in a child with the environment of a cron job.
func ExamineUnderCron(ctx context.Context, a *app.App, names []string) ([]Finding, error) {
	if _, err := a.Paths(); err != nil {
		return nil, err
	}
	cfg, err := a.Config()
	if err != nil {
		cfg = &config.Config{} // the child reports the error
	} else if _, err := app.ProfilesNamed(cfg, names); err != nil {
		return nil, err
	}
	explainCron(a)
	a.Progress("Running the checks...")
	out, complaints, err := runUnderCron(ctx, a, append([]string{"doctor", "--json", "--"}, names...)...)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	var report Report
	if err == nil || errors.As(err, new(*exec.ExitError)) { // with findings, it exits with 1
		err = json.Unmarshal(out, &report)
	}
	if err != nil {
		_ = a.Err.Print(string(complaints))
		return nil, fmt.Errorf("running fob as a cron job would: %w", err)
	}
	return explainCronFailures(report.Findings, func(profile string) bool {
		return cmp.Or(cfg.Profiles[profile].Storage, cfg.Storage, config.StorageKeyring) == config.StorageKeyring
	}), nil
}

func explainCron(a *app.App) {
	a.Note("As in a cron job: a session without a terminal, SHELL=/bin/sh, PATH=/usr/bin:/bin, and of your variables only %s.", strings.Join(cronVariables, ", "))
	var needed, withheld []string
	for _, name := range folderVariables {
		if value := a.Getenv(name); value != "" {
			needed = append(needed, name+"="+sanitize.Line(value))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(a.Environ)) {
		if strings.HasPrefix(name, "FOB_") && !slices.Contains(folderVariables, name) && a.Getenv(name) != "" {
			withheld = append(withheld, sanitize.Line(name))
		}
	}
	if len(needed) > 0 {
		a.Note("Also set here, and to be set in the crontab: %s", strings.Join(needed, " "))
	}
	if len(withheld) > 0 {
		a.Note("Set here, but not in a cron job: %s", strings.Join(withheld, ", "))
	}
}

// explainCronFailures replaces the findings on logins that a cron job cannot read because
// it has no keyring or no key, with an explanation and a fix for cron.
func explainCronFailures(findings []Finding, inKeyring func(profile string) bool) []Finding {
	const (
		toFile = "store the login in an encrypted file with a key file (key_file in config.toml): 'fob storage migrate --to file'"
		toKey  = "make the key available to cron: set key_file in config.toml, or FOB_PASSPHRASE_FILE in the crontab"
	)
	broken := func(check string) bool {
		return slices.ContainsFunc(findings, func(f Finding) bool { return f.Check == check && f.State == Problem })
	}
	noKeyring, noKey := broken(keyringCheck), broken(fileKeyCheck)
	for i := range findings {
		f := &findings[i]
		switch keyring := inKeyring(f.Profile); {
		case f.State != Problem:
		case f.Check == fileKeyCheck:
			f.Fix = toKey
		case f.Check == loginCheck && keyring && noKeyring:
			f.Detail, f.Fix = "cron cannot reach the keyring: "+f.Detail, toFile
		case f.Check == loginCheck && !keyring && noKey:
			f.Detail, f.Fix = "cron cannot open the encrypted file: "+f.Detail, toKey
		}
	}
	return findings
}

// cronFarewell is how long an interrupted child has to clean up.
const cronFarewell = 2 * time.Second

// cronVariables are set by cron; fob's folder variables can be set in a crontab.
var (
	cronVariables   = []string{"HOME", "LOGNAME", "USER"}
	folderVariables = []string{"FOB_HOME", "FOB_CONFIG", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"}
	// Windows cannot start programs without the first, and fob's folders are in the others.
	windowsVariables = []string{"SystemRoot", "SYSTEMROOT", "AppData", "APPDATA", "LocalAppData", "LOCALAPPDATA", "USERPROFILE"}
)

func cronEnviron(environ map[string]string) map[string]string {
	cron := map[string]string{"SHELL": "/bin/sh", "PATH": "/usr/bin:/bin"}
	names := append(append([]string{}, cronVariables...), folderVariables...)
	if runtime.GOOS == "windows" {
		names = append(names, windowsVariables...)
	}
	for _, name := range names {
		if value := environ[name]; value != "" {
			cron[name] = value
		}
	}
	return cron
}

// runUnderCron runs fob itself with cron's environment, in its own session without a
// terminal, and returns its stdout and stderr. If it ran and failed, the error is an
// *exec.ExitError.
func runUnderCron(ctx context.Context, a *app.App, args ...string) (stdout, stderr []byte, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	child := process.Command(ctx, self, args...)
	child.Args[0] = os.Args[0]
	environ := cronEnviron(a.Environ)
	for name, value := range environ {
		child.Env = append(child.Env, name+"="+value)
	}
	if info, err := os.Stat(environ["HOME"]); err == nil && info.IsDir() {
		child.Dir = environ["HOME"]
	}
	var out, complaints bytes.Buffer
	child.Stdout, child.Stderr = &out, &complaints
	child.SysProcAttr = process.OwnSession()
	child.Cancel = func() error {
		if err := child.Process.Signal(os.Interrupt); !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
		return child.Process.Kill()
	}
	child.WaitDelay = cronFarewell
	err = child.Run()
	return out.Bytes(), complaints.Bytes(), err
}
