package topic

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/destination"
)

// Destinations is the page for 'fob help destinations'.
func Destinations() *cobra.Command {
	var b strings.Builder
	b.WriteString("A destination is a place that fob delivers a key or a secret to, and keeps\nup to date from then on: 'fob key create --to', 'fob secret push --to'.\n\n")
	for _, kind := range destination.Kinds() {
		fmt.Fprintf(&b, "  %s\n      %s\n", kind.Usage, kind.About)
	}
	b.WriteString(`
fob authenticates with the credential in the platform's usual variable, named
above, or with a login: --as work for all platforms, --as github=work for one.
In config.toml:

  [destination]
  as = { github = "token/work", gitlab = "secret/gitlab" }
  url = { gitlab = "https://git.example.com" }   # your own server
  dotenv_roots = ["/srv/web"]   # the default is the working directory

  [commands]
  deploy = ["/usr/local/bin/put-secret", "web"]  # exec:deploy

--dry-run shows what would be set where, and contacts no platform.`)
	return page("destinations", "Where keys and secrets can be delivered", b.String())
}
