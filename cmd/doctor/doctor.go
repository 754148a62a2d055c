// Package doctor is the command that examines this machine.
package doctor

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/doctor"
)

type doctorOptions struct {
	Cron bool `flag:"cron" help:"check what a cron job on this machine can use"`
	Fix  bool `flag:"fix" not:"cron" help:"rebuild lost settings from stored records"`
	Yes  bool `flag:"yes" help:"do not ask for confirmation"`
	usage.JSONFlag
}

func New(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "doctor [PROFILE...]",
		Short: "Find what keeps fob from working here",
		Long: `Check what logins and tokens need: storage, files and disks, loopback addresses, the
browser, proxy and CA settings, the registry of API keys, and for each PROFILE (default:
all) its login, its issuer and the clock. fob tests the storage by writing, reading and
deleting a record. Nothing is refreshed, and no browser is started.

With --cron the checks run as in a cron job: without a terminal and with cron's few
variables. A keyring, for example, may work here and fail there. If config.toml was lost,
--fix rebuilds the profiles and secrets in it from what is stored, after it has listed them
and asked: one that you removed may have come back with an old copy of fob's folder.

` + usage.ExitHelp(cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitInterrupted) + `

The status is 0 only if there is neither a problem nor a warning.`,
		Example: `  fob doctor
  fob doctor work --cron
  fob doctor --json`,
		Args: func(_ *cobra.Command, args []string) error { return usage.CheckNames(args) },
	}, doctorOptions{}, runDoctor)
}

func runDoctor(ctx context.Context, a *app.App, args []string, opts doctorOptions) error {
	var findings []doctor.Finding
	var err error
	if opts.Cron {
		findings, err = doctor.ExamineUnderCron(ctx, a, args)
	} else {
		findings, err = doctor.Examine(ctx, a, args, opts.Fix, opts.Yes)
	}
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err() // the findings are incomplete, and the interruption may have caused some
	}
	report := doctor.NewReport(findings)
	if opts.JSON {
		err = a.PrintJSON(report)
	} else {
		err = printFindings(a, report.Findings)
	}
	if err != nil {
		return err
	}
	if !report.OK {
		return errors.New("found " + report.Summary())
	}
	return nil
}

// printFindings prints a table with each fix below its problem.
func printFindings(a *app.App, findings []doctor.Finding) error {
	rows := [][]string{{"STATE", "CHECK", "PROFILE", "RESULT"}}
	for _, f := range findings {
		rows = append(rows, []string{string(f.State), f.Check, f.Profile, f.Detail})
		if f.Fix != "" {
			rows = append(rows, []string{"", "", "", "fix: " + f.Fix})
		}
	}
	return a.PrintTable(rows)
}
