package cli

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/fobcli/fob/internal/sanitize"
)

// PrintTable prints aligned rows to stdout. If the terminal is too narrow, the columns with
// the dispensable headings, the least important first, are shortened and then omitted, and
// the last column is wrapped.
func (s *IO) PrintTable(rows [][]string, dispensable ...string) error {
	return (&Table{s: s, rows: rows, dispensable: dispensable}).End()
}

// Table is PrintTable for any number of rows: it prints them as they are added. The first
// page decides which columns are shown, and how wide they are.
type Table struct {
	s           *IO
	dispensable []string
	rows        [][]string // not printed yet
	shown       []int      // the columns; nil before the first page
	widths      []int
	shortened   []bool // which columns are shortened
	omitted     []string
	state       int // the column with a state, or -1
	style       Style
}

// tablePage is the number of rows in the first page.
const tablePage = 200

// NewTable returns a table without rows. dispensable is as in PrintTable.
func (s *IO) NewTable(headings []string, dispensable ...string) *Table {
	return &Table{s: s, rows: [][]string{headings}, dispensable: dispensable}
}

// IsEmpty reports whether no row was added.
func (t *Table) IsEmpty() bool { return t.shown == nil && len(t.rows) == 1 }

// Add adds a row.
func (t *Table) Add(row ...string) error {
	t.rows = append(t.rows, row)
	if len(t.rows) <= tablePage {
		return nil
	}
	return t.print()
}

// End prints what is left.
func (t *Table) End() error {
	if t.shown == nil { // a column that is empty in the first page may have values later
		t.rows = withoutEmptyColumns(t.rows)
	}
	if err := t.print(); err != nil {
		return err
	}
	if len(t.omitted) > 0 {
		t.s.Note("Not shown at this width: %s. --json shows everything.", strings.Join(t.omitted, ", "))
	}
	return nil
}

func (t *Table) print() error {
	rows := inertRows(t.rows)
	t.rows = nil
	if len(rows) == 0 {
		return nil
	}
	width, _ := SizeOf(t.s.Out)
	if t.shown == nil {
		t.shown, t.widths, t.omitted = fitColumns(rows, width, t.dispensable)
		t.style = t.s.StyleOf(t.s.Out)
		t.state = slices.IndexFunc(t.shown, func(column int) bool { return rows[0][column] == "STATE" || rows[0][column] == "HEALTH" })
		for _, column := range t.shown {
			t.shortened = append(t.shortened, width > 0 && slices.Contains(t.dispensable, rows[0][column]))
		}
	}
	for n, row := range rows {
		rows[n] = make([]string, len(t.shown))
		for i, column := range t.shown {
			if rows[n][i] = row[column]; t.shortened[i] {
				rows[n][i] = Truncate(row[column], t.widths[i])
			}
		}
	}
	return t.s.printLines(wrapLast(rows, t.widths, width), t.widths, t.paint)
}

// paint paints a cell that contains a state.
func (t *Table) paint(column int, cell string) Painted {
	if column != t.state {
		return Painted(cell)
	}
	return t.style.state(cell)
}

// state paints good states green, those that soon need attention yellow, and ended ones
// red.
func (s Style) state(text string) Painted {
	switch text {
	case "valid", "refreshable", "active", "ok":
		return s.Green(text)
	case "retiring", "disabled", "logged out", "no value", "not logged in", "warning":
		return s.Yellow(text)
	case "expired", "login required", "revoked", "unreadable", "problem":
		return s.Red(text)
	}
	return Painted(text)
}

// Minimum widths of a shortened and of a wrapped cell.
const (
	minCellWidth = 10
	minWrapWidth = 20
)

// fitColumns returns the columns of rows that fit into a width, as far as dispensable ones
// allow, with their widths; 0 is unlimited.
func fitColumns(rows [][]string, width int, dispensable []string) (fitting, widths []int, omitted []string) {
	natural := columnWidths(rows)
	if width == 0 {
		width = math.MaxInt32
	}
	least := slices.Clone(natural)
	last := len(natural) - 1
	for column, heading := range rows[0] {
		switch {
		case slices.Contains(dispensable, heading):
			least[column] = min(natural[column], max(utf8.RuneCountInString(heading), minCellWidth))
		case column == last:
			least[column] = min(natural[column], minWrapWidth)
		}
	}
	shown := make([]bool, len(natural))
	left := width + 2 // all columns but the first have two spaces before them
	show := func(column int) {
		if column >= 0 && !shown[column] && (least[column]+2 <= left || !slices.Contains(dispensable, rows[0][column])) {
			shown[column] = true
			left -= least[column] + 2
		}
	}
	for column, heading := range rows[0] {
		if !slices.Contains(dispensable, heading) {
			show(column)
		}
	}
	for _, heading := range slices.Backward(dispensable) {
		show(slices.Index(rows[0], heading))
	}
	for column := range natural { // the rest goes to the columns in order
		if more := min(natural[column]-least[column], left); shown[column] && more > 0 {
			least[column] += more
			left -= more
		}
	}
	for column := range natural {
		if shown[column] {
			fitting, widths = append(fitting, column), append(widths, least[column])
		}
	}
	for _, heading := range dispensable {
		if column := slices.Index(rows[0], heading); column >= 0 && !shown[column] {
			omitted = append(omitted, heading)
		}
	}
	return fitting, widths, omitted
}

