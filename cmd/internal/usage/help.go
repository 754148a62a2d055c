package usage

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/cli"
)

// MaxWidth is the width of help, unless the terminal is narrower.
const MaxWidth = 80

// Group makes c a command that only has subcommands: by itself, it shows its help. names are
// those of the subcommands: if called is one of them, no other is constructed.
func Group[A any](a A, called string, c *cobra.Command, names string, subcommands ...func(A) *cobra.Command) *cobra.Command {
	c.Args, c.RunE = NoSuchCommand, func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	if at := slices.Index(strings.Fields(names), called); at >= 0 {
		subcommands = subcommands[at : at+1]
	}
	for _, construct := range subcommands {
		c.AddCommand(construct(a))
	}
	return c
}

// ExitHelp lists a command's exit statuses for its help, in few lines.
func ExitHelp(statuses ...int) string {
	var items []string
	for _, status := range statuses {
		items = append(items, fmt.Sprintf("%d %s", status, cli.ExitMeanings[status]))
	}
	lines := []string{"Exit statuses:"}
	for i, item := range items {
		if i < len(items)-1 {
			item += ","
		}
		if last := len(lines) - 1; utf8.RuneCountInString(lines[last])+1+len(item) <= MaxWidth {
			lines[last] += " " + item
			continue
		}
		lines = append(lines, "  "+item)
	}
	return strings.Join(lines, "\n")
}

// MoreFlags is the annotation of a command with the topic that explains its other flags.
const MoreFlags = "more flags"
