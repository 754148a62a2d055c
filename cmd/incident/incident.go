// Package incident contains the command that replaces leaked keys.
package incident

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/incident"
)

func New(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
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
revoked. Such keys are replaced only after interactive confirmation, even with --yes.`,
		Example: `  fob incident
  fob incident <leaked.txt
  fob incident --report leaks.json`,
		Args: usage.NoArgs,
	}, incident.Options{}, run, cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitUnavailable, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitRefused, cli.ExitInterrupted)
}

func run(ctx context.Context, a *app.App, _ []string, opts incident.Options) error {
	return incident.Run(ctx, a, opts)
}
