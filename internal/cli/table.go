package cli

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"github.com/fobcli/fob/internal/sanitize"
)

// PrintTable prints aligned rows to stdout. If the terminal is too narrow, the columns with
// the dispensable headings, the least important first, are shortened and then omitted, and
// the last column is wrapped.
func (s *IO) PrintTable(rows [][]string, dispensable ...string) error {
	width, _ := SizeOf(s.Out)
	shown, omitted := fitColumns(withoutEmptyColumns(inertRows(rows)), width, dispensable)
	shown = WrapLast(shown, width)
	if err := s.PrintPainted(shown, paintStates(shown, s.StyleOf(s.Out))); err != nil {
		return err
	}
	if len(omitted) > 0 {
		s.Note("Not shown at this width: %s. --json shows everything.", strings.Join(omitted, ", "))
	}
	return nil
}

// paintStates returns a function that paints the state in the lines of a table with such a
// column.
func paintStates(rows [][]string, on Style) func(line string) Painted {
	column := -1
	if len(rows) > 0 {
		column = slices.IndexFunc(rows[0], func(heading string) bool { return heading == "STATE" || heading == "HEALTH" })
	}
	next := -1
	return func(line string) Painted {
		next++
		if column < 0 || next >= len(rows) {
			return Painted(line)
		}
		state, start := rows[next][column], 0
		for _, width := range columnWidths(rows)[:column] {
			start += width + 2
		}
		runes := []rune(line)
		end := start + utf8.RuneCountInString(state)
		if end > len(runes) {
			return Painted(line)
		}
		return Painted(string(runes[:start])) + on.state(state) + Painted(string(runes[end:]))
	}
}

// state paints good states green, those that soon need attention yellow, and ended ones
// red.
func (s Style) state(text string) Painted {
	switch text {
	case "valid", "refreshable", "active", "ok":
		return s.Green(text)
	case "retiring", "disabled", "logged out", "no value", "not logged in":
		return s.Yellow(text)
	case "expired", "login required", "revoked", "unreadable":
		return s.Red(text)
	}
	return Painted(text)
}

// Minimum widths of a shortened and of a wrapped cell.
const (
	minCellWidth = 10
	minWrapWidth = 20
)

// fitColumns fits rows into a width, as far as dispensable columns allow; 0 is unlimited.
func fitColumns(rows [][]string, width int, dispensable []string) (fitting [][]string, omitted []string) {
	if width == 0 || len(rows) == 0 {
		return rows, nil
	}
	natural := columnWidths(rows)
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
	for _, row := range rows {
		var fitted []string
		for column, cell := range row {
			if shown[column] && column == last && !slices.Contains(dispensable, rows[0][column]) {
				fitted = append(fitted, cell) // to be wrapped
			} else if shown[column] {
				fitted = append(fitted, Truncate(cell, least[column]))
			}
		}
		fitting = append(fitting, fitted)
	}
	for _, heading := range dispensable {
		if column := slices.Index(rows[0], heading); column >= 0 && !shown[column] {
			omitted = append(omitted, heading)
		}
	}
	return fitting, omitted
}

// WrapLast wraps the last column so that lines are at most width wide.
func WrapLast(rows [][]string, width int) [][]string {
	if width == 0 || len(rows) == 0 {
		return rows
	}
	kept := withoutEmptyColumns(rows)
	last := len(kept[0]) - 1
	left := width
	for _, widest := range columnWidths(kept)[:last] {
		left -= widest + 2
	}
	var wrapped [][]string
	for _, row := range kept {
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

// PrintPainted is PrintTable with a function that paints each aligned line.
func (s *IO) PrintPainted(rows [][]string, paint func(line string) Painted) error {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range withoutEmptyColumns(inertRows(rows)) {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	width, _ := SizeOf(s.Out)
	for line := range strings.Lines(b.String()) {
		if err := s.Out.Printf("%s\n", paint(Truncate(strings.TrimRight(line, " \n"), width))); err != nil {
			return err
		}
	}
	return nil
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
