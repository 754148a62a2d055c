package cmd

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/config"
)

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return withHint(usagef("'%s' takes no argument", cmd.CommandPath()), "see '%s --help'", cmd.CommandPath())
	}
	return nil
}

// atMostProfile accepts one profile name or none.
func atMostProfile(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return withHint(usagef("'%s' takes one profile at most", cmd.CommandPath()), "see '%s --help'", cmd.CommandPath())
	}
	return checkNames(args)
}

func oneProfile(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return withHint(usagef("'%s' takes the name of one profile", cmd.CommandPath()), "see '%s --help'", cmd.CommandPath())
	}
	return checkNames(args)
}

func checkNames(names []string) error {
	for _, name := range names {
		if err := config.ValidName(name); err != nil {
			return usageOf(err)
		}
	}
	return nil
}

// exclusive refuses flags that exclude each other, as every wrong usage is refused.
func exclusive(c *cobra.Command, flags ...string) {
	before := c.PreRunE
	c.PreRunE = func(cmd *cobra.Command, args []string) error {
		if before != nil {
			if err := before(cmd, args); err != nil {
				return err
			}
		}
		var given []string
		for _, flag := range flags {
			if cmd.Flags().Changed(flag) {
				given = append(given, "--"+flag)
			}
		}
		if len(given) > 1 {
			return withHint(usagef("%s exclude each other", strings.Join(given, " and ")), "see '%s --help'", cmd.CommandPath())
		}
		return nil
	}
}

const hintEmpty = "give it a value, or leave it out; in a script, see whether the variable is set"

// refuseEmpty refuses flags that narrow what is meant or what is accepted, and are given
// without a value: with an unset variable in a script they would mean everything.
func refuseEmpty(c *cobra.Command, flags ...string) {
	before := c.PreRunE
	c.PreRunE = func(cmd *cobra.Command, args []string) error {
		for _, name := range flags {
			flag := cmd.Flags().Lookup(name)
			if flag.Changed && strings.TrimSpace(flag.Value.String()) == "" {
				return withHint(usagef("--%s is empty", name), hintEmpty)
			}
		}
		if before != nil {
			return before(cmd, args)
		}
		return nil
	}
}
