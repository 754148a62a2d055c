package man

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/app"
)

// section returns 1 for commands and 7 for topics of 'fob help', or "" for no page.
func section(c *cobra.Command) string {
	switch {
	case c.IsAdditionalHelpTopicCommand():
		return "7"
	case c.IsAvailableCommand():
		return "1"
	}
	return ""
}

func pageName(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

// page returns a command's help in roff. The same date gives the same bytes.
func page(c *cobra.Command, help string, date time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH \"%s\" %s %s \"fob %s\" \"fob manual\"\n", escape(strings.ToUpper(pageName(c))), section(c), date.UTC().Format(time.DateOnly), escape(app.Version()))
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n.SH DESCRIPTION\n", escape(pageName(c)), escape(c.Short))
	between := "" // roff request between parts, none after a section header
	for part := range strings.SplitSeq(strings.Trim(help, "\n"), "\n\n") {
		if title, text, found := cutTitle(part); found {
			fmt.Fprintf(&b, ".SH %s\n", escape(strings.ToUpper(title)))
			part, between = text, ""
		}
		b.WriteString(between)
		between = ".PP\n"
		if strings.Contains("\n"+part, "\n ") || strings.Contains("\n"+part, "\n\t") {
			b.WriteString(".EX\n" + lines(strings.ReplaceAll(part, "\t", "  ")) + ".EE\n")
		} else {
			b.WriteString(lines(part))
		}
	}
	if c.HasParent() {
		fmt.Fprintf(&b, ".SH SEE ALSO\n\\fB%s\\fP(%s)\n", escape(pageName(c.Parent())), section(c.Parent()))
	}
	return b.String()
}

// cutTitle splits off the title of a part of the help, on its own line or before the text.
func cutTitle(part string) (title, text string, found bool) {
	for _, known := range []string{"Usage:", "Exit statuses:"} {
		if text, found := strings.CutPrefix(part, known); found {
			return strings.TrimSuffix(known, ":"), strings.TrimLeft(text, " \n"), true
		}
	}
	title, text, _ = strings.Cut(part, "\n")
	title, found = strings.CutSuffix(title, ":")
	return title, text, found && !strings.HasPrefix(title, " ") && strings.HasPrefix(text, "  ")
}

func lines(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(escape(strings.TrimRight(line, "\n")) + "\n")
	}
	return b.String()
}

// escape escapes a line so that it is shown unchanged and can be copied from the page.
func escape(line string) string {
	var b strings.Builder
	if line != "" && strings.ContainsRune(".'", rune(line[0])) {
		b.WriteString(`\&`)
	}
	special := map[rune]string{'\\': `\e`, '-': `\-`, '\'': `\(aq`, '"': `\(dq`, '`': `\(ga`, '^': `\(ha`, '~': `\(ti`}
	for _, r := range line {
		switch escaped := special[r]; {
		case escaped != "":
			b.WriteString(escaped)
		case r >= utf8.RuneSelf:
			fmt.Fprintf(&b, `\[u%04X]`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
