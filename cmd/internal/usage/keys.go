package usage

import (
	"slices"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/sanitize"
)

// checkKeyIDs rejects arguments that are not ids, in particular whole keys: those are now
// in the shell's history and were in the list of processes.
func checkKeyIDs(ids []string) error {
	for _, id := range ids {
		if apikey.CheckID(id) == nil {
			continue
		}
		if apikey.LooksLikeKey(id) || len(id) >= 20 {
			return cli.WithHint(cli.Usagef("an API key was passed as an argument: it is now in the shell's history, and other users could read it in the process list"),
				"use the key's id, or pass the key on stdin: 'fob key verify <FILE'. Replace this key: 'fob key rotate ID --compromised', and delete the line from the history")
		}
		return cli.WithHint(cli.Usagef("%q is not a key id: an id has 12 letters and digits", sanitize.Line(id)), "'fob key list' shows the ids")
	}
	return nil
}

func KeyIDs(atLeast int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < atLeast {
			return cli.WithHint(cli.Usagef("'%s' takes the id of a key", cmd.CommandPath()), "'fob key list' shows the ids")
		}
		return checkKeyIDs(args)
	}
}

func OneKeyID(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return wrong(cmd, "'%s' takes the id of one key", cmd.CommandPath())
	}
	return KeyIDs(1)(cmd, args)
}

// NoKeyArgs is NoArgs for commands that may be called with a key by mistake.
func NoKeyArgs(cmd *cobra.Command, args []string) error {
	if slices.ContainsFunc(args, func(arg string) bool { return apikey.LooksLikeKey(arg) || len(arg) >= 20 }) {
		return checkKeyIDs(args)
	}
	return NoArgs(cmd, args)
}
