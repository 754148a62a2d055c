package cmd

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	cmdauth "github.com/fobcli/fob/cmd/auth"
	"github.com/fobcli/fob/cmd/internal/usage"
	cmdman "github.com/fobcli/fob/cmd/man"
	"github.com/fobcli/fob/cmd/topic"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
)

// setHelp gives all commands the same form of help: text, usage, examples, subcommands,
// flags.
func setHelp(a *app.App, root *cobra.Command) {
	root.SetHelpFunc(func(c *cobra.Command, _ []string) {
		width, _ := cli.SizeOf(a.Out)
		fmt.Fprintln(c.OutOrStdout(), helpText(c, min(cmp.Or(width, usage.MaxWidth), usage.MaxWidth), a.StyleOf(a.Out)))
	})
}

func newHelpCmd() *cobra.Command {
	var all, schema bool
	c := &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "Explain a command or a topic",
		Long:    "Explain a command, as --help does, or a topic.\n\n" + usage.ExitHelp(cli.ExitDone, cli.ExitUsage),
		Example: "  fob help key create\n  fob help choose",
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			var names []string
			if c, rest, err := cmd.Root().Find(args); err == nil && len(rest) == 0 {
				for _, sub := range c.Commands() {
					names = append(names, cobra.CompletionWithDesc(sub.Name(), sub.Short))
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			c, rest, err := cmd.Root().Find(args)
			if err != nil {
				return err
			}
			if len(rest) > 0 {
				return usage.UnknownCommand(c, rest[0], usage.HelpOn)
			}
			switch out := cmd.OutOrStdout(); {
			case (all || schema) && c.Name() != "config":
				return cli.WithHint(cli.Usagef("--all and --schema are for 'fob help config'"), "leave them out")
			case all && schema:
				return cli.WithHint(cli.Usagef("--all and --schema cannot be combined"), "see 'fob help --help'")
			case all:
				_, err = io.WriteString(out, topic.Settings())
			case schema:
				_, err = out.Write(config.Schema())
			default:
				c.InitDefaultVersionFlag()
				err = c.Help()
			}
			return err
		},
	}
	c.Flags().BoolVar(&all, "all", false, "with config: list every setting with its type and default")
	c.Flags().BoolVar(&schema, "schema", false, "with config: print a JSON Schema for editors")
	return c
}

func manual() cmdman.Manual {
	return cmdman.Manual{Root: Root, Help: func(c *cobra.Command) string { return helpText(c, usage.MaxWidth, cli.Style{}) }}
}

func helpText(c *cobra.Command, width int, on cli.Style) string {
	hideFlags(c)
	var parts []string
	add := func(title, text string) {
		if text = strings.TrimRight(text, "\n"); text == "" {
			return
		}
		if title != "" {
			text = string(on.Bold(title)) + "\n" + text
		}
		parts = append(parts, text)
	}
	add("", cli.Reflow(cmp.Or(c.Long, c.Short), width))
	switch {
	case c.HasAvailableSubCommands():
		add("", fmt.Sprintf("%s %s COMMAND [flags]\n       %s COMMAND --help", on.Bold("Usage:"), c.CommandPath(), c.CommandPath()))
	case c.Runnable():
		add("", string(on.Bold("Usage:"))+" "+c.UseLine())
	}
	add("Examples:", c.Example)
	for _, g := range c.Groups() {
		add(g.Title, listCommands(c, g.ID))
	}
	add("Commands:", listCommands(c, ""))
	add("Topics, for 'fob help':", listTopics(c, width))
	if c.HasAvailableLocalFlags() {
		add("Flags:", flagList(c, width))
	}
	add("", c.Annotations[usage.MoreFlags])
	return strings.Join(parts, "\n\n")
}

