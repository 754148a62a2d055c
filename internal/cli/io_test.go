package cli

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/fobcli/fob/internal/secret"
)

func TestAQuestionIsAskedAgainAfterASlip(t *testing.T) {
	for _, c := range []struct {
		answers []string
		asked   int
		want    string
	}{
		{[]string{"right"}, 1, "right"},
		{[]string{"", "wrong", "right"}, 3, "right"},
		{[]string{"wrong", "wrong", "wrong", "right"}, 3, ""},
	} {
		var stderr bytes.Buffer
		a := &IO{Err: Stream{&stderr}}
		asked := 0
		ask := func() (string, error) { asked++; return c.answers[asked-1], nil }
		got, err := AskUntil(a, ask, func(answer string) (string, error) {
			if answer != "right" {
				return "", Usagef("it is not right")
			}
			return answer, nil
		})
		if got != c.want || asked != c.asked || (err == nil) != (c.want != "") {
			t.Errorf("%q: %q, asked %d times: %v", c.answers, got, asked, err)
		}
		if said := strings.Count(stderr.String(), "Try again: it is not right."); said != min(asked, len(c.answers))-1 {
			t.Errorf("%q: said %d times", c.answers, said)
		}
	}
}

func TestWhatIsNoFaultOfTheAnswerIsNotAskedAgain(t *testing.T) {
	asked := 0
	ask := func() (string, error) { asked++; return "x", nil }
	_, err := AskUntil(&IO{Err: Stream{&bytes.Buffer{}}}, ask, func(string) (string, error) { return "", context.Canceled })
	if asked != 1 || !errors.Is(err, context.Canceled) {
		t.Errorf("asked %d times: %v", asked, err)
	}
}

func TestHomeInAnAnswer(t *testing.T) {
	a := &IO{Getenv: func(name string) string { return map[string]string{"HOME": "/home/me"}[name] }}
	for answer, want := range map[string]string{
		"~/fob.key": filepath.Join("/home/me", "fob.key"), "/a/~/b": "/a/~/b", "~other/x": "~other/x", "": "",
	} {
		if got := a.expandHome(answer); got != want {
			t.Errorf("%q: %q", answer, got)
		}
	}
}

