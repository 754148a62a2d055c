package cmd

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// hostileValues are what a shell, curl or git may read as something else.
var hostileValues = []string{"plain", "a b", `it's`, `say "x"`, `back\slash\`, "$HOME `id` $(id)", "a\nb", "%PATH% !x", "# no comment", "’ ‘ ‚", "é ☃", "-n", "~", "*"}

func TestExportLines(t *testing.T) {
	for shell, show := range map[string]string{"sh": `printf %s "$FOB_X"`, "fish": `printf %s "$FOB_X"`} {
		path, err := exec.LookPath(shell)
		if err != nil {
			continue // fish is not everywhere; what it would read is in TestExportLinesAsTheyAre
		}
		for _, value := range hostileValues {
			script := exportLine(shell, "FOB_X", value) + show
			out, err := exec.CommandContext(t.Context(), path, "-c", script).Output()
			if err != nil || string(out) != value {
				t.Errorf("%s: %q became %q, %v", shell, value, out, err)
			}
		}
	}
}

func TestExportLinesAsTheyAre(t *testing.T) {
	for shell, want := range map[string]string{
		"sh":         "export X='it'\\''s \\ ’'\n",
		"fish":       "set -gx X 'it\\'s \\\\ ’'\n",
		"powershell": "$env:X = 'it''s \\ ’’'\n",
	} {
		if got := exportLine(shell, "X", `it's \ ’`); got != want {
			t.Errorf("%s: %q", shell, got)
		}
	}
}

// curl itself reads what fob writes for it.
func TestCurlReadsItsHeader(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, value := range []string{"Bearer abc.def-_~+/=", `Bearer a"b\c`, "Bearer #x"} {
		config := filepath.Join(dir, "config")
		if err := os.WriteFile(config, []byte(curlHeader("Authorization", value)), 0o600); err != nil {
			t.Fatal(err)
		}
		// file: needs no server; --libcurl writes down what curl has understood.
		source := filepath.Join(dir, "code.c")
		if out, err := exec.CommandContext(t.Context(), curl, "-sS", "-K", config, "--libcurl", source, "-o", os.DevNull, "file://"+config).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		code, _ := os.ReadFile(source)
		want := map[string]string{`Bearer a"b\c`: `Bearer a\"b\\c`}[value]
		if want == "" {
			want = value
		}
		if !bytes.Contains(code, []byte(`"Authorization: `+want+`"`)) {
			t.Errorf("%q became\n%s", value, code)
		}
	}
}

func TestNetrcLine(t *testing.T) {
	for password, want := range map[string]string{
		"abc.def-_~+/=": "machine h login oauth2 password abc.def-_~+/=\n",
		`a "b\`:         "machine h login oauth2 password \"a \\\"b\\\\\"\n",
	} {
		if got := netrcLine("h", "oauth2", password); got != want {
			t.Errorf("%q", got)
		}
	}
}