// flagList returns pflag's list wrapped for a width, without the column of short names if
// no flag has one.
func flagList(c *cobra.Command, width int) string {
	const gap = "   " // between a name and its text
	list := "\n" + c.LocalFlags().FlagUsages()
	if !strings.Contains(list, "\n  -") {
		list = strings.ReplaceAll(list, "\n    ", "\n")
	}
	var b strings.Builder
	for line := range strings.Lines(list[1:]) {
		line = strings.TrimRight(line, "\n")
		name := len(line) - len(strings.TrimLeft(line, " "))
		_, text, _ := strings.Cut(line[name:], gap)
		text = strings.TrimLeft(text, " ")
		column := len(line) - len(text)
		b.WriteString(line[:column] + strings.Join(cli.Wrap(text, width-column), "\n"+strings.Repeat(" ", column)) + "\n")
	}
	return b.String()
}

// hideFlags hides the flags that every command has, and those with their own page.
func hideFlags(c *cobra.Command) {
	hidden := []string{"help", "version"}
	if c.Annotations[usage.MoreFlags] != "" {
		for _, group := range settingsGroups {
			hidden = append(hidden, group.flags...)
		}
	}
	for _, name := range hidden {
		if flag := c.Flags().Lookup(name); flag != nil {
			flag.Hidden = true
		}
	}
}

func listCommands(c *cobra.Command, group string) string {
	var b strings.Builder
	for _, sub := range c.Commands() {
		if sub.GroupID == group && sub.IsAvailableCommand() {
			fmt.Fprintf(&b, "  %-*s  %s\n", sub.NamePadding(), sub.Name(), sub.Short)
		}
	}
	return b.String()
}

func listTopics(c *cobra.Command, width int) string {
	var names []string
	for _, sub := range c.Commands() {
		if sub.IsAdditionalHelpTopicCommand() {
			names = append(names, sub.Name())
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "  " + strings.Join(cli.Wrap(strings.Join(names, ", "), width-2), "\n  ")
}

// settingsGroups are rarely needed flags of 'login' and 'profile set'.
var settingsGroups = []struct {
	title string
	flags []string
}{
	{"Client authentication, TLS and tokens:", []string{
		"token-endpoint-auth-method", "client-assertion-audience", "private-key-file", "certificate-file", "certificate-key-file", "ca-file", "dpop", "trusted-audience",
	}},
	{"Extensions of the protocol:", []string{"dpop", "via", "authorization-details"}},
	{"A machine's identity instead of a login:", []string{"identity", "identity-audience", "audience"}},
	{"The redirect URI, and endpoints of a server without metadata:", []string{
		"redirect-uri", "authorization-endpoint", "token-endpoint", "revocation-endpoint", "userinfo-endpoint", "device-authorization-endpoint",
	}},
	{"Hosts that 'fob helper' may send the tokens to:", []string{
		"git-host", "git-username", "docker-registry", "docker-username", "kubernetes-server",
	}},
}

// newSettingsCmd is the page for 'fob help settings'. Its text is only built on demand,
// because that takes a seventh of fob's start-up time.
func newSettingsCmd() *cobra.Command {
	c := &cobra.Command{Use: "settings", Short: "Settings of a login that few need", Args: usage.NoArgs}
	c.SetHelpFunc(func(c *cobra.Command, args []string) {
		c.Long = settingsText()
		c.Root().HelpFunc()(c, args)
	})
	return c
}

func settingsText() string {
	var all cobra.Command
	new(cmdauth.ProfileFlags).Register(&all)
	var b strings.Builder
	b.WriteString("Less common settings of a profile, for 'fob login' and 'fob profile set'. In\nconfig.toml they are named identity, token_endpoint, git_hosts and so on.")
	for _, group := range settingsGroups {
		b.WriteString("\n\n" + group.title + "\n")
		var some cobra.Command
		for _, name := range group.flags {
			some.Flags().AddFlag(all.Flags().Lookup(name))
		}
		some.Flags().SortFlags = false
		b.WriteString(strings.TrimRight(flagList(&some, usage.MaxWidth), "\n"))
	}
	return b.String()
}
