package cmd

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/doctor"
)

type doctorOptions struct {
	args []string
	cron bool
	json bool
}

func newDoctorCmd(a *app) *cobra.Command {
	var opts doctorOptions
	c := &cobra.Command{
		Use:   "doctor [PROFILE...]",
		Short: "Look for what would keep fob from working here",
		Long: `Try what logins and tokens need: the storage with a record of its own, which is
deleted again, files and disks, loopback addresses, the browser's launcher, proxy
and CA settings, and of each PROFILE (default: all) its login, its issuer and the
difference of the two clocks. Nothing is refreshed, and no browser is started.

With --cron fob runs itself as a cron job would: without this terminal and with
cron's few variables. What works here may fail there, as a keyring does.

` + exitHelp(exitDone, exitFailed, exitUsage, exitInterrupted) + `

The status is 0 only if there is neither a problem nor a warning.`,
		Example: `  fob doctor
  fob doctor work --cron
  fob doctor --json`,
		Args:              func(_ *cobra.Command, args []string) error { return checkNames(args) },
		ValidArgsFunction: completionsOf(a).completeMoreProfiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.args = args
			return runDoctor(cmd.Context(), a, opts)
		},
	}
	c.Flags().BoolVar(&opts.cron, "cron", false, "take the view of a cron job on this machine")
	c.Flags().BoolVar(&opts.json, "json", false, "print JSON")
	return c
}

func runDoctor(ctx context.Context, a *app, opts doctorOptions) error {
	var findings []doctor.Finding
	var err error
	if opts.cron {
		findings, err = a.examineUnderCron(ctx, opts.args)
	} else {
		findings, err = a.examine(ctx, opts.args)
	}
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err() // what was found is a part, and may be the interruption's own doing
	}
	report := doctor.NewReport(findings)
	if opts.json {
		err = a.printJSON(report)
	} else {
		err = a.printFindings(report.Findings)
	}
	if err != nil {
		return err
	}
	if !report.OK {
		return errors.New("the doctor found " + report.Summary())
	}
	return nil
}

// profilesNamed are the profiles of the names, or all where none is named.
func profilesNamed(cfg *config.Config, names []string) ([]config.Profile, error) {
	if len(names) == 0 {
		names = cfg.Names()
	}
	var profiles []config.Profile
	for _, name := range names {
		p, _, err := cfg.Select(config.Choice{Name: name, By: config.ByArgument})
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(profiles, func(known config.Profile) bool { return known.Name == p.Name }) {
			profiles = append(profiles, p)
		}
	}
	return profiles, nil
}

// printFindings prints a table whose last column is wrapped, since a detail that is
// cut tells nothing, with each fix below what it mends.
func (a *app) printFindings(findings []doctor.Finding) error {
	heading := []string{"STATE", "CHECK", "PROFILE", "SEEN"}
	rows := [][]string{heading}
	for _, f := range findings {
		rows = append(rows, []string{string(f.State), f.Check, f.Profile, f.Detail})
		if f.Fix != "" {
			rows = append(rows, []string{"", "", "", "fix: " + f.Fix})
		}
	}
	width, _ := sizeOf(a.stdout)
	return a.printPainted(wrapLast(rows, width), func(line string) painted { return a.paintState(line) })
}

// paintState colours the state that a line begins with.
func (a *app) paintState(line string) painted {
	s := a.styleOf(a.stdout)
	for state, paint := range map[doctor.State]func(string) painted{doctor.OK: s.green, doctor.Warning: s.yellow, doctor.Problem: s.red} {
		if rest, found := strings.CutPrefix(line, string(state)+" "); found {
			return paint(string(state)) + painted(" "+rest)
		}
	}
	return painted(line)
}
