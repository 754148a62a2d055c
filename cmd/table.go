package cmd

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/fobcli/fob/internal/safetext"
	"github.com/fobcli/fob/internal/session"
)

// printTable writes aligned rows to stdout. Where a terminal is too narrow, the columns
// with the dispensable headings go, one by one, and the last one that stays is wrapped.
func (s *streams) printTable(rows [][]string, dispensable ...string) error {
	width, _ := sizeOf(s.stdout)
	kept, gone := fitColumns(withoutEmptyColumns(inertRows(rows)), width, dispensable)
	if err := s.printPainted(wrapLast(kept, width), func(line string) painted { return painted(line) }); err != nil {
		return err
	}
	if len(gone) > 0 {
		s.note("There is no room here for %s; --json has it all.", strings.Join(gone, ", "))
	}
	return nil
}

// fitColumns leaves out dispensable columns until the rows fit a width; 0 is wide
// enough. A last column that is not dispensable may be as narrow as wrapping allows.
func fitColumns(rows [][]string, width int, dispensable []string) (kept [][]string, gone []string) {
	for _, heading := range dispensable {
		if width == 0 || len(rows) == 0 {
			break
		}
		widths := columnWidths(rows)
		last := len(widths) - 1
		if !slices.Contains(dispensable, rows[0][last]) {
			widths[last] = min(widths[last], narrowest)
		}
		needed := 2 * last
		for _, w := range widths {
			needed += w
		}
		column := slices.Index(rows[0], heading)
		if needed <= width {
			break
		}
		if column < 0 {
			continue
		}
		gone = append(gone, heading)
		shorter := make([][]string, len(rows))
		for i, row := range rows {
			shorter[i] = slices.Delete(slices.Clone(row), column, column+1)
		}
		rows = shorter
	}
	return rows, gone
}

// narrowest is the width below which text is not wrapped any more.
const narrowest = 20

// wrapLast breaks the last column of a table so that its lines are at most width
// wide.
func wrapLast(rows [][]string, width int) [][]string {
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
		for i, line := range wrap(row[last], max(left, narrowest)) {
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

// columnWidths are the columns' widest cells, in characters.
func columnWidths(rows [][]string) []int {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for column, cell := range row {
			widths[column] = max(widths[column], utf8.RuneCountInString(cell))
		}
	}
	return widths
}

// printPainted is printTable with a last touch to each line, once it is aligned.
func (s *streams) printPainted(rows [][]string, paint func(line string) painted) error {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range withoutEmptyColumns(inertRows(rows)) {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	width, _ := sizeOf(s.stdout)
	for line := range strings.Lines(b.String()) {
		if err := s.stdout.printf("%s\n", paint(cut(strings.TrimRight(line, " \n"), width))); err != nil {
			return err
		}
	}
	return nil
}

// withoutEmptyColumns drops the columns that have nothing below their heading.
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

// filled leaves out the rows whose second cell is empty.
func filled(rows [][]string) [][]string {
	return slices.DeleteFunc(rows, func(row []string) bool { return row[1] == "" })
}

// inert makes each cell of a row harmless.
func inert(cells ...string) []string {
	for i, cell := range cells {
		cells[i] = safetext.Line(cell)
	}
	return cells
}

// yesText is a text where something is so, else nothing.
func yesText(is bool, text string) string {
	if !is {
		return ""
	}
	return text
}

// cut shortens a line to width characters; 0 leaves it whole.
func cut(line string, width int) string {
	runes := []rune(line)
	if width == 0 || len(runes) <= width {
		return line
	}
	return string(runes[:width-1]) + "…"
}

// wrap breaks a text between words, and words that are too long, into lines of at most
// width characters; 0 leaves it whole.
func wrap(text string, width int) []string {
	if width <= 0 {
		return []string{text}
	}
	var words []string
	for _, word := range strings.Fields(text) {
		for part := range slices.Chunk([]rune(word), width) {
			words = append(words, string(part))
		}
	}
	return fill(words, width)
}

// fold breaks lines that are wider than a terminal between words; 0 leaves them whole. One
// that is indented stays as it is, and so does a word that is too long, such as a URL: it
// is there to be copied.
func fold(text string, width int) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if width > 0 && shownWidth(line) > width && !strings.HasPrefix(line, " ") {
			lines[i] = strings.Join(fill(strings.Split(line, " "), width), "\n")
		}
	}
	return strings.Join(lines, "\n")
}

// fill puts words on lines, one at least, of at most width characters if the words let it.
func fill(words []string, width int) []string {
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

// shownWidth is how many characters of a text are shown: those of its colours are not.
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

// account is a session.Account that is safe to show.
type account session.Account

func newAccount(a session.Account) account {
	return account{Subject: safetext.Line(a.Subject), Name: safetext.Line(a.Name), Email: safetext.Line(a.Email)}
}

func (a account) String() string {
	switch {
	case a.Name != "" && a.Email != "":
		return a.Name + " <" + a.Email + ">"
	case a.Email != "":
		return a.Email
	case a.Name != "":
		return a.Name
	}
	return a.Subject
}

func utcSeconds(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

// untilText shows a time and how far it is.
func untilText(t, now time.Time) string {
	if t.IsZero() {
		return ""
	}
	return fmt.Sprintf("%s (%s)", timeText(t), leftText(t, now))
}

// leftText shows how far a time is.
func leftText(t, now time.Time) string {
	switch left := t.Sub(now); {
	case t.IsZero():
		return ""
	case left <= 0:
		return "over"
	default:
		return "in " + roughly(left)
	}
}

// roughly writes a duration in the one unit that says most.
func roughly(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", int(d.Hours())/24)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	}
	return fmt.Sprintf("%d s", int(d.Seconds()))
}

func countText(n int) string {
	if n == 0 {
		return "–"
	}
	return strconv.Itoa(n)
}

// plural counts things in words.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
