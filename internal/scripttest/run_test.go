//go:build unix

package scripttest

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	_ "github.com/fobcli/fob/cmd" // see buildProgram
)

func TestMain(m *testing.M) {
	testscript.Main(mainTests{m}, map[string]func(){
		"approve": approve,
		"me":      me,
		"thief":   thief,
		"peek":    peek,
		"reap":    reap,
	})
}

// mainTests runs the tests in the module's root. All files of a run are in one temporary
// folder, and all its processes have that folder's name in their environment: both are
// removed afterwards, also when the tests crash.
type mainTests struct{ *testing.M }

var runDir, root string // root: the module's

// inRoot is the absolute path of a file of the module. By its absolute path only, go test
// knows that a test reads it: a changed script or page runs the test again.
func inRoot(path string) string { return filepath.Join(root, path) }

func (m mainTests) Run() int {
	if err := m.prepare(); err != nil {
		panic(err)
	}
	stop, err := startReaper()
	if err != nil {
		panic(err)
	}
	defer stop()
	defer stopPostgres()
	return m.M.Run()
}

func (m mainTests) prepare() error {
	catchIgnoredSignals()
	var err error
	if root, err = filepath.Abs("../.."); err != nil {
		return err
	}
	if err := os.Chdir(root); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "fs") // short: sockets are below it
	if err != nil {
		return err
	}
	runDir = dir
	os.Setenv("TMPDIR", dir)
	os.Setenv("PATH", dir+"/bin"+string(os.PathListSeparator)+os.Getenv("PATH"))
	if err := os.Mkdir(dir+"/bin", 0o755); err != nil {
		return err
	}
	return os.Chmod(dir, 0o755) // for other users
}

// catchIgnoredSignals gives the programs that tests start the default dispositions: under
// nohup they would inherit an ignored SIGHUP, and a shell cannot trap such a signal.
func catchIgnoredSignals() {
	for _, s := range []os.Signal{syscall.SIGHUP, syscall.SIGINT} {
		if signal.Ignored(s) {
			signal.Notify(make(chan os.Signal, 1), s)
		}
	}
}

// buildProgram builds fob once, as this test was built, and links its other name.
var buildProgram = sync.OnceValue(func() error {
	// The test's result is cached for as long as main.go and what cmd imports stay the same.
	if _, err := os.Stat(inRoot("main.go")); err != nil {
		return err
	}
	info, _ := debug.ReadBuildInfo()
	race := slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
	fob, args := runDir+"/bin/fob", []string{"build"}
	if race {
		args = strings.Fields("build -race " + os.Getenv("FOB_RACE_FLAGS"))
	}
	if out, err := exec.Command("go", append(args, "-o", fob, ".")...).CombinedOutput(); err != nil {
		return fmt.Errorf("build fob: %w\n%s", err, out)
	}
	return os.Link(fob, runDir+"/bin/docker-credential-fob")
})

// program is the path of fob; it is on the PATH, too.
func program(t *testing.T) string {
	t.Helper()
	if err := buildProgram(); err != nil {
		t.Fatal(err)
	}
	return runDir + "/bin/fob"
}

// scriptDeadline is several times what the longest script takes on a slow, busy machine.
const scriptDeadline = 5 * time.Minute

// runScripts runs each script of a folder on its own, with its own deadline.
func runScripts(t *testing.T, params testscript.Params) {
	files, err := filepath.Glob(filepath.Join(params.Dir, "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatal("there are no scripts: ", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			params := params
			params.Dir, params.Files, params.Deadline = "", []string{file}, time.Now().Add(scriptDeadline)
			testscript.RunT(script{t}, params)
		})
	}
}

// script runs its one script in the test itself instead of a subtest.
type script struct{ *testing.T }

func (s script) Run(_ string, run func(testscript.T)) { run(s) }
func (s script) Parallel()                            {}
func (s script) Verbose() bool                        { return testing.Verbose() }

// setupProgram sets what every fob in a script needs, and ends what the script leaves.
// At the deadline testscript stops the command that the script waits for; what that one
// had started would go on, and would keep its output open.
func setupProgram(env *testscript.Env) error {
	late := time.AfterFunc(scriptDeadline, func() { killProcesses(env.WorkDir) })
	env.Defer(func() {
		late.Stop()
		killProcesses(env.WorkDir)
	})
	env.Setenv("FOB_HOME", env.WorkDir+"/home")
	env.Setenv("FOB_STORAGE", "file")
	env.Setenv("FOB_SEAL_KEY", strings.Repeat("ab", 32))
	env.Setenv("NO_COLOR", "1")
	env.Setenv("GORACE", "atexit_sleep_ms=0") // or each fob would take a second to exit
	return buildProgram()
}

// startReaper starts a process that outlives this one if need be, and removes what is left.
func startReaper() (stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	reaper := exec.Cmd{Path: self, Args: []string{"reap", runDir}, SysProcAttr: &syscall.SysProcAttr{Setsid: true}}
	stdin, err := reaper.StdinPipe()
	if err != nil {
		return nil, err
	}
	return func() {
		stdin.Close()
		_ = reaper.Wait()
	}, reaper.Start()
}

// reap waits for the end of the tests, however they end.
func reap() {
	_, _ = io.Copy(io.Discard, os.Stdin)
	killProcesses(os.Args[1])
	_ = os.RemoveAll(os.Args[1])
}

// killProcesses kills what has a path below dir in its environment. It needs Linux, and
// sees fob itself only as root.
func killProcesses(dir string) {
	for range 10 { // a process may just be starting another
		killed := false
		environments, _ := filepath.Glob("/proc/[0-9]*/environ")
		for _, path := range environments {
			environment, _ := os.ReadFile(path)
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			if bytes.Contains(environment, []byte(dir+"/")) && pid != os.Getpid() {
				killed = syscall.Kill(pid, syscall.SIGKILL) == nil || killed
			}
		}
		if !killed {
			return
		}
	}
}
