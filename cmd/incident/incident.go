// Package incident contains the command that replaces leaked keys.
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
		Short: "Replace leaked API keys",
		Long: `Read a leaked key from a prompt or stdin, or all keys in a scanner's report
(gitleaks, betterleaks, TruffleHog, ggshield, detect-secrets, 'fob scan', GitHub's
alerts, SARIF). Each live key gets a replacement, which is delivered to all its
destinations, or printed after the old key's id if it has none. The leaked key is
revoked within 30 s, even if a delivery fails. A Markdown report lists what happened when,
according to the audit log. If fob was interrupted, run the same command again.

Any other value is compared with the stored secrets and logins: fob names a secret,
revokes a login after confirmation, and names the service of a well-known token.

A report that has only a key's id, or another secret, may be forged to get a good key
revoked. Such keys are replaced only after interactive confirmation, even with --yes.

` + usage.ExitHelp(cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitUnavailable, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitRefused, cli.ExitInterrupted),
		Example: `  fob incident
  fob incident <leaked.txt
  fob incident --report leaks.json`,
		Args: usage.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return incident.Run(cmd.Context(), a, opts) },
	}
	flags := c.Flags()
	flags.StringVar(&opts.Report, "report", "", "a scanner's report: `FILE`, or - for stdin")
	flags.StringVarP(&opts.Output, "output", "o", "", "write the report to `FILE` (default incident-TIME.md)")
	flags.StringArrayVar(&opts.Brands, "brand", nil, "also replace keys of this `BRAND`; repeatable")
	flags.StringArrayVar(&opts.As, "as", nil, "login for the platform: `[PLATFORM=]PROFILE`")
	flags.BoolVarP(&opts.Yes, "yes", "y", false, "do not ask about keys that are proven to be leaked")
	flags.BoolVar(&opts.DryRun, "dry-run", false, "show what would be done, and do nothing")
	flags.BoolVar(&opts.Force, "force", false, "take over from another fob that is still running")
	flags.BoolVar(&opts.JSON, "json", false, "print keys as JSON, one object per line")
	usage.RefuseEmpty(c, "report", "output", "as")
	return c
}
