package topic

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
)

// Config is the page for 'fob help config'.
func Config() *cobra.Command {
	return page("config", "The settings of config.toml", `config.toml contains profiles and other settings, and no secrets. 'fob help files'
shows where it is; FOB_CONFIG overrides that. Commands such as 'fob login' and 'fob
profile set' edit it, and preserve your comments and the order.

'fob help config --all' lists every setting with its type and default, and
'fob help config --schema' prints a JSON Schema for editors.

  default = "work"           # the profile to use where none is named
  storage = "file"           # where new logins and secrets are stored

  [profile.work]
  issuer = "https://sso.example.com"
  client_id = "fob-cli"
  scopes = ["openid", "orders:read"]

  [keys]
  brand = "acme"             # what every API key starts with
  registry = "postgres://fob@db.example.com/keys"

  [secret."stripe/prod"]
  to = ["github:acme/shop#STRIPE_KEY"]
  expires = 2027-01-31`)
}

// Settings lists every setting of config.toml with its type and default.
func Settings() string {
	var b strings.Builder
	table := ""
	for _, s := range config.Settings() {
		if s.Table != table {
			table = s.Table
			fmt.Fprintf(&b, "\n[%s]\n", table)
		}
		doc := s.Type + ": " + s.Doc
		if s.Default != "" {
			doc += " (default: " + s.Default + ")"
		}
		const column = 33
		fmt.Fprintf(&b, "  %-*s%s\n", column-2, s.Key, strings.Join(cli.Wrap(doc, 80-column), "\n"+strings.Repeat(" ", column)))
	}
	return b.String()
}
