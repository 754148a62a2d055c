package usage

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/cli"
)

// MaxWidth is the width of help, unless the terminal is narrower.
const MaxWidth = 80

// Group makes c a command that only has subcommands: by itself, it shows its help.
func Group(c *cobra.Command, subcommands ...*cobra.Command) *cobra.Command {
	c.Args, c.RunE = NoSuchCommand, func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	c.AddCommand(subcommands...)
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
