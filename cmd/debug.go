package cmd

import (
	"slices"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/trace"
)

// addDebug gives every command --debug, which is FOB_DEBUG=1 for one call.
func addDebug(root *cobra.Command, a *app.App) {
	on := !slices.Contains([]string{"", "0", "false"}, a.Getenv("FOB_DEBUG"))
	root.PersistentFlags().BoolVar(&on, "debug", on, "show requests, storage, locks and caches on stderr, without secrets (FOB_DEBUG=1)")
	_ = root.PersistentFlags().MarkHidden("debug") // every page would show it
	root.PersistentPreRun = func(cmd *cobra.Command, _ []string) {
		if on {
			cmd.SetContext(trace.With(cmd.Context(), func(line string) { a.Note("debug: %s", line) }))
		}
	}
}
