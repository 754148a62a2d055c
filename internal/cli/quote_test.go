package cli

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// hostileValues are what a shell, curl or git may read as something else.
var hostileValues = []string{"plain", "a b", `it's`, `say "x"`, `back\slash\`, "$HOME `id` $(id)", "a\nb", "%PATH% !x", "# no comment", "’ ‘ ‚", "é ☃", "-n", "~", "*"}

func TestExportLines(t *testing.T) {
	for shell, show := range map[string]string{"sh": `printf %s "$FOB_X"`, "fish": `printf %s "$FOB_X"`} {
		path, err := exec.LookPath(shell)
		if err != nil && runtime.GOOS == "linux" {
			t.Fatalf("%v: 'make setup' installs it", err)
		}
		if err != nil {
			continue // elsewhere TestExportLinesAsTheyAre looks at what fish would read
		}
		for _, value := range hostileValues {
			script := ExportLine(shell, "FOB_X", value) + show
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
		if got := ExportLine(shell, "X", `it's \ ’`); got != want {
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
		if err := os.WriteFile(config, []byte(CurlHeader("Authorization", value)), 0o600); err != nil {
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

// So it does its .netrc.
func TestCurlReadsItsNetrc(t *testing.T) {
	var login, password string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { login, password, _ = r.BasicAuth() }))
	defer server.Close()
	netrc := filepath.Join(t.TempDir(), "netrc")
	for _, want := range []string{"abc.def-_~+/=", "a b", `say "x"`, `back\slash\`, "it's", "#x", "a#b"} {
		if err := os.WriteFile(netrc, []byte(NetrcLine("127.0.0.1", NetrcLogin, want)), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), "curl", "-sS", "--noproxy", "*", "--netrc-file", netrc, server.URL).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if login != NetrcLogin || password != want {
			t.Errorf("%q became %q, %q", want, login, password)
		}
	}
}

func TestNetrcLine(t *testing.T) {
	for password, want := range map[string]string{
		"abc.def-_~+/=": "machine h login oauth2 password abc.def-_~+/=\n",
		`a "b\`:         "machine h login oauth2 password \"a \\\"b\\\\\"\n",
	} {
		if got := NetrcLine("h", "oauth2", password); got != want {
			t.Errorf("%q", got)
		}
	}
}

func TestInertPath(t *testing.T) {
	for path, want := range map[string]string{"/a/b": "/a/b", "/a\nb": "/a b", "/\x1b[31mred": "/[31mred", "/a  b": "/a b"} {
		if got := InertPath(path); got != want {
			t.Errorf("%q: %q, not %q", path, got, want)
		}
	}
}
