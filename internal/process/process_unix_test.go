//go:build unix

package process

import (
	"bytes"
	"os"
	"os/exec"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// showVariable makes this test's program hide its variables, and print its environ.
const showVariable = "PROCESS_TEST_SHOW"

func TestMain(m *testing.M) {
	if os.Getenv(showVariable) == "" {
		os.Exit(m.Run())
	}
	known := make(map[string]string)
	for _, entry := range os.Environ() {
		name, value, _ := strings.Cut(entry, "=")
		known[name] = value
	}
	HideVariables(known, func(name string) bool { return strings.HasPrefix(name, "SECRET") })
	HideVariables(known, func(name string) bool { return name == "LATE" })
	text, err := shownEnviron()
	if err != nil || os.Getenv("SECRET_A") != "canary-a" {
		panic("Go's own copy has changed, or the kernel's cannot be read")
	}
	_, _ = os.Stdout.Write(text)
	os.Exit(0)
}

func TestI66_HiddenVariables(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	env := []string{"A=1", "SECRET_A=canary-a", "B=", "SECRET=", "SECRET_B=canary=b\nof two lines", "DOUBLE=1", "DOUBLE=2", showVariable + "=1", "SECRET_C=canary-c", "LATE=canary", "Z=last"}
	// os/exec passes one of two entries of a name on.
	want := []string{"", "A=1", "SECRET_A=", "B=", "SECRET=", "SECRET_B=", "DOUBLE=2", showVariable + "=1", "SECRET_C=", "LATE=", "Z=last", ""}
	for _, args := range [][]string{{"program"}, {"program", "argument", ""}, {""}} {
		out, err := (&exec.Cmd{Path: self, Args: args, Env: env}).Output()
		if err != nil {
			t.Fatal(err)
		}
		if left := strings.ReplaceAll(string(out), "*", ""); !strings.Contains(left, strings.Join(want, "\x00")) || strings.Contains(left, "canary") {
			t.Errorf("%q: %q", args, left)
		}
	}
}

// shell runs a command as a child of fob.
func shell(t *testing.T, command string) string {
	t.Helper()
	var stdout bytes.Buffer
	c := Command(t.Context(), "sh", "-c", command)
	c.Stdout = &stdout
	if err := c.Run(); err != nil || stdout.Len() == 0 {
		t.Fatalf("%s: %q, %v", command, &stdout, err)
	}
	return stdout.String()
}

func TestProtect(t *testing.T) {
	var before, after unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &before); err != nil {
		t.Fatal(err)
	}
	callers := unix.Rlimit{Cur: before.Max, Max: before.Max} // so that 0 is seen
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &callers); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Setrlimit(unix.RLIMIT_CORE, &before) }()
	if err := Protect(); err != nil {
		t.Fatal(err)
	}
	child := shell(t, "ulimit -c")
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &after); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS == "darwin" {
		callers.Cur = 0
	}
	if after != callers || child == "0\n" && before.Max != 0 {
		t.Errorf("fob has the limit %+v, its child %q", after, child)
	}
	if runtime.GOOS != "linux" {
		return
	}
	for _, path := range []string{"/proc/self/exe", "/proc/self/fd/0"} {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
	shell(t, "cat /proc/self/environ") // a child is an ordinary process: its files in /proc are its user's
}

// A method of exec.Cmd that starts a child by itself would leave it fob's limits.
func TestI67_CmdStartsWithTheCallersLimits(t *testing.T) {
	known := []string{"Run", "RunTied", "Start", "StdoutPipe", "Wait"}
	methods := reflect.TypeFor[*Cmd]()
	for i := range methods.NumMethod() {
		if name := methods.Method(i).Name; !slices.Contains(known, name) {
			t.Errorf("Cmd.%s: does it start a child?", name)
		}
	}
}
