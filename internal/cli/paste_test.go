package cli

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

func TestReadPasted(t *testing.T) {
	for _, test := range []struct {
		name, in string
		want     []string
	}{
		{"nothing", "", nil},
		{"lines", "one\ntwo\n", []string{"one", "two"}},
		{"the last without its end", "one\ntwo", []string{"one", "two"}},
		{"a terminal's Enter", "one\rtwo\r\n", []string{"one", "two"}},
		{"blank lines", "\n\none\n\n", []string{"one"}},
		{"a bracketed paste", "\x1b[200~http://127.0.0.1/?code=x\x1b[201~\n", []string{"http://127.0.0.1/?code=x"}},
		{"a line that is too long", strings.Repeat("x", maxInput+9) + "\ny\n", []string{strings.Repeat("x", maxInput), "y"}},
	} {
		lines, restore := ReadPasted(strings.NewReader(test.in))
		var got []string
		for line := range lines {
			got = append(got, line)
		}
		restore()
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %.60q", test.name, got)
		}
	}
}

func TestReadSecretLines(t *testing.T) {
	for _, test := range []struct {
		name, in, want string
		rest           int // lines that are left
	}{
		{"a line", "secret|other", "secret", 1},
		{"PEM", "-----BEGIN KEY-----|abc|-----END KEY-----|other", "-----BEGIN KEY-----\nabc\n-----END KEY-----", 1},
		{"PEM that does not end", "-----BEGIN KEY-----|abc", "", 0},
		{"PEM that is too long", "-----BEGIN KEY-----|" + strings.Repeat("x", maxInput) + "|-----END KEY-----", "", 1},
		{"nothing", "", "", 0},
	} {
		lines := strings.Split(test.in, "|")
		if test.in == "" {
			lines = nil
		}
		got, err := readSecretLines(func() (string, error) {
			if len(lines) == 0 {
				return "", io.EOF
			}
			line := lines[0]
			lines = lines[1:]
			return line, nil
		})
		if got != test.want || (err == nil) != (test.want != "") || len(lines) != test.rest {
			t.Errorf("%s: %.60q, %v, %d left", test.name, got, err, len(lines))
		}
	}
	broken := errors.New("the terminal is gone")
	if _, err := readSecretLines(func() (string, error) { return "", broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
}
