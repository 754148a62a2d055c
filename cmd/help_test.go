package cmd

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
)

// commandTree is every command of fob's, and every help topic.
func commandTree(t *testing.T) []*cobra.Command {
	t.Helper()
	root := newRootCmd(app.New(strings.NewReader(""), &strings.Builder{}, &strings.Builder{}, nil), nil)
	all := []*cobra.Command{root}
	for i := 0; i < len(all); i++ {
		all = append(all, all[i].Commands()...)
	}
	if len(all) < 50 {
		t.Fatalf("only %d commands", len(all))
	}
	return all
}

// helpOf is what --help prints of a command, without a terminal.
func helpOf(t *testing.T, c *cobra.Command) string {
	t.Helper()
	var b strings.Builder
	c.SetOut(&b)
	if err := c.Help(); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func TestHelpFitsAScreen(t *testing.T) {
	const rows = 42
	for _, c := range commandTree(t) {
		c.InitDefaultHelpFlag()
		lines := strings.Split(helpOf(t, c), "\n")
		if len(lines) > rows {
			t.Errorf("'%s --help' has %d lines", c.CommandPath(), len(lines))
		}
		for _, line := range lines {
			if utf8.RuneCountInString(strings.ReplaceAll(line, "\t", "        ")) > usage.MaxWidth {
				t.Errorf("'%s --help' is too wide: %s", c.CommandPath(), line)
			}
		}
	}
}

// On a narrow terminal, what is no example and no table is broken anew.
func TestHelpOfANarrowTerminal(t *testing.T) {
	const narrow = 50
	c := &cobra.Command{
		Use: "x", Long: strings.Repeat("some words\nof text ", 9) + "\n\n  as it stands: " + strings.Repeat("x", narrow),
		Run: func(*cobra.Command, []string) {},
	}
	c.Flags().String("flag", "", "a `NAME` with a text that has to be broken for so narrow a terminal")
	kept := 0
	for line := range strings.Lines(helpText(c, narrow, cli.Style{})) {
		switch {
		case strings.HasPrefix(line, "  as it stands: "):
			kept++
		case len(line) > narrow+len("\n"):
			t.Errorf("too wide: %s", line)
		}
	}
	if kept != 1 {
		t.Error("an indented line was changed")
	}
}

// Each command says what its exit statuses are, but for those that only have others
// below them.
func TestHelpNamesExitStatuses(t *testing.T) {
	for _, c := range commandTree(t) {
		if c.HasSubCommands() || !c.Runnable() || strings.Contains(c.CommandPath(), " completion") {
			continue
		}
		if help := helpOf(t, c); !strings.Contains(help, "Exit statuses:") || !strings.Contains(help, "Examples:") {
			t.Errorf("'%s --help' lacks its exit statuses or an example", c.CommandPath())
		}
	}
}

// The page 'fob help settings' and the flags are one list.
func TestSettingsAreFlags(t *testing.T) {
	for _, c := range commandTree(t) {
		if c.Annotations[usage.MoreFlags] == "" {
			continue
		}
		for _, group := range settingsGroups {
			for _, name := range group.flags {
				if c.Flags().Lookup(name) == nil {
					t.Errorf("'%s' has no --%s", c.CommandPath(), name)
				}
			}
		}
	}
}

// A call of a subcommand, such as 'fob key verify', finds it, and makes no other of 'fob key'.
func TestEachSubcommandIsMadeByItsName(t *testing.T) {
	names := 0
	for _, parent := range Root().Commands() {
		for _, c := range parent.Commands() {
			a := app.New(strings.NewReader(""), &strings.Builder{}, &strings.Builder{}, nil)
			made, _, err := newRootCmd(a, []string{parent.Name(), c.Name()}).Find([]string{parent.Name(), c.Name()})
			if err != nil || made.CommandPath() != c.CommandPath() {
				t.Errorf("%q makes %q, %v", c.CommandPath(), made.CommandPath(), err)
			}
			if names++; parent.Name() == "key" && len(made.Parent().Commands()) != 1 {
				t.Errorf("a call of %q makes %d commands", c.CommandPath(), len(made.Parent().Commands()))
			}
		}
	}
	if names < 30 {
		t.Errorf("%d subcommands", names)
	}
}

// A call makes the command that it names, and no other.
func TestEachCommandIsMadeByItsName(t *testing.T) {
	a := app.New(strings.NewReader(""), &strings.Builder{}, &strings.Builder{}, nil)
	for _, g := range groups() {
		for _, c := range g.commands {
			made := newRootCmd(a, []string{c.name, "--help"})
			if found, _, err := made.Find([]string{c.name}); err != nil || found.Name() != c.name {
				t.Errorf("%q makes %q, %v", c.name, found.Name(), err)
			}
			for _, other := range made.Commands() {
				if name := other.Name(); name != c.name && name != "help" && name != "completion" {
					t.Errorf("a call of %s makes %s too", c.name, name)
				}
			}
		}
	}
}
