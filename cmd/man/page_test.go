package man

import (
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// A line that starts with a dot would be a request of roff's, a backslash an escape.
func TestRoffShowsALineAsItIs(t *testing.T) {
	for text, want := range map[string]string{
		".fob.toml":   `\&.fob.toml`,
		"'fob token'": `\&\(aqfob token\(aq`,
		"--json":      `\-\-json`,
		`a\b`:         `a\eb`,
		"ID…":         `ID\[u2026]`,
		"`~^":         `\(ga\(ti\(ha`,
	} {
		if got := escape(text); got != want {
			t.Errorf("%q is %q", text, got)
		}
	}
}

func TestPage(t *testing.T) {
	root := &cobra.Command{Use: "fob"}
	c := &cobra.Command{Use: "x", Short: "Do it", Run: func(*cobra.Command, []string) {}}
	root.AddCommand(c)
	help := "Do it well.\n\nExit statuses: 0 done,\n  1 failed\n\nUsage: fob x [flags]\n\nExamples:\n  fob x --now\n\nFlags:\n  --now   at once\n"
	want := `.TH "FOB\-X" 1 2026-09-21 "fob dev" "fob manual"
.SH NAME
fob\-x \- Do it
.SH DESCRIPTION
Do it well.
.SH EXIT STATUSES
.EX
0 done,
  1 failed
.EE
.SH USAGE
fob x [flags]
.SH EXAMPLES
.EX
  fob x \-\-now
.EE
.SH FLAGS
.EX
  \-\-now   at once
.EE
.SH SEE ALSO
\fBfob\fP(1)
`
	if got := page(c, help, time.Unix(1_790_000_000, 0)); got != want {
		t.Errorf("%s", got)
	}
	if topic := (&cobra.Command{Use: "files", Long: "Where."}); section(topic) != "" {
		root.AddCommand(topic)
		if section(topic) != "7" || !strings.HasPrefix(page(topic, "Where.", time.Time{}), `.TH "FOB\-FILES" 7`) {
			t.Error(page(topic, "Where.", time.Time{}))
		}
	}
}
