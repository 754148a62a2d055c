package secret

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/records"
	"github.com/fobcli/fob/internal/sanitize"
)

type listOptions struct {
	usage.JSONFlag
	ExitCode bool   `flag:"exit-code" help:"exit with status 3 if a secret expires soon"`
	Expiring string `flag:"expiring" empty:"refused" help:"only secrets that expire within this {TIME}, as in 30d"`
}

func newListCmd(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "list",
		Short: "List secrets, their expiry and destinations",
		Long: `List this machine's secrets, without their values. With --exit-code the status is 3 if
one expires within 14 days (or the time of --expiring), for cron.`,
		Example: `  fob secret list
  fob secret list --expiring 30d --exit-code
  fob secret list --json`,
		Args: usage.NoArgs,
	}, listOptions{}, runList, cli.ExitDone, cli.ExitUsage, cli.ExitFindings, cli.ExitInterrupted)
}

func runList(ctx context.Context, a *app.App, _ []string, opts listOptions) error {
	cfg, err := a.Config()
	if err != nil {
		return err
	}
	within := app.SecretExpiring
	if opts.Expiring != "" {
		if within, err = cli.ParseSpan(opts.Expiring); err != nil {
			return err
		}
	}
	orphans := records.WarnOfOrphans(ctx, a)
	ending := cfg.SecretsEndingBy(a.Now().Add(within))
	all := []app.SecretJSON{}
	for _, name := range cfg.SecretNames() {
		s := cfg.Secrets[name]
		if opts.Expiring == "" || slices.ContainsFunc(ending, func(e config.Secret) bool { return e.Name == name }) {
			all = append(all, a.ShownSecret(ctx, cfg, s))
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if opts.JSON {
		err = a.PrintJSON(all)
	} else if len(all) > 0 || !orphans {
		err = printSecrets(a, all, opts)
	}
	if err == nil && opts.ExitCode && len(ending) > 0 {
		err = cli.Findings(cli.Plural(len(ending), "secret", "secrets") + " expired or expiring soon")
	}
	return err
}

func printSecrets(a *app.App, all []app.SecretJSON, opts listOptions) error {
	switch {
	case len(all) == 0 && opts.Expiring != "":
		a.Note("No secret expires within %s.", opts.Expiring)
		return nil
	case len(all) == 0:
		a.Note("No secrets yet. To store one, run 'fob secret set stripe/prod'.")
		return nil
	}
	rows := [][]string{{"SECRET", "EXPIRES", "SET", "STORAGE", "DESTINATIONS", "PROBLEM"}}
	for _, s := range all {
		rows = append(rows, []string{s.Name, cli.LeftText(s.ExpiresAt, a.Now()), cli.DayText(s.SetAt), s.Storage, sanitize.Line(strings.Join(s.Destinations, " ")), sanitize.Line(s.Problem)})
	}
	return a.PrintTable(rows, "SET", "STORAGE", "DESTINATIONS")
}
