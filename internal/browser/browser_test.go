package browser

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// No URL ends the string that it stands in.
func TestI69_AppleScriptHoldsTheURL(t *testing.T) {
	for url, want := range map[string]string{
		"http://127.0.0.1:5/callback/ABC":        `open location "http://127.0.0.1:5/callback/ABC"`,
		`https://x/"\n do shell script "touch x`: `open location "https://x/\"\\n do shell script \"touch x"`,
		`https://x/\`:                            `open location "https://x/\\"`,
	} {
		if got := openLocation(url); got != want+"\n" {
			t.Errorf("%s: %s, want %s", url, got, want)
		}
	}
}

func TestCommands_ListQuotesAndPercentS(t *testing.T) {
	sep := string(os.PathListSeparator)
	look := func(name string) (string, error) {
		if name == "/opt/my browser/run" {
			return name, nil
		}
		return "", errors.New("not found")
	}
	for value, want := range map[string][]string{
		"/opt/my browser/run":                  {"/opt/my browser/run U"},
		"firefox -P work":                      {"firefox|-P|work|U"},
		"a" + sep + sep + " b --new " + sep:    {"a|U", "b|--new|U"},
		`'/opt/my browser/x' "--app=%s" --end`: {"/opt/my browser/x|--app=U|--end"},
		`x 'a"b` + sep + `c' 100%%`:            {`x|a"b` + sep + `c|100%|U`},
		`x ""`:                                 {"x||U"},
		" ":                                    nil,
	} {
		var got []string
		for _, command := range Commands(value, look) {
			got = append(got, strings.Join(withURL(command, "U"), "|"))
		}
		if len(want) == 1 {
			want[0] = strings.ReplaceAll(want[0], " U", "|U")
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", value, got, want)
		}
	}
}

func TestOpen_TriesEachCommand(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("uses a shell")
	}
	out := filepath.Join(t.TempDir(), "out")
	l := Launcher{Output: io.Discard, Getenv: func(name string) string {
		return map[string]string{"BROWSER": "/nonexistent:false:sh -c 'echo \"$0\" >" + out + "' '<%s>':touch " + out + ".2"}[name]
	}}
	if err := l.Open("http://127.0.0.1:1/x"); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(out); string(text) != "<http://127.0.0.1:1/x>\n" {
		t.Errorf("%q", text)
	}
	if _, err := os.Stat(out + ".2"); err == nil {
		t.Error("a command after the one that succeeded was run")
	}
	l.Getenv = func(string) string { return "false" }
	if l.Open("http://127.0.0.1:1/x") == nil {
		t.Error("no error of a launcher that fails")
	}
}
