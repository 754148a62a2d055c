package usage

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fobcli/fob/internal/cli"
)

// NoSuchCommand is the argument check of commands that only have subcommands: it suggests
// similar ones.
func NoSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if args[0] == "auth" && len(args) > 1 { // as in gh
		if c, _, err := cmd.Find(args[1:]); err == nil && c != cmd {
			return cli.WithHint(cli.Usagef("there is no command %q", args[0]), "did you mean '%s'?", c.CommandPath())
		}
	}
	return UnknownCommand(cmd, args[0], func(near *cobra.Command) string {
		if near.IsAdditionalHelpTopicCommand() {
			return HelpOn(near)
		}
		return near.CommandPath()
	})
}

// HelpOn returns the call that explains a command.
func HelpOn(c *cobra.Command) string {
	return c.Root().Name() + " help" + strings.TrimPrefix(c.CommandPath(), c.Root().Name())
}

func UnknownCommand(cmd *cobra.Command, word string, call func(*cobra.Command) string) error {
	err := cli.Usagef("there is no command %q", word)
	var near []string
	for _, c := range nearCommands(cmd, word) {
		near = append(near, call(c))
	}
	if len(near) == 0 {
		return cli.WithHint(err, "'%s --help' lists the commands", cmd.CommandPath())
	}
	return cli.WithHint(err, "did you mean '%s'?", strings.Join(near, "', or '"))
}

// nearCommands returns commands that a word may stand for: a subcommand with a similar
// spelling or that prefix, else those further down with this name.
func nearCommands(cmd *cobra.Command, word string) (near []*cobra.Command) {
	var names []string
	for _, sub := range cmd.Commands() {
		names = append(names, sub.Name())
	}
	nearest := nearWord(word, names)
	for _, sub := range cmd.Commands() {
		if sub.Name() == nearest || slices.Contains(sub.SuggestFor, word) {
			return []*cobra.Command{sub}
		}
		for _, below := range sub.Commands() {
			if below.Name() == word {
				near = append(near, below)
			}
		}
	}
	return near
}

// nearWord returns the known word with the nearest spelling, else the only one with that
// prefix.
func nearWord(word string, known []string) string {
	if near := cli.Nearest(word, known); near != "" || len(word) < 2 {
		return near
	}
	known = slices.DeleteFunc(slices.Clone(known), func(each string) bool { return !strings.HasPrefix(each, word) })
	if len(known) != 1 {
		return ""
	}
	return known[0]
}

// WrongFlag explains an invalid flag.
func WrongFlag(cmd *cobra.Command, err error) error {
	var unknown interface {
		GetSpecifiedName() string
		GetSpecifiedShortnames() string
	}
	if number, ok := errors.AsType[*strconv.NumError](err); ok {
		what, _, _ := strings.Cut(err.Error(), ": strconv.")
		if number.Func == "ParseBool" {
			return cli.WithHint(cli.Usagef("%s", what), "use true or false, or no value")
		}
		return cli.WithHint(cli.Usagef("%s", what), "use a number")
	}
	if strings.Contains(err.Error(), "time: ") {
		return cli.WithHint(cli.Usagef("%s", err), "write a duration with its unit: 10s, 5m, 2h")
	}
	// Both kinds of errors with these methods differ only in their text.
	if !errors.As(err, &unknown) || !strings.HasPrefix(err.Error(), "unknown ") {
		return wrong(cmd, "%s", err)
	}
	if cmd.HasSubCommands() && cmd.Flags().NArg() > 0 {
		return NoSuchCommand(cmd, cmd.Flags().Args())
	}
	word := unknown.GetSpecifiedName()
	if short := unknown.GetSpecifiedShortnames(); len(short) > 1 { // one dash before a long flag
		word = short
	}
	var names []string
	cmd.Flags().VisitAll(func(flag *pflag.Flag) { names = append(names, flag.Name) })
	if near := nearWord(word, names); near != "" {
		return cli.WithHint(cli.Usagef("%s", err), "did you mean '--%s'? See '%s --help'", near, cmd.CommandPath())
	}
	return wrong(cmd, "%s", err)
}
