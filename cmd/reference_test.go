package cmd

import (
	"slices"
	"testing"

	"github.com/fobcli/fob/internal/secret"
)

func TestCutReference(t *testing.T) {
	for text, want := range map[string][3]string{
		"":                               {"", "", ""},
		"plain fob:// text":              {"plain fob:// text", "", ""},
		"fob://other/work":               {"fob://other/work", "", ""},
		"fob://token/work":               {"", "token/work", ""},
		"Bearer fob://token/work!":       {"Bearer ", "token/work", "!"},
		"fob://token/work/path":          {"", "token/work", "/path"},
		"fob://token/":                   {"", "token/", ""},
		"x:fob://secret/db/prod@host/db": {"x:", "secret/db/prod", "@host/db"},
		"fob://secret/db/":               {"", "secret/db/", ""},
		"fob://secret/aB":                {"", "secret/a", "B"},
		"fob://secret/a fob://token/b":   {"", "secret/a", " fob://token/b"},
		"fob://token/b fob://secret/a":   {"", "token/b", " fob://secret/a"},
		"fob://fob://secret/a":           {"fob://", "secret/a", ""},
	} {
		before, reference, behind := cutReference(text)
		if got := [3]string{before, reference, behind}; got != want {
			t.Errorf("%q: %q, not %q", text, got, want)
		}
	}
}

func TestWhatIsNoReference(t *testing.T) {
	for _, text := range []string{"", "work", "token/", "secret/", "token/a/b", "secret/../x", "secret/a/", "key/x", "/secret/a", "secret/A"} {
		if checkReference(text) == nil {
			t.Errorf("%q was taken", text)
		}
	}
	for _, text := range []string{"token/work", "secret/a", "secret/a/b/c/d"} {
		if err := checkReference(text); err != nil {
			t.Error(err)
		}
	}
}

func TestWrongReference(t *testing.T) {
	for text, want := range map[string]string{
		"":                                    "",
		"plain":                               "",
		"fob://token/work":                    "",
		"x:fob://secret/db/prod@host/db":      "",
		"fob://secret/a fob://token/b":        "",
		"fob://tokn/work":                     "fob://tokn/work",
		"FOB fob://Token/work!":               "fob://Token/work",
		"fob://token/work fob://secrets/a b":  "fob://secrets/a",
		"x:fob://secret/a:fob://y:hidden@z":   "fob://y",
		"fob://token/":                        "fob://token/",
		"fob://secret/a/":                     "fob://secret/a/",
		"fob://":                              "fob://",
		"fob://fob://secret/a":                "fob://",
		"postgres://u:fob://sekret/db@h/base": "fob://sekret/db",
	} {
		if got := wrongReference(text); got != want {
			t.Errorf("%q: %q, not %q", text, got, want)
		}
	}
}

func TestLinesToMask(t *testing.T) {
	got := linesToMask(secret.New("-----BEGIN\nabcdef\r\nab\n\n-----END"))
	if want := []string{"-----BEGIN\nabcdef\r\nab\n\n-----END", "-----BEGIN", "abcdef", "-----END"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if got := linesToMask(secret.New("one")); !slices.Equal(got, []string{"one"}) {
		t.Errorf("%q", got)
	}
}
