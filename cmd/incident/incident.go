// Package incident is the command for the day of a compromise.
package incident

import (
	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/incident"
)

func New(a *app.App) *cobra.Command {
	var opts incident.Options
	c := &cobra.Command{
		Use:   "incident",
		Short: "Replace API keys that have leaked, everywhere",
		Long: `Take a leaked key from a prompt or stdin, or all those of a scanner's report in JSON
(gitleaks, TruffleHog, 'fob scan', GitHub's alerts). What is live is shown with all
places that it goes to. Then each key gets a successor, which is delivered there; the
leaked one ends within 30 s whatever fails; and a report in Markdown tells what
happened when, by the audit log.

A report that has an id alone, or a secret that is not that key's, can be a trick to
end a good key: such a key wants a person's yes, also with --yes.

The successor of a key that goes nowhere is printed, behind the old key's id.

` + usage.ExitHelp(cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitUnavailable, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitRefused, cli.ExitInterrupted),
		Example: `  fob incident
  fob incident <leaked.txt
  fob incident --report leaks.json`,
		Args: usage.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return incident.Run(cmd.Context(), a, opts) },
	}
	flags := c.Flags()
	flags.StringVar(&opts.Report, "report", "", "a scanner's report: a `FILE`, or - for stdin")
	flags.StringVarP(&opts.Output, "output", "o", "", "write the report to this `FILE` (incident-TIME.md)")
	flags.StringArrayVar(&opts.Brands, "brand", nil, "keys of this `BRAND` as well; repeatable")
	flags.StringArrayVar(&opts.As, "as", nil, "show the platform this login: `[PLATFORM=]PROFILE`")
	flags.BoolVarP(&opts.Yes, "yes", "y", false, "do not ask about keys that were given whole")
	flags.BoolVar(&opts.DryRun, "dry-run", false, "show the plan, and do nothing")
	flags.BoolVar(&opts.JSON, "json", false, "print keys as JSON, one object a line")
	usage.RefuseEmpty(c, "report", "output", "as")
	return c
}
