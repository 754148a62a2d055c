// Package man prints and installs the man pages.
package man

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/cli"
)

// Manual is the content of the pages.
type Manual struct {
	Root func() *cobra.Command         // with all commands and topics
	Help func(c *cobra.Command) string // the text of a page
}

// New returns 'fob man'.
func New(a *app.App, m Manual) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "man [COMMAND]",
		Short: "Print or install fob's man pages",
		Long: `Print the man page of a command or a topic, or install all of them. Packages install
them already; SOURCE_DATE_EPOCH sets their date.`,
		Example: `  fob man key create | man -l -
  fob man --install ~/.local/share/man`,
	}, options{}, m.run, cli.ExitDone, cli.ExitFailed, cli.ExitUsage)
}

type options struct {
	Install string `flag:"install" empty:"refused" help:"write all pages below this {FOLDER}"`
}

func (m Manual) run(_ context.Context, a *app.App, args []string, opts options) error {
	date := a.Now()
	if epoch, err := strconv.ParseInt(a.Getenv("SOURCE_DATE_EPOCH"), 10, 64); err == nil {
		date = time.Unix(epoch, 0)
	}
	if opts.Install != "" {
		return m.install(a, date, opts.Install)
	}
	c, rest, err := m.Root().Find(args)
	if err == nil && len(rest) > 0 {
		err = usage.UnknownCommand(c, rest[0], usage.HelpOn)
	}
	if err != nil {
		return err
	}
	return a.Out.Print(page(c, m.Help(c), date))
}

// install writes all pages below a folder such as /usr/share/man.
func (m Manual) install(a *app.App, date time.Time, folder string) error {
	count := 0
	for all := []*cobra.Command{m.Root()}; len(all) > 0; all = all[1:] {
		c := all[0]
		all = append(all, c.Commands()...)
		section := section(c)
		if section == "" {
			continue
		}
		path := filepath.Join(folder, "man"+section, pageName(c)+"."+section)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), atomicfile.WriteMode(path, []byte(page(c, m.Help(c), date)), 0o644)); err != nil {
			return err
		}
		count++
	}
	a.Note("Installed %s below %s. Try: man fob", cli.Plural(count, "page", "pages"), folder)
	return nil
}
