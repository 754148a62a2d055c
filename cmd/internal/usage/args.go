// Package usage checks arguments and flags, and formats help.
package usage

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/sanitize"
)

// wrong returns a usage error with the command's help as its hint.
func wrong(cmd *cobra.Command, format string, args ...any) error {
	return cli.WithHint(cli.Usagef(format, args...), "see '%s --help'", cmd.CommandPath())
}

// NoArgs accepts no argument.
func NoArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return wrong(cmd, "'%s' takes no argument", cmd.CommandPath())
	}
	return nil
}

// AtMostProfile accepts one profile name or none.
func AtMostProfile(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return wrong(cmd, "'%s' takes one profile at most", cmd.CommandPath())
	}
	return CheckNames(args)
}

// OneProfile accepts one profile name.
func OneProfile(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return wrong(cmd, "'%s' takes the name of one profile", cmd.CommandPath())
	}
	return CheckNames(args)
}

// CheckNames checks the names of profiles.
func CheckNames(names []string) error {
	for _, name := range names {
		if err := config.CheckName(name); err != nil {
			return cli.AsUsage(err)
		}
	}
	return nil
}

// HintEmpty is the hint for a flag whose value is empty.
const HintEmpty = "pass a value, or leave it out; in a script, check that the variable is set"

// RecordArgs accepts profiles, and secrets as secret/NAME.
func RecordArgs(_ *cobra.Command, args []string) error {
	for _, arg := range args {
		if name, isSecret := strings.CutPrefix(arg, config.SecretPrefix); isSecret {
			if err := config.CheckSecretName(name); err != nil {
				return cli.AsUsage(err)
			}
		} else if err := CheckNames([]string{arg}); err != nil {
			return err
		}
	}
	return nil
}

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
