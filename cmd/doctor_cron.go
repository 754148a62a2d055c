package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"

	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/doctor"
	"github.com/fobcli/fob/internal/safetext"
)

// examineUnderCron lets a child that has a cron job's view make the checks.
func (a *app) examineUnderCron(ctx context.Context, names []string) ([]doctor.Finding, error) {
	if _, err := a.paths(); err != nil {
		return nil, err
	}
	cfg, err := a.config()
	if err != nil {
		cfg = &config.Config{} // the child finds that
	} else if _, err := profilesNamed(cfg, names); err != nil {
		return nil, err
	}
	a.explainCron()
	a.progress("Running the checks...")
	out, complaints, err := a.runUnderCron(ctx, append([]string{"doctor", "--json", "--"}, names...)...)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	var report doctor.Report
	if err == nil || errors.As(err, new(*exec.ExitError)) { // what was found makes it exit with 1, too
		err = json.Unmarshal(out, &report)
	}
	if err != nil {
		_ = a.stderr.write(string(complaints))
		return nil, fmt.Errorf("running fob as a cron job would: %w", err)
	}
	cron := newApp(a.stdin, a.stdout.raw(), a.stderr.raw(), cronEnviron(a.environ))
	return sayCronCannot(report.Findings, func(profile string) bool {
		name, err := cron.storageName(cfg, cfg.Profiles[profile])
		return err == nil && name == storageKeyring
	}), nil
}

// explainCron says on stderr under what conditions the findings are taken.
func (a *app) explainCron() {
	a.note("As a cron job has it: its own session without a terminal, SHELL=/bin/sh, PATH=/usr/bin:/bin, and of your variables only %s.", strings.Join(cronVariables, ", "))
	var needed, withheld []string
	for _, name := range folderVariables {
		if value := a.getenv(name); value != "" {
			needed = append(needed, name+"="+safetext.Line(value))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(a.environ)) {
		if strings.HasPrefix(name, "FOB_") && !slices.Contains(folderVariables, name) && a.getenv(name) != "" {
			withheld = append(withheld, safetext.Line(name))
		}
	}
	if len(needed) > 0 {
		a.note("These were kept, and must be set in the crontab too: %s", strings.Join(needed, " "))
	}
	if len(withheld) > 0 {
		a.note("These are set here, and a cron job does not have them: %s", strings.Join(withheld, ", "))
	}
}

// sayCronCannot gives the logins that a cron job cannot read, since it reaches no
// keyring or has no key, the words and the way out that are cron's.
func sayCronCannot(findings []doctor.Finding, inKeyring func(profile string) bool) []doctor.Finding {
	const (
		toFile = "keep the login in an encrypted file, which a key file opens (key_file in config.toml): 'fob storage migrate --to file'"
		toKey  = "give cron the key: key_file in config.toml names a file that holds it, or FOB_PASSPHRASE_FILE in the crontab"
	)
	broken := func(check string) bool {
		return slices.ContainsFunc(findings, func(f doctor.Finding) bool { return f.Check == check && f.State == doctor.Problem })
	}
	noKeyring, noKey := broken(keyringCheck), broken(fileKeyCheck)
	for i := range findings {
		f := &findings[i]
		switch keyring := inKeyring(f.Profile); {
		case f.State != doctor.Problem:
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
