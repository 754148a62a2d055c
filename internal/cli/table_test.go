package cli

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// The least important columns are shortened, then they go; a problem is wrapped and never cut.
func TestATableFitsATerminal(t *testing.T) {
	const problem = "the server is unavailable: it answered 503 Service Unavailable"
	rows := [][]string{
		{"PROFILE", "STATE", "ACCOUNT", "STORAGE", "SERVER", "PROBLEM"},
		{"work", "refreshable", "Ada Lovelace <ada@example.com>", "keyring", "https://sso.example.com/realms/acme", problem},
		{"home", "valid", "Ada Lovelace <ada@example.com>", "keyring", "https://sso.example.com/realms/home", ""},
	}
	least := []string{"SERVER", "STORAGE", "ACCOUNT"}
	for width, want := range map[int][]string{0: nil, 200: nil, 120: nil, 80: nil, 75: nil, 74: {"SERVER"}, 63: {"SERVER"}, 62: {"SERVER", "STORAGE"}, 54: {"SERVER", "STORAGE"}, 50: {"SERVER", "STORAGE", "ACCOUNT"}} {
		kept, gone := fitted(rows, width, least)
		if !slices.Equal(gone, want) || len(kept[0]) != len(rows[0])-len(want) {
			t.Errorf("%d: without %q", width, gone)
		}
		said := ""
		for _, row := range wrapLast(kept, columnWidths(kept), width)[1:] {
			said += row[len(row)-1] + " "
		}
		if !slices.Equal(Wrap(said, 1000), []string{problem}) {
			t.Errorf("%d: %q", width, said)
		}
		needed := 0
		for _, w := range columnWidths(wrapLast(kept, columnWidths(kept), width)) {
			needed += w + 2
		}
		if width > 0 && needed-2 > width {
			t.Errorf("%d: the lines have %d characters", width, needed-2)
		}
	}
	if kept, _ := fitted(rows, 80, least); kept[1][1] != "refreshable" || !strings.HasSuffix(kept[1][4], "…") {
		t.Errorf("at 80: %q", kept[1])
	}
	// A wide column that goes leaves room for one of less importance.
	wide := [][]string{{"ID", "A-VERY-LONG-HEADING", "NOTE"}, {"1", "x", "short"}}
	if _, _, gone := fitColumns(wide, 20, []string{"NOTE", "A-VERY-LONG-HEADING"}); !slices.Equal(gone, []string{"A-VERY-LONG-HEADING"}) {
		t.Errorf("gone: %q", gone)
	}
	if len(rows[0]) != 6 || utf8.RuneCountInString(rows[1][4]) != 35 {
		t.Error("the rows were changed")
	}
}

