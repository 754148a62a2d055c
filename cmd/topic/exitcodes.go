package topic

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/cli"
)

// ExitCodes is the page for 'fob help exit-codes'.
func ExitCodes() *cobra.Command {
	var b strings.Builder
	b.WriteString("The exit statuses of fob. They are the same for all commands; each command's help\nlists those that it uses.\n\n")
	for _, status := range slices.Sorted(maps.Keys(cli.ExitMeanings)) {
		fmt.Fprintf(&b, "  %3d  %s\n", status, cli.ExitMeanings[status])
	}
	b.WriteString(`
A file or folder that you named, but that does not exist, is wrong usage.

'fob exec' and 'fob proxy' exit with the status of the program that they ran; 125
means that fob failed, 126 that the program cannot be run, 127 that it was not found.

In a script, 4 requires a new login ('fob login'); after 5 and 7, try again:

  token=$(fob token work) || case $? in
    4) echo 'log in again: fob login work' >&2; exit 1 ;;
    *) exit 1 ;;
  esac`)
	return page("exit-codes", "What the exit status means", b.String())
}
