package topic

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
)

// Environment is the page for 'fob help environment'.
func Environment() *cobra.Command {
	var b strings.Builder
	b.WriteString("The environment variables that fob reads. A flag overrides its variable, and a\nvariable overrides config.toml.\n\n")
	for _, v := range app.Variables {
		name := v.Name
		if strings.HasSuffix(name, "_") {
			name += "NAME"
		}
		const column = 29
		fmt.Fprintf(&b, "  %-*s%s\n", column-2, name, strings.Join(cli.Wrap(v.Doc, 80-column), "\n"+strings.Repeat(" ", column)))
	}
	b.WriteString(`
NAME is a profile or a secret in capitals, with _ for - and /. No program that fob
starts inherits a variable that holds a secret.

fob also reads BROWSER, NO_COLOR, SSH_ASKPASS, SOURCE_DATE_EPOCH, the XDG base
directories, the proxy variables, and those of CI systems and destinations.`)
	return page("environment", "The environment variables that fob reads", b.String())
}
