package cli

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

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
		if said := strings.Count(stderr.String(), "Not that: it is not right."); said != min(asked, len(c.answers))-1 {
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
