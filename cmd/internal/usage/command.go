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
// A field's value is the flag's default, and its tags are
//
//	flag      NAME or NAME,SHORTHAND
//	help      the description, with the value's name in braces
//	values    the only valid values
//	not       flags that cannot be combined with this one
//	required  the hint of the error if the flag has no value
//	empty     "refused": an empty value, as of an unset variable in a script, is an error
//
// Embedded structs may have more flags, and a FlagSet registers its own.
func Command[A, O any](a A, c *cobra.Command, options O, run func(ctx context.Context, a A, args []string, options O) error, exits ...int) *cobra.Command {
	if len(exits) > 0 {
		c.Long += "\n\n" + ExitHelp(exits...)
	}
	fields := reflect.ValueOf(&options).Elem()
	addFlags(c, fields)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if err := checkFlags(cmd, fields); err != nil {
			return err
		}
		return run(cmd.Context(), a, args, options)
	}
	return c
}

// FlagSet is a field of an options struct that registers its flags itself.
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
		help := strings.ReplaceAll(strings.ReplaceAll(field.Tag.Get("help"), "{", "`"), "}", "`")
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
		if values := strings.Fields(field.Tag.Get("values")); len(values) > 0 {
			_ = c.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
		}
	}
}

// checkFlags checks the flags that were given, or must be.
func checkFlags(c *cobra.Command, options reflect.Value) error {
	for field, value := range options.Fields() {
		if field.Anonymous {
			if err := checkFlags(c, value); err != nil {
				return err
			}
		}
		name, _, _ := strings.Cut(field.Tag.Get("flag"), ",")
		if hint := field.Tag.Get("required"); hint != "" && value.IsZero() {
			return cli.WithHint(cli.Usagef("--%s is required", name), "%s", hint)
		}
		if !c.Flags().Changed(name) {
			continue
		}
		for _, other := range strings.Fields(field.Tag.Get("not")) {
			if c.Flags().Changed(other) {
				return wrong(c, "--%s and --%s cannot be combined", other, name)
			}
		}
		given, _ := value.Interface().([]string)
		if text, ok := value.Interface().(string); ok {
			given = []string{text}
		}
		if err := checkValues(field.Tag, name, given); err != nil {
			return err
		}
	}
	return nil
}

func checkValues(tag reflect.StructTag, name string, given []string) error {
	values := strings.Fields(tag.Get("values"))
	for _, value := range given {
		if tag.Get("empty") == "refused" && strings.TrimSpace(value) == "" {
			return cli.WithHint(cli.Usagef("--%s is empty", name), HintEmpty)
		}
		if len(values) > 0 && !slices.Contains(values, value) {
			_, what, _ := strings.Cut(strings.ToLower(tag.Get("help")), "{")
			what, _, _ = strings.Cut(what, "}")
			return cli.WithHint(cli.Usagef("unknown %s %q", what, sanitize.Line(value)), "choose one of %s", strings.Join(values, ", "))
		}
	}
	return nil
}

// JSONFlag is the flag of commands that print data.
type JSONFlag struct {
	JSON bool `flag:"json" help:"print JSON"`
}

// NoFlags are the options of a command without flags.
type NoFlags struct{}
