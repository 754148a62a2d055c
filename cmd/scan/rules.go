package scan

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	appkeys "github.com/fobcli/fob/internal/app/keys"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/leakscan"
)

type rulesOptions struct {
	Format string   `flag:"format" values:"gitleaks betterleaks trufflehog github" help:"{SCANNER}: gitleaks, betterleaks, trufflehog, github"`
	Brands []string `flag:"brand" empty:"refused" help:"add this {BRAND}; repeatable"`
}

func NewRules(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "rules",
		Short: "Print rules for other secret scanners",
		Long: `Print rules for the configured brand, and for those of --brand, in the format of
gitleaks, betterleaks or TruffleHog, or as the fields of a custom pattern for GitHub's
secret scanning.`,
		Example: `  fob rules --format gitleaks >.gitleaks.toml
  fob rules --format trufflehog --brand acme`,
		Args: usage.NoArgs,
	}, rulesOptions{Format: "gitleaks"}, runRules, cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitInterrupted)
}

func runRules(_ context.Context, a *app.App, _ []string, opts rulesOptions) error {
	configured, err := appkeys.Format(a)
	if err != nil {
		return err
	}
	text, err := leakscan.Rules(opts.Format, append([]string{configured.Brand}, opts.Brands...))
	if err != nil {
		return cli.AsUsage(err)
	}
	_, err = fmt.Fprint(a.Out.Raw(), text)
	return err
}