// fitted returns the cells of the columns that fit.
func fitted(rows [][]string, width int, dispensable []string) (cells [][]string, omitted []string) {
	shown, widths, omitted := fitColumns(rows, width, dispensable)
	for _, row := range rows {
		var fit []string
		for i, column := range shown {
			if cell := row[column]; column == len(row)-1 {
				fit = append(fit, cell)
			} else {
				fit = append(fit, Truncate(cell, widths[i]))
			}
		}
		cells = append(cells, fit)
	}
	return cells, omitted
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

// newIO returns an IO whose streams are buffers.
func newIO() (s *IO, stdout, stderr *bytes.Buffer) {
	stdout, stderr = new(bytes.Buffer), new(bytes.Buffer)
	return &IO{In: strings.NewReader(""), Out: NewStream(stdout), Err: NewStream(stderr), Getenv: func(string) string { return "" }}, stdout, stderr
}

func TestPrintTable(t *testing.T) {
	for _, test := range []struct {
		name string
		rows [][]string
		want string
	}{
		{"nothing", nil, ""},
		{"headings only", [][]string{{"NAME", "STATE"}}, "NAME  STATE\n"},
		{"aligned", [][]string{{"NAME", "STATE"}, {"production", "valid"}, {"ci", "expired"}}, "NAME        STATE\nproduction  valid\nci          expired\n"},
		{"an empty column", [][]string{{"NAME", "NOTE", "STATE"}, {"a", "", "valid"}, {"b", "", "valid"}}, "NAME  STATE\na     valid\nb     valid\n"},
		{"an empty cell", [][]string{{"NAME", "NOTE"}, {"a", ""}, {"b", "x"}}, "NAME  NOTE\na\nb     x\n"},
		{"wide characters", [][]string{{"NAME", "X"}, {"é☃", "1"}, {"abc", "2"}}, "NAME  X\né☃    1\nabc   2\n"},
		{"a tab in a cell", [][]string{{"NAME", "X"}, {"a\tb", "1"}}, "NAME  X\na b   1\n"},
	} {
		s, stdout, stderr := newIO()
		if err := s.PrintTable(test.rows, "NOTE"); err != nil {
			t.Fatal(err)
		}
		if stdout.String() != test.want || stderr.Len() > 0 {
			t.Errorf("%s: %q and %q on stderr", test.name, stdout, stderr)
		}
	}
}

type writeCounter struct{ writes int }

func (c *writeCounter) Write(text []byte) (int, error) {
	c.writes++
	return len(text), nil
}

func TestPrintTable_WritesOnce(t *testing.T) {
	s, _, _ := newIO()
	count := &writeCounter{}
	s.Out = NewStream(count)
	if err := s.PrintTable(slices.Repeat([][]string{{"NAME", "STATE"}}, 1000)); err != nil || count.writes != 1 {
		t.Errorf("%d writes, %v", count.writes, err)
	}
}

func TestPrintPainted_PaintsAlignedCells(t *testing.T) {
	s, stdout, _ := newIO()
	err := s.PrintPainted([][]string{{"work", "valid"}, {"ci", "x"}}, func(_ int, cell string) Painted { return Painted("<" + cell + ">") })
	if want := "<work>  <valid>\n<ci>    <x>\n"; err != nil || stdout.String() != want {
		t.Errorf("%q, %v", stdout, err)
	}
}

func TestWrapLast(t *testing.T) {
	rows := [][]string{{"NAME", "PROBLEM"}, {"work", "one two three four five six"}}
	for _, test := range []struct {
		width int
		want  [][]string
	}{
		{0, rows},
		{80, rows},
		{26, [][]string{{"NAME", "PROBLEM"}, {"work", "one two three four"}, {"", "five six"}}},
		{3, [][]string{{"NAME", "PROBLEM"}, {"work", "one two three four"}, {"", "five six"}}}, // never below minWrapWidth
	} {
		if got := wrapLast(rows, columnWidths(rows), test.width); !slices.EqualFunc(got, test.want, slices.Equal[[]string]) {
			t.Errorf("%d: %q", test.width, got)
		}
	}
}

func TestWrapLast_FitsTheTerminal(t *testing.T) {
	rows := withoutEmptyColumns([][]string{{"STATE", "CHECK", "PROFILE", "RESULT"}, {"not checked", "issuer", "", strings.Repeat("wörter ", 30)}, {"", "", "", "fix: " + strings.Repeat("x", 90)}})
	for _, width := range []int{45, 60, 80, 200} {
		for _, row := range wrapLast(rows, columnWidths(rows), width) {
			if len(row) != 3 || len("not checked  issuer  ")+len([]rune(row[2])) > width {
				t.Errorf("at %d: %q", width, row)
			}
		}
	}
}

func TestWrap(t *testing.T) {
	for _, test := range []struct {
		text  string
		width int
		want  []string
	}{
		{"one two", 0, []string{"one two"}},
		{"one  two", 80, []string{"one two"}},
		{"one two three", 7, []string{"one two", "three"}},
		{"abcdefgh ij", 3, []string{"abc", "def", "gh", "ij"}},
		{"ééééé", 2, []string{"éé", "éé", "é"}},
		{"", 10, []string{""}},
	} {
		if got := Wrap(test.text, test.width); !slices.Equal(got, test.want) {
			t.Errorf("%q at %d: %q", test.text, test.width, got)
		}
	}
}

func TestTruncate(t *testing.T) {
	for _, test := range []struct {
		line  string
		width int
		want  string
	}{
		{"abcdef", 0, "abcdef"}, {"abcdef", 6, "abcdef"}, {"abcdef", 5, "abcd…"}, {"abcdef", 1, "…"}, {"ééé", 2, "é…"}, {"", 1, ""},
	} {
		if got := Truncate(test.line, test.width); got != test.want {
			t.Errorf("%q at %d: %q", test.line, test.width, got)
		}
	}
}

func TestRowHelpers(t *testing.T) {
	rows := WithoutEmptyValues([][]string{{"Issuer", "x"}, {"Note", ""}, {"State", "valid"}})
	if want := [][]string{{"Issuer", "x"}, {"State", "valid"}}; !slices.EqualFunc(rows, want, slices.Equal[[]string]) {
		t.Errorf("%q", rows)
	}
	if got := InertRow("a\nb", "c\x1b[31m"); !slices.Equal(got, []string{"a b", "c[31m"}) {
		t.Errorf("%q", got)
	}
	if TextIf(true, "x") != "x" || TextIf(false, "x") != "" {
		t.Error("TextIf")
	}
	for n, want := range map[int]string{0: "–", 1: "1", 12: "12"} {
		if got := CountText(n); got != want {
			t.Errorf("%d: %q", n, got)
		}
	}
	for n, want := range map[int]string{0: "0 keys", 1: "1 key", 2: "2 keys"} {
		if got := Plural(n, "key", "keys"); got != want {
			t.Errorf("%d: %q", n, got)
		}
	}
}

func TestStatesArePaintedOnATerminalOnly(t *testing.T) {
	if got := (&Table{state: 1}).paint(1, "active"); got != "active" {
		t.Errorf("without a terminal: %q", got)
	}
	painted := &Table{state: 1, style: Style{true}}
	if got := painted.paint(0, "active"); got != "active" {
		t.Errorf("in another column: %q", got)
	}
	for state, want := range map[string]Painted{"active": "\x1b[32mactive\x1b[0m", "warning": "\x1b[33mwarning\x1b[0m", "revoked": "\x1b[1;31mrevoked\x1b[0m", "other": "other"} {
		if got := painted.paint(1, state); got != want {
			t.Errorf("%s: %q", state, got)
		}
	}
}

// Rows are printed page by page; later ones have the columns and widths of the first page.
func TestTable_PrintsWhileRowsAreAdded(t *testing.T) {
	s, stdout, _ := newIO()
	table := s.NewTable([]string{"ID", "EMPTY", "NOTE"}, "NOTE")
	if !table.IsEmpty() {
		t.Error("a table with headings only is not empty")
	}
	add := func(cells ...string) {
		if err := table.Add(cells...); err != nil {
			t.Fatal(err)
		}
	}
	const pages = 50
	for i := range pages * tablePage {
		add("first", "", "note")
		if i == tablePage && stdout.Len() == 0 || len(table.rows) > tablePage {
			t.Fatalf("%d rows were kept", len(table.rows))
		}
	}
	add("longer than any before", "late", "note")
	if err := table.End(); err != nil || table.IsEmpty() {
		t.Fatal(err)
	}
	lines := strings.Split(stdout.String(), "\n")
	if len(lines) != pages*tablePage+3 || lines[0] != "ID     EMPTY  NOTE" || lines[1] != "first         note" || lines[len(lines)-2] != "longer than any before  late   note" {
		t.Errorf("%d lines: %q … %q", len(lines), lines[:2], lines[len(lines)-2])
	}
}
