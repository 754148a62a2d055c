// Package usage checks how commands are called: arguments, flags, and what help says of both.
package usage

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
)

func NoArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return cli.WithHint(cli.Usagef("'%s' takes no argument", cmd.CommandPath()), "see '%s --help'", cmd.CommandPath())
	}
	return nil
}

// AtMostProfile accepts one profile name or none.
func AtMostProfile(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return cli.WithHint(cli.Usagef("'%s' takes one profile at most", cmd.CommandPath()), "see '%s --help'", cmd.CommandPath())
	}
	return CheckNames(args)
}

func OneProfile(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return cli.WithHint(cli.Usagef("'%s' takes the name of one profile", cmd.CommandPath()), "see '%s --help'", cmd.CommandPath())
	}
	return CheckNames(args)
}

func CheckNames(names []string) error {
	for _, name := range names {
		if err := config.CheckName(name); err != nil {
			return cli.AsUsage(err)
		}
	}
	return nil
}

// Exclusive refuses flags that exclude each other, as every wrong usage is refused.
func Exclusive(c *cobra.Command, flags ...string) {
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
			return cli.WithHint(cli.Usagef("%s exclude each other", strings.Join(given, " and ")), "see '%s --help'", cmd.CommandPath())
		}
		return nil
	}
}

const HintEmpty = "give it a value, or leave it out; in a script, see whether the variable is set"

// RefuseEmpty refuses flags that narrow what is meant or what is accepted, and are given
// without a value: with an unset variable in a script they would mean everything.
func RefuseEmpty(c *cobra.Command, flags ...string) {
	before := c.PreRunE
	c.PreRunE = func(cmd *cobra.Command, args []string) error {
		for _, name := range flags {
			flag := cmd.Flags().Lookup(name)
			if flag.Changed && strings.TrimSpace(flag.Value.String()) == "" {
				return cli.WithHint(cli.Usagef("--%s is empty", name), HintEmpty)
			}
		}
		if before != nil {
			return before(cmd, args)
		}
		return nil
	}
}

// RecordArgs accepts profiles, and secrets as secret/NAME.
func RecordArgs(_ *cobra.Command, args []string) error {
	for _, arg := range args {
		if name, isSecret := strings.CutPrefix(arg, app.SecretReference); isSecret {
			if err := config.CheckSecretName(name); err != nil {
				return cli.AsUsage(err)
			}
		} else if err := CheckNames([]string{arg}); err != nil {
			return err
		}
	}
	return nil
}