func TestOneRuleForNewPassphrases(t *testing.T) {
	for text, ok := range map[string]bool{"": false, "eleven chrs": false, "twelve chars": true, "zwölf Zeichn": true, "elf Zeichen": false} {
		if err := CheckNewPassphrase(secret.New(text)); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestPrompts_WithoutATerminal(t *testing.T) {
	unasked := Usagef("use --yes")
	s, _, stderr := newIO()
	for name, test := range map[string]struct {
		ask  func() error
		want error
	}{
		"Confirm": {func() error { return s.Confirm(t.Context(), "Sure?", unasked) }, unasked},
		"AskFor":  {func() error { _, err := s.AskFor(t.Context(), "Name:", AnyAnswer); return err }, ErrNoTerminal},
		"AskPath": {func() error { _, err := s.AskPath(t.Context(), "File:", AnyAnswer); return err }, ErrNoTerminal},
		"AskSecret, unattended": {func() error {
			unattended := *s
			unattended.Unattended = true
			_, err := unattended.AskSecret(t.Context(), "Secret:")
			return err
		}, ErrNoTerminal},
		"AskNewPassphrase in CI": {func() error {
			ci := *s
			ci.Getenv = func(name string) string { return map[string]string{"CI": "true"}[name] }
			_, err := ci.AskNewPassphrase(t.Context(), "Passphrase:")
			return err
		}, ErrNoTerminal},
	} {
		if err := test.ask(); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, not %v", name, err, test.want)
		}
	}
	if s.Interactive() || stderr.Len() > 0 {
		t.Errorf("a prompt: %q", stderr)
	}
}

func TestIsYes(t *testing.T) {
	for answer, want := range map[string]bool{"y": true, "Y": true, "yes": true, "YES": true, "": false, "n": false, "ye": false, "yes please": false, " y": false} {
		if got := IsYes(answer); got != want {
			t.Errorf("%q: %t", answer, got)
		}
	}
}

func TestReadSecret(t *testing.T) {
	for name, test := range map[string]struct{ in, want string }{
		"a line":           {"s3cret\n", "s3cret"},
		"without its end":  {"s3cret", "s3cret"},
		"a line of DOS":    {"s3cret\r\n", "s3cret"},
		"several lines":    {"one\ntwo\n\n", "one\ntwo"},
		"blanks at an end": {" s3cret ", " s3cret "},
		"the largest":      {strings.Repeat("x", maxInput), strings.Repeat("x", maxInput)},
		"one too large":    {strings.Repeat("x", maxInput+1), ""},
		"nothing":          {"", ""},
		"blank lines":      {"\n\r\n", ""},
	} {
		got, err := ReadSecret(strings.NewReader(test.in), "FILE")
		if got.Reveal() != test.want || (err == nil) != (test.want != "") || err != nil && (!IsUsage(err) || !strings.Contains(err.Error(), "FILE")) {
			t.Errorf("%s: %.20q, %v", name, got.Reveal(), err)
		}
	}
	if _, err := ReadSecret(iotest.ErrReader(fs.ErrClosed), "FILE"); !errors.Is(err, fs.ErrClosed) {
		t.Error(err)
	}
}

func TestReadSecretFile(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"long": "correct horse battery\n", "short": "pass\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := ReadSecretFile(filepath.Join(dir, "short")); err != nil || got.Reveal() != "pass" {
		t.Errorf("%q, %v", got.Reveal(), err)
	}
	if _, err := ReadSecretFile(filepath.Join(dir, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if got, err := NewPassphraseIn(filepath.Join(dir, "long")); err != nil || got.Reveal() != "correct horse battery" {
		t.Errorf("%q, %v", got.Reveal(), err)
	}
	if _, err := NewPassphraseIn(filepath.Join(dir, "short")); !IsUsage(err) {
		t.Errorf("a short passphrase: %v", err)
	}
}

func TestSecretOnStdin_FromAPipe(t *testing.T) {
	s, _, stderr := newIO()
	s.In = strings.NewReader("s3cret\n")
	if got, err := s.SecretOnStdin(t.Context(), "Token:"); err != nil || got.Reveal() != "s3cret" || stderr.Len() > 0 {
		t.Errorf("%q, %v, prompt %q", got.Reveal(), err, stderr)
	}
}

func TestAwait(t *testing.T) {
	if got, err := Await(t.Context(), func() (int, error) { return 7, fs.ErrClosed }); got != 7 || !errors.Is(err, fs.ErrClosed) {
		t.Errorf("%d, %v", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	blocked := make(chan struct{})
	defer close(blocked)
	if _, err := Await(ctx, func() (int, error) { <-blocked; return 7, nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestOutput_WithoutATerminal(t *testing.T) {
	s, stdout, stderr := newIO()
	s.Note("%s is %d days old", "work", 3)
	s.Warn("the key expires")
	s.ShowError(WithHint(fs.ErrNotExist, "ignored"), "create it")
	s.ShowError(fs.ErrClosed, "")
	const want = "work is 3 days old\nwarning: the key expires\nerror: file does not exist\nhint: create it\nerror: file already closed\n"
	if stderr.String() != want || stdout.Len() > 0 {
		t.Errorf("%q and %q on stdout", stderr, stdout)
	}
}

func TestPrintJSON(t *testing.T) {
	value := struct {
		Name string `json:"name"`
		Keys []int  `json:"keys"`
	}{"a<b>&c", []int{1, 2}}
	s, stdout, _ := newIO()
	if err := errors.Join(s.PrintJSON(value), s.PrintLine(value)); err != nil {
		t.Fatal(err)
	}
	const want = "{\n  \"name\": \"a<b>&c\",\n  \"keys\": [\n    1,\n    2\n  ]\n}\n{\"name\":\"a<b>&c\",\"keys\":[1,2]}\n"
	if stdout.String() != want {
		t.Errorf("%q", stdout)
	}
	if err := s.PrintJSON(func() {}); err == nil {
		t.Error("a function was printed")
	}
}

func TestPrintJSONList(t *testing.T) {
	broken := errors.New("broken")
	for n := range 4 {
		list := make([]map[string]any, n)
		for i := range list {
			list[i] = map[string]any{"name": "a#<b>", "keys": []int{i}}
		}
		s, stdout, _ := newIO()
		if err := s.PrintJSON(list); err != nil {
			t.Fatal(err)
		}
		want := stdout.String()
		stdout.Reset()
		err := PrintJSONList(s, func(yield func(map[string]any, error) bool) {
			for _, v := range list {
				if !yield(v, nil) {
					t.Fatal("stopped")
				}
			}
		})
		if err != nil || stdout.String() != want {
			t.Errorf("%q instead of %q, %v", stdout, want, err)
		}
	}
	s, stdout, _ := newIO()
	err := PrintJSONList(s, func(yield func(string, error) bool) {
		for stdout.Len() == 0 {
			yield("printed before the list is complete", nil)
		}
		yield("", broken)
	})
	if !errors.Is(err, broken) {
		t.Error(err)
	}
}

func TestFirstArg(t *testing.T) {
	if FirstArg(nil) != "" || FirstArg([]string{"a", "b"}) != "a" {
		t.Error("not the first argument")
	}
}

func TestStyle_IsPlainWithoutATerminal(t *testing.T) {
	s, stdout, _ := newIO()
	style := s.StyleOf(s.Out)
	for _, painted := range []Painted{style.Red("x"), style.Yellow("x"), style.Green("x"), style.Cyan("x"), style.Bold("x")} {
		if painted != "x" {
			t.Errorf("%q", painted)
		}
	}
	if columns, rows := SizeOf(stdout); columns != 0 || rows != 0 || IsTerminal(stdout) {
		t.Errorf("a buffer has %d columns and %d rows", columns, rows)
	}
}
