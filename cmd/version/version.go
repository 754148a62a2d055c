// Package version has the command that prints fob's version.
package version

import (
	"runtime"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
)

// New returns the command 'fob version'.
func New(a *app.App) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "version",
		Short:   "Print fob's version",
		Long:    "Print fob's version.\n\n" + usage.ExitHelp(cli.ExitDone, cli.ExitUsage),
		Example: "  fob version --json",
		Args:    usage.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if asJSON {
				return a.PrintJSON(map[string]string{"version": app.Version(), "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH})
			}
			return a.Out.Printf("%s\n", app.VersionLine())
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}
