package cmd

import (
	"strings"

	"github.com/spf13/cobra"

	cmdauth "github.com/fobcli/fob/cmd/auth"
	"github.com/fobcli/fob/cmd/internal/usage"
)

// settingsGroups are the flags of 'login' and 'profile set' that few need.
var settingsGroups = []struct {
	title string
	flags []string
}{
	{"How the client proves itself:", []string{
		"token-endpoint-auth-method", "client-assertion-audience", "private-key-file", "certificate-file", "certificate-key-file",
	}},
	{"A machine's identity in the place of a login:", []string{"identity", "identity-audience", "audience"}},
	{"A server that has no metadata:", []string{
		"authorization-endpoint", "token-endpoint", "revocation-endpoint", "userinfo-endpoint", "device-authorization-endpoint",
	}},
	{"Where 'fob helper' may show the tokens:", []string{
		"git-host", "git-username", "docker-registry", "docker-username", "kubernetes-server",
	}},
}

// newSettingsCmd is the page behind 'fob help settings'. Its text is made when it is
// asked for: it costs as much as a seventh of fob's start.
func newSettingsCmd() *cobra.Command {
	c := &cobra.Command{Use: "settings", Short: "What else a login can be told", Args: usage.NoArgs}
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
	b.WriteString("The settings of a profile that few need. 'fob login' and 'fob profile set' take\nthem; config.toml has them as identity, token_endpoint, git_hosts and so on.")
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
