package cli

import (
	"slices"
	"testing"
	"unicode/utf8"
)

// TestATableFitsATerminal: the least important columns go, whole; a problem is wrapped
// and never cut.
func TestATableFitsATerminal(t *testing.T) {
	const problem = "the server is unavailable: it answered 503 Service Unavailable"
	rows := [][]string{
		{"PROFILE", "STATE", "ACCOUNT", "STORAGE", "SERVER", "PROBLEM"},
		{"work", "refreshable", "Ada Lovelace <ada@example.com>", "keyring", "https://sso.example.com/realms/acme", problem},
		{"home", "valid", "Ada Lovelace <ada@example.com>", "keyring", "https://sso.example.com/realms/home", ""},
	}
	least := []string{"SERVER", "STORAGE", "ACCOUNT"}
	for width, want := range map[int][]string{0: nil, 200: nil, 120: nil, 119: {"SERVER"}, 83: {"SERVER"}, 80: {"SERVER", "STORAGE"}, 50: {"SERVER", "STORAGE", "ACCOUNT"}} {
		kept, gone := fitColumns(rows, width, least)
		if !slices.Equal(gone, want) || len(kept[0]) != len(rows[0])-len(want) {
			t.Errorf("%d: without %q", width, gone)
		}
		said := ""
		for _, row := range WrapLast(kept, width)[1:] {
			said += row[len(row)-1] + " "
		}
		if !slices.Equal(Wrap(said, 1000), []string{problem}) {
			t.Errorf("%d: %q", width, said)
		}
		needed := 0
		for _, w := range columnWidths(WrapLast(kept, width)) {
			needed += w + 2
		}
		if width > 0 && needed-2 > width {
			t.Errorf("%d: the lines have %d characters", width, needed-2)
		}
	}
	withoutProblem := [][]string{{"PROFILE", "SERVER"}, {"work", "https://sso.example.com/realms/acme"}}
	if kept, gone := fitColumns(withoutProblem, 40, least); len(gone) != 1 || len(kept[0]) != 1 {
		t.Errorf("an address is wrapped: %q", kept)
	}
	if len(rows[0]) != 6 || utf8.RuneCountInString(rows[1][4]) != 35 {
		t.Error("the rows were changed")
	}
}

func TestFold(t *testing.T) {
	for _, tt := range []struct {
		text, want string
		width      int
	}{
		{"one two three", "one two three", 0},
		{"one two three", "one two three", 13},
		{"one two three", "one two\nthree", 12},
		{"one two three", "one\ntwo\nthree", 3},
		{"see https://example.com/a/long/path now", "see\nhttps://example.com/a/long/path\nnow", 10},
		{"  https://example.com/a b", "  https://example.com/a b", 10},
		{"first\n\n  as it is there\nlast line", "first\n\n  as it is there\nlast\nline", 8},
		{"\x1b[1;31merror:\x1b[0m two three", "\x1b[1;31merror:\x1b[0m two\nthree", 10},
		{"ééé ééé ééé", "ééé ééé\nééé", 8},
	} {
		if got := wrapLines(tt.text, tt.width); got != tt.want {
			t.Errorf("%q at %d: %q", tt.text, tt.width, got)
		}
	}
}
