// Package topic contains the pages of 'fob help' that belong to no command.
package topic

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/destination"
)

// All returns the topics in alphabetical order.
func All() []*cobra.Command {
	return []*cobra.Command{
		page("choose", "Which one do I need: an API key, or OAuth?", chooseText),
		page("config", "The settings of config.toml", configText),
		page("destinations", "Where keys and secrets can be delivered", destinationsText()),
		page("environment", "The environment variables that fob reads", environmentText()),
		page("exit-codes", "What the exit status means", exitCodesText()),
		page("files", "Where fob stores its files", filesText),
		page("scripting", "How to use fob in scripts", scriptingText),
	}
}

func page(use, short, long string) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Long: long, Args: usage.NoArgs}
}

func destinationsText() string {
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
	return b.String()
}

func environmentText() string {
	var b strings.Builder
	b.WriteString("The environment variables that fob reads. A flag overrides its variable, and a\nvariable overrides config.toml.\n\n")
	for _, v := range app.Variables {
		name := v.Name
		if strings.HasSuffix(name, "_") {
			name += "NAME"
		}
		b.WriteString(entry(name, v.Doc, 29))
	}
	b.WriteString(`
NAME is a profile or a secret in capitals, with _ for - and /. No program that fob
starts inherits a variable that holds a secret.

fob also reads BROWSER, NO_COLOR, SSH_ASKPASS, SOURCE_DATE_EPOCH, the XDG base
directories, the proxy variables, and those of CI systems and destinations.`)
	return b.String()
}

func exitCodesText() string {
	var b strings.Builder
	b.WriteString("The exit statuses of fob. They are the same for all commands; each command's help\nlists those that it uses.\n\n")
	for status, meaning := range cli.ExitMeanings {
		if meaning != "" {
			fmt.Fprintf(&b, "  %3d  %s\n", status, meaning)
		}
	}
	b.WriteString(`
A file or folder that you named, but that does not exist, is wrong usage.

'fob exec' and 'fob proxy' exit with the status of the program that they ran; 125
means that fob failed, 126 that the program cannot be run, 127 that it was not found.

In a script, 4 requires a new login ('fob login'); after 5 and 7, try again:

  token=$(fob token work) || case $? in
    4) echo 'log in again: fob login work' >&2; exit 1 ;;
    *) exit 1 ;;
  esac`)
	return b.String()
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
		b.WriteString(entry(s.Key, doc, 33))
	}
	return b.String()
}

// entry returns a line of a list, with the explanation from a column on.
func entry(name, explanation string, column int) string {
	lines := cli.Wrap(explanation, usage.MaxWidth-column)
	return fmt.Sprintf("  %-*s%s\n", column-2, name, strings.Join(lines, "\n"+strings.Repeat(" ", column)))
}
