package scan

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	appkeys "github.com/fobcli/fob/internal/app/keys"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/leakscan"
)

func NewRules(a *app.App) *cobra.Command {
	var format string
	var brands []string
	c := &cobra.Command{
		Use:   "rules",
		Short: "Print rules for other secret scanners",
		Long: `Print rules for the configured brand, and for those of --brand, in the format of
gitleaks, betterleaks or TruffleHog, or as the fields of a custom pattern for GitHub's
secret scanning.

` + usage.ExitHelp(cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitInterrupted),
		Example: `  fob rules --format gitleaks >.gitleaks.toml
  fob rules --format trufflehog --brand acme`,
		Args: usage.NoArgs,
		RunE: func(*cobra.Command, []string) error { return runRules(a, format, brands) },
	}
	c.Flags().StringVar(&format, "format", "gitleaks", "`SCANNER`: "+strings.Join(leakscan.Formats(), ", "))
	c.Flags().StringArrayVar(&brands, "brand", nil, "add this `BRAND`; repeatable")
	_ = c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(leakscan.Formats(), cobra.ShellCompDirectiveNoFileComp))
	return c
}

func runRules(a *app.App, format string, brands []string) error {
	configured, err := appkeys.Format(a)
	if err != nil {
		return err
	}
	text, err := leakscan.Rules(format, append([]string{configured.Brand}, brands...))
	if err != nil {
		return cli.AsUsage(err)
	}
	_, err = fmt.Fprint(a.Out.Raw(), text)
	return err
}