// wrapLast wraps the last column so that lines are at most width wide.
func wrapLast(rows [][]string, widths []int, width int) [][]string {
	if width == 0 {
		return rows
	}
	last := len(widths) - 1
	left := width
	for _, widest := range widths[:last] {
		left -= widest + 2
	}
	var wrapped [][]string
	for _, row := range rows {
		for i, line := range Wrap(row[last], max(left, minWrapWidth)) {
			next := make([]string, last+1)
			if i == 0 {
				copy(next, row)
			}
			next[last] = line
			wrapped = append(wrapped, next)
		}
	}
	return wrapped
}

func columnWidths(rows [][]string) []int {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for column, cell := range row {
			widths[column] = max(widths[column], utf8.RuneCountInString(cell))
		}
	}
	return widths
}

// PrintPainted prints aligned rows, with a function that paints each cell.
func (s *IO) PrintPainted(rows [][]string, paint func(column int, cell string) Painted) error {
	if rows = withoutEmptyColumns(inertRows(rows)); len(rows) == 0 {
		return nil
	}
	return s.printLines(rows, columnWidths(rows), paint)
}

// printLines prints rows of sanitized cells at once. It does not paint a line that it shortens
// to the terminal's width.
func (s *IO) printLines(rows [][]string, widths []int, paint func(column int, cell string) Painted) error {
	terminal, _ := SizeOf(s.Out)
	var page strings.Builder
	for _, row := range rows {
		var plain, painted strings.Builder
		for column, cell := range row {
			gap := strings.Repeat(" ", max(widths[column]-utf8.RuneCountInString(cell), 0)+2)
			plain.WriteString(cell + gap)
			painted.WriteString(string(paint(column, cell)) + gap)
		}
		line, text := strings.TrimRight(painted.String(), " "), strings.TrimRight(plain.String(), " ")
		if short := Truncate(text, terminal); short != text {
			line = short
		}
		page.WriteString(line + "\n")
	}
	return s.Out.Print(page.String())
}

// withoutEmptyColumns removes columns that are empty below their heading.
func withoutEmptyColumns(rows [][]string) [][]string {
	if len(rows) < 2 {
		return rows
	}
	kept := make([][]string, len(rows))
	for column := range rows[0] {
		if !slices.ContainsFunc(rows[1:], func(row []string) bool { return row[column] != "" }) {
			continue
		}
		for i, row := range rows {
			kept[i] = append(kept[i], row[column])
		}
	}
	return kept
}

// WithoutEmptyValues removes rows whose second cell is empty.
func WithoutEmptyValues(rows [][]string) [][]string {
	return slices.DeleteFunc(rows, func(row []string) bool { return row[1] == "" })
}

// InertRow sanitizes each cell to one line.
func InertRow(cells ...string) []string {
	for i, cell := range cells {
		cells[i] = sanitize.Line(cell)
	}
	return cells
}

// TextIf returns text if ok, and else "".
func TextIf(ok bool, text string) string {
	if !ok {
		return ""
	}
	return text
}

// Truncate shortens a line to width characters; 0 is unlimited.
func Truncate(line string, width int) string {
	runes := []rune(line)
	if width == 0 || len(runes) <= width {
		return line
	}
	return string(runes[:width-1]) + "…"
}

// Wrap breaks a text between words, and words that are too long, into lines of at most
// width characters; 0 is unlimited.
func Wrap(text string, width int) []string {
	if width <= 0 {
		return []string{text}
	}
	var words []string
	for _, word := range strings.Fields(text) {
		for part := range slices.Chunk([]rune(word), width) {
			words = append(words, string(part))
		}
	}
	return fillLines(words, width)
}

// Reflow wraps the paragraphs of a text for a width. A paragraph with an indented line stays
// unchanged.
func Reflow(text string, width int) string {
	paragraphs := strings.Split(text, "\n\n")
	for i, paragraph := range paragraphs {
		if !strings.Contains("\n"+paragraph, "\n ") && !strings.Contains("\n"+paragraph, "\n\t") {
			paragraphs[i] = strings.Join(Wrap(paragraph, width), "\n")
		}
	}
	return strings.Join(paragraphs, "\n\n")
}

// wrapLines wraps lines that are wider than width, unless width is 0. Indented lines, and
// words that are too long, such as URLs, stay whole: users copy them.
func wrapLines(text string, width int) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if width > 0 && shownWidth(line) > width && !strings.HasPrefix(line, " ") {
			lines[i] = strings.Join(fillLines(strings.Split(line, " "), width), "\n")
		}
	}
	return strings.Join(lines, "\n")
}

// fillLines joins words to at least one line, of at most width characters if the words allow
// it.
func fillLines(words []string, width int) []string {
	lines, column := []string{""}, 0
	for i, word := range words {
		last, shown := len(lines)-1, shownWidth(word)
		switch {
		case i == 0:
			lines[last], column = word, shown
		case column+1+shown <= width:
			lines[last] += " " + word
			column += 1 + shown
		default:
			lines, column = append(lines, word), shown
		}
	}
	return lines
}

// shownWidth returns the width of a text without its colours.
func shownWidth(text string) int {
	width, hidden := 0, false
	for _, r := range text {
		switch {
		case r == '\x1b':
			hidden = true
		case !hidden:
			width++
		case r == 'm':
			hidden = false
		}
	}
	return width
}

// CountText returns a count, or a dash for 0.
func CountText(n int) string {
	if n == 0 {
		return "–"
	}
	return strconv.Itoa(n)
}

// Plural returns a count with its noun.
func Plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
