// Package topic contains the pages of 'fob help' that belong to no command.
package topic

import (
	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
)

// All returns the topics in alphabetical order.
func All() []*cobra.Command {
	return []*cobra.Command{Choose(), Config(), Destinations(), Environment(), ExitCodes(), Files(), Scripting()}
}

func page(use, short, long string) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Long: long, Args: usage.NoArgs}
}
