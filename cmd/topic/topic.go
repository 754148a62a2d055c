// Package topic contains the pages of 'fob help' that belong to no command.
package topic

import (
	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
)

// All returns the topics in alphabetical order.
func All() []*cobra.Command {
	return []*cobra.Command{
		page("choose", "Which one do I need: an API key, or OAuth?", chooseText),
		page("config", "The settings of config.toml", configText),
		page("destinations", "Where keys and secrets can be delivered", destinationsText()),
		page("environment", "The environment variables that fob reads", environmentText()),
		page("exit-codes", "What the exit status means", exitCodesText()),
		page("files", "Where fob stores its files", filesText),
		page("scripting", "How to use fob in scripts", scriptingText),
	}
}

func page(use, short, long string) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Long: long, Args: usage.NoArgs}
}
