// Package version has the command that prints fob's version.
package version

import (
	"context"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
)

// New returns the command 'fob version'.
func New(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:     "version",
		Short:   "Print fob's version",
		Long:    "Print fob's version.",
		Example: "  fob version --json",
		Args:    usage.NoArgs,
	}, usage.JSONFlag{}, run, cli.ExitDone, cli.ExitUsage)
}

func run(_ context.Context, a *app.App, _ []string, opts usage.JSONFlag) error {
	if opts.JSON {
		return a.PrintJSON(map[string]string{"version": app.Version(), "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH})
	}
	return a.Out.Printf("%s\n", app.VersionLine())
}
