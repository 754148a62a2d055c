package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/hostiletest"
	"github.com/fobcli/fob/internal/sanitize"
)

func TestI75_EverythingPrintedIsInert(t *testing.T) {
	for _, text := range hostiletest.Texts() {
		if hostiletest.Recognised(text) == "" && !strings.HasPrefix(text, "a\nerror: ") {
			t.Errorf("the check finds nothing in %q", text)
		}
	}
	for _, text := range hostiletest.Texts() {
		var stdout, stderr bytes.Buffer
		a := &IO{Out: Stream{&stdout}, Err: Stream{&stderr}, Getenv: func(string) string { return "" }}
		a.Note("%s", text)
		a.Note("%s%s", ":", text)
		a.Note("#%s", "#"+text)
		a.Note("found %v in %-9s, %q", apikey.State(text), fmt.Errorf("one: %s", text), text)
		a.Note("%s", errors.Join(errors.New(text), errors.New(text)))
		a.Warn(text)
		a.ShowError(fmt.Errorf("reading %s: %w", text, fs.ErrNotExist), "run 'fob "+text+"'")
		_ = a.Err.Printf("%s ", text)
		_ = a.Out.Print(text)
		for _, err := range []error{
			a.PrintTable([][]string{{"NAME", "NOTE"}, {text, text}, {"", text}}),
			a.PrintJSON(map[string]string{text: text}),
			a.PrintLine([]string{text}),
			a.Out.Printf("%s\n%s\n", text, Painted("")),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		slog.New(slog.NewJSONHandler(NewInertWriter(a.Err.Raw(), sanitize.JSON), nil)).Warn(text, text, text)
		fmt.Fprintf(NewInertWriter(a.Out.Raw(), InertCompletion), "word\t%s\n", text)
		for _, out := range []string{stdout.String(), stderr.String()} {
			if bad := hostiletest.Recognised(out); bad != "" {
				t.Errorf("%q: printed %q", text, bad)
			}
		}
	}
}

// A line break within a name must not begin a line that looks like one of fob's.
func TestI75_ANameIsOneLine(t *testing.T) {
	var stdout, stderr bytes.Buffer
	a := &IO{Out: Stream{&stdout}, Err: Stream{&stderr}, Getenv: func(string) string { return "" }}
	a.Note("Delivered to %s.", "x\nhint: run evil"+strings.Repeat(" ", 500)+"hint: run evil")
	_ = a.PrintTable([][]string{{"NAME"}, {"x\nhint: run evil\tx"}})
	if got, want := stderr.String(), "Delivered to x hint: run evil hint: run evil.\n"; got != want {
		t.Errorf("%q", got)
	}
	if got, want := stdout.String(), "NAME\nx hint: run evil x\n"; got != want {
		t.Errorf("%q", got)
	}
}

// On a terminal fob's own colours stay, and nobody else's.
func TestI75_OnlyPaintedTextKeepsItsColours(t *testing.T) {
	red := Style{on: true}.Red("error:\x1b]0;t\a")
	if got, want := Sprintf("%s %s %d%%", red, "\x1b[32mok\u202e", 42), "\x1b[1;31merror:]0;t\x1b[0m [32mok 42%"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestI75_BlanksAtTheEndsOfAPartStay(t *testing.T) {
	if got, want := Sprintf("key%s.%s|%s", " (live)", " It is\n", ""), "key (live). It is |"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
