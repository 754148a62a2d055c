package usage

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/sanitize"
)

// Command completes a command: its flags are the fields of an options struct, with which run
// is called, and its help ends with the exit statuses.
//
// A flag's field has the tags flag:"NAME" or flag:"NAME,SHORTHAND", and help, which has the
// value's name in braces. What is in the field is the default. RefuseEmpty applies to a field
// with the tag empty:"refused", and Exclusive to each flag that the tag not names. The tag
// values lists the only values of a flag. Embedded structs may have further flags, and a FlagSet
// adds its own.
func Command[A, O any](a A, c *cobra.Command, options O, run func(ctx context.Context, a A, args []string, options O) error, exits ...int) *cobra.Command {
	if len(exits) > 0 {
		c.Long += "\n\n" + ExitHelp(exits...)
	}
	addFlags(c, reflect.ValueOf(&options).Elem())
	c.RunE = func(cmd *cobra.Command, args []string) error { return run(cmd.Context(), a, args, options) }
	return c
}

// FlagSet is a field of an options struct whose flags are in a table of its own.
type FlagSet interface{ Register(c *cobra.Command) }

// Given reports whether a flag was given. Command sets a field of this type.
type Given func(flag string) bool

func addFlags(c *cobra.Command, options reflect.Value) {
	flags := c.Flags()
	for field, value := range options.Fields() {
		if field.Anonymous {
			addFlags(c, value)
		}
		if !field.IsExported() || field.Anonymous {
			continue
		}
		if set, ok := value.Addr().Interface().(FlagSet); ok {
			set.Register(c)
			continue
		}
		name, short, _ := strings.Cut(field.Tag.Get("flag"), ",")
		help := strings.NewReplacer("{", "`", "}", "`").Replace(field.Tag.Get("help"))
		switch to := value.Addr().Interface().(type) {
		case *Given:
			*to = flags.Changed
		case *bool:
			flags.BoolVarP(to, name, short, *to, help)
		case *string:
			flags.StringVarP(to, name, short, *to, help)
		case *[]string:
			flags.StringArrayVarP(to, name, short, *to, help)
		case *int:
			flags.IntVarP(to, name, short, *to, help)
		case *time.Duration:
			flags.DurationVarP(to, name, short, *to, help)
		default:
			panic(fmt.Sprintf("--%s cannot be a %T", name, to))
		}
		if field.Tag.Get("empty") == "refused" {
			RefuseEmpty(c, name)
		}
		for _, other := range strings.Fields(field.Tag.Get("not")) {
			Exclusive(c, other, name)
		}
		if values := strings.Fields(field.Tag.Get("values")); len(values) > 0 {
			_, what, _ := strings.Cut(field.Tag.Get("help"), "{")
			what, _, _ = strings.Cut(strings.ToLower(what), "}")
			allowOnly(c, name, what, values)
		}
	}
}

// allowOnly rejects other values of a flag, and completes these.
func allowOnly(c *cobra.Command, name, what string, values []string) {
	_ = c.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	addCheck(c, func(cmd *cobra.Command) error {
		for _, given := range given(cmd.Flags().Lookup(name)) {
			if !slices.Contains(values, given) {
				return cli.WithHint(cli.Usagef("unknown %s %q", what, sanitize.Line(given)), "choose one of %s", strings.Join(values, ", "))
			}
		}
		return nil
	})
}

// JSONFlag is the flag of commands that print data.
type JSONFlag struct {
	JSON bool `flag:"json" help:"print JSON"`
}

// NoFlags are the options of a command without flags.
type NoFlags struct{}
