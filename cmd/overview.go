package cmd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/registry"
	"github.com/fobcli/fob/internal/safetext"
	"github.com/fobcli/fob/internal/session"
)

// firstSteps is what fob says on a machine where it has nothing yet.
const firstSteps = `fob keeps logins, API keys and secrets for scripts and machines.

  fob login github                log in, and have its tokens in scripts
  fob key create --owner shop     issue an API key of a service of your own
  fob secret set stripe/prod      keep a secret that others gave you

'fob help choose' says which one you need, 'fob --help' lists all commands.

`

// overviewPatience is how long fob without arguments waits for files: what comes later
// is left out.
const overviewPatience = 300 * time.Millisecond

// runOverview shows the state of things and what to do next. It asks no network, no
// keyring and nobody, and what cannot be read is no failure.
func runOverview(ctx context.Context, a *app) error {
	ctx, cancel := context.WithTimeout(ctx, overviewPatience)
	defer cancel()
	out := a.styleOf(a.stdout)
	cfg, err := a.config()
	if err != nil {
		a.showError(err, a.hint(err))
		return a.printNext(out, "fob doctor")
	}
	keys := a.keysAtAGlance(ctx)
	if len(cfg.Profiles)+len(cfg.Secrets) == 0 && keys == "" {
		_ = a.stdout.write(firstSteps)
		return a.printNext(out, "fob login github")
	}
	logins := a.loginsAtAGlance(ctx, cfg)
	if len(logins) > 0 {
		rows := [][]string{{"Logins", "", "", ""}}
		for _, s := range logins {
			rows = append(rows, []string{"  " + s.Profile + yesText(s.Selected, " *"), stateText(s, a.now()), s.Account.String(), s.Server})
		}
		heading := func(line string) painted {
			if line == "Logins" {
				return out.bold(line)
			}
			return painted(line)
		}
		if err := a.printPainted(rows, heading); err != nil {
			return err
		}
		_ = a.stdout.write("\n")
	}
	counts := filled([][]string{{"API keys", keys}, {"Secrets", a.secretsAtAGlance(cfg)}})
	for _, row := range counts {
		_ = a.stdout.printf("%s%s  %s\n", out.bold(row[0]), painted(strings.Repeat(" ", len("API keys")-len(row[0]))), row[1])
	}
	if len(counts) > 0 {
		_ = a.stdout.write("\n")
	}
	return a.printNext(out, a.nextStep(cfg, logins, keys != ""))
}

func (a *app) printNext(out style, command string) error {
	return a.stdout.printf("%s %s\n", out.cyan("next:"), command)
}

// loginsAtAGlance are the logins with as much of their state as is known without the
// keyring, a passphrase or a program.
func (a *app) loginsAtAGlance(ctx context.Context, cfg *config.Config) []statusJSON {
	var meant config.Choice
	if named, err := a.named(""); err == nil {
		_, meant, _ = cfg.Select(named)
	}
	var all []statusJSON
	for _, name := range cfg.Names() {
		p := cfg.Profiles[name]
		s := statusJSON{Profile: name, Server: p.WithProvider().Authority()}
		s.Storage, _ = a.storageName(cfg, p)
		if ctx.Err() == nil && a.readsQuietly(cfg, p, s.Storage) {
			if known, err := await(ctx, func() (statusJSON, error) { return a.keptStatus(ctx, cfg, p) }); err == nil {
				s = known
			}
		}
		s.choose(meant)
		all = append(all, s)
	}
	return all
}

// readsQuietly reports whether a login can be looked at and nobody be asked for it.
func (a *app) readsQuietly(cfg *config.Config, p config.Profile, storage string) bool {
	if given, _ := a.givenVariable(p.Name); given != "" || storage == storageEnv || showsIdentity(p) {
		return true
	}
	return storage == storageFile && a.fileKey(cfg).name != passphraseSource
}

// stateText is a login's state in the words of somebody who has not read the manual.
func stateText(s statusJSON, now time.Time) string {
	switch s.State {
	case "":
		return "kept in the " + s.Storage
	case session.StateExpired, session.StateEnded:
		return "login needed"
	case session.StateLoggedOut, session.StateUnreadable:
		return string(s.State)
	}
	switch {
	case !s.LoginExpiresAt.IsZero():
		return "logged in, ends " + leftText(s.LoginExpiresAt, now)
	case !s.ExpiresAt.IsZero():
		return "logged in, token ends " + leftText(s.ExpiresAt, now)
	}
	return "logged in"
}

// mostCounted is how many keys are counted before that takes too long.
const mostCounted = 10_000

// keysAtAGlance counts the keys of a registry on this machine; empty where there is none.
func (a *app) keysAtAGlance(ctx context.Context) string {
	dsn, _, err := a.registryName()
	switch {
	case err != nil:
		return ""
	case registry.IsShared(dsn):
		return "in a registry that machines share"
	}
	text, err := await(ctx, func() (string, error) { return countKeys(ctx, dsn, a.now()) })
	switch {
	case errors.Is(err, apikey.ErrNoRegistry):
		return ""
	case err != nil:
		return "in a registry that did not open just now"
	}
	return text
}

func countKeys(ctx context.Context, dsn string, now time.Time) (string, error) {
	r, err := registry.Open(ctx, dsn, false)
	if err != nil {
		return "", err
	}
	defer func() { _ = r.Close() }()
	count, active := 0, 0
	for record, err := range r.Keys(ctx, apikey.Filter{}) {
		if err != nil {
			return "", err
		}
		if count++; count > mostCounted {
			return fmt.Sprintf("more than %d", mostCounted), nil
		}
		if record.State(now) == apikey.Active {
			active++
		}
	}
	return fmt.Sprintf("%d, %d active", count, active), nil
}

func (a *app) secretsAtAGlance(cfg *config.Config) string {
	if len(cfg.Secrets) == 0 {
		return ""
	}
	ending := a.endingSecrets(cfg, secretExpiring)
	switch {
	case len(ending) == 0:
		return fmt.Sprint(len(cfg.Secrets))
	case ending[0].Expires.After(a.now()):
		return fmt.Sprintf("%d, %s ends %s", len(cfg.Secrets), ending[0].Name, leftText(ending[0].Expires, a.now()))
	}
	return fmt.Sprintf("%d, %s has ended", len(cfg.Secrets), ending[0].Name)
}

// nextStep is the one command that helps most: first what has ended, then what is there.
func (a *app) nextStep(cfg *config.Config, logins []statusJSON, keys bool) string {
	for _, s := range logins {
		switch s.State {
		case session.StateExpired, session.StateEnded, session.StateLoggedOut:
			return "fob login " + s.Profile
		case session.StateUnreadable:
			return "fob status " + s.Profile
		}
	}
	if ending := a.endingSecrets(cfg, secretExpiring); len(ending) > 0 {
		return "fob secret rotate " + safetext.Line(ending[0].Name)
	}
	switch {
	case len(logins) == 1 && logins[0].State != "":
		return "fob token " + logins[0].Profile
	case len(logins) > 0:
		return "fob status"
	case keys:
		return "fob key list"
	}
	return "fob secret list"
}
