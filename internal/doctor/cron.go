package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"

	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/sanitize"
)

// ExamineUnderCron lets a child that has a cron job's view make the checks.
func ExamineUnderCron(ctx context.Context, a *app.App, names []string) ([]Finding, error) {
	if _, err := a.Paths(); err != nil {
		return nil, err
	}
	cfg, err := a.Config()
	if err != nil {
		cfg = &config.Config{} // the child finds that
	} else if _, err := app.ProfilesNamed(cfg, names); err != nil {
		return nil, err
	}
	explainCron(a)
	a.Progress("Running the checks...")
	out, complaints, err := a.RunUnderCron(ctx, append([]string{"doctor", "--json", "--"}, names...)...)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	var report Report
	if err == nil || errors.As(err, new(*exec.ExitError)) { // what was found makes it exit with 1, too
		err = json.Unmarshal(out, &report)
	}
	if err != nil {
		_ = a.Err.Print(string(complaints))
		return nil, fmt.Errorf("running fob as a cron job would: %w", err)
	}
	cron := app.New(a.In, a.Out.Raw(), a.Err.Raw(), app.CronEnviron(a.Environ))
	return sayCronCannot(report.Findings, func(profile string) bool {
		name, err := cron.StorageName(cfg, cfg.Profiles[profile])
		return err == nil && name == app.StorageKeyring
	}), nil
}

// explainCron says on stderr under what conditions the findings are taken.
func explainCron(a *app.App) {
	a.Note("As a cron job has it: its own session without a terminal, SHELL=/bin/sh, PATH=/usr/bin:/bin, and of your variables only %s.", strings.Join(app.CronVariables, ", "))
	var needed, withheld []string
	for _, name := range app.FolderVariables {
		if value := a.Getenv(name); value != "" {
			needed = append(needed, name+"="+sanitize.Line(value))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(a.Environ)) {
		if strings.HasPrefix(name, "FOB_") && !slices.Contains(app.FolderVariables, name) && a.Getenv(name) != "" {
			withheld = append(withheld, sanitize.Line(name))
		}
	}
	if len(needed) > 0 {
		a.Note("These were kept, and must be set in the crontab too: %s", strings.Join(needed, " "))
	}
	if len(withheld) > 0 {
		a.Note("These are set here, and a cron job does not have them: %s", strings.Join(withheld, ", "))
	}
}

// sayCronCannot gives the logins that a cron job cannot read, since it reaches no
// keyring or has no key, the words and the way out that are cron's.
func sayCronCannot(findings []Finding, inKeyring func(profile string) bool) []Finding {
	const (
		toFile = "keep the login in an encrypted file, which a key file opens (key_file in config.toml): 'fob storage migrate --to file'"
		toKey  = "give cron the key: key_file in config.toml names a file that holds it, or FOB_PASSPHRASE_FILE in the crontab"
	)
	broken := func(check string) bool {
		return slices.ContainsFunc(findings, func(f Finding) bool { return f.Check == check && f.State == Problem })
	}
	noKeyring, noKey := broken(keyringCheck), broken(fileKeyCheck)
	for i := range findings {
		f := &findings[i]
		switch keyring := inKeyring(f.Profile); {
		case f.State != Problem:
		case f.Check == fileKeyCheck:
			f.Fix = toKey
		case f.Check == loginCheck && keyring && noKeyring:
			f.Detail, f.Fix = "cron cannot reach the keyring: "+f.Detail, toFile
		case f.Check == loginCheck && !keyring && noKey:
			f.Detail, f.Fix = "cron cannot open the encrypted file: "+f.Detail, toKey
		}
	}
	return findings
}
