package process

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
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
	text, err := os.ReadFile("/proc/self/environ")
	if err != nil || os.Getenv("SECRET_A") != "canary-a" {
		panic("Go's own copy has changed, or the kernel's cannot be read")
	}
	_, _ = os.Stdout.Write(text)
	os.Exit(0)
}

func TestI66_HiddenVariables(t *testing.T) {
	env := []string{"A=1", "SECRET_A=canary-a", "B=", "SECRET=", "SECRET_B=canary=b\nof two lines", "DOUBLE=1", "DOUBLE=2", showVariable + "=1", "SECRET_C=canary-c", "LATE=canary", "Z=last"}
	for _, args := range [][]string{{"program"}, {"program", "argument", ""}, {""}} {
		out, err := (&exec.Cmd{Path: "/proc/self/exe", Args: args, Env: env}).Output()
		if err != nil {
			t.Fatal(err)
		}
		var left []string
		for _, entry := range strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00") {
			left = append(left, strings.ReplaceAll(entry, "*", ""))
		}
		// os/exec passes one of two entries of a name on.
		want := []string{"A=1", "SECRET_A=", "B=", "SECRET=", "SECRET_B=", "DOUBLE=2", showVariable + "=1", "SECRET_C=", "LATE=", "Z=last"}
		if !slices.Equal(left, want) {
			t.Errorf("%q: %q", args, left)
		}
	}
}

func TestProtect(t *testing.T) {
	if err := Protect(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/proc/self/exe", "/proc/self/fd/0"} {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
	// A child is an ordinary process: its files in /proc are its user's.
	out, err := Command(t.Context(), "cat", "/proc/self/environ").Output()
	if err != nil || len(out) == 0 {
		t.Errorf("%q, %v", out, err)
	}
}
