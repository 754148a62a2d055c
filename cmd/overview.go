package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/registry"
	"github.com/fobcli/fob/internal/app"
	appkeys "github.com/fobcli/fob/internal/app/keys"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/records"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/session"
)

// firstSteps is printed on a machine without any logins, keys and secrets.
const firstSteps = `fob stores logins, API keys and secrets for scripts and machines.

  fob login github                log in, and use its tokens in scripts
  fob key create --owner shop     issue an API key of a service of your own
  fob secret set stripe/prod      store a secret that others issued to you

'fob help choose' explains which one you need, 'fob --help' lists all commands.

`

// overviewTimeout bounds the reading of files by fob without arguments, and the counting of
// keys. Later results are omitted. registryTimeout bounds the search for unfinished changes.
const (
	overviewTimeout = 300 * time.Millisecond
	registryTimeout = 2 * time.Second
)

// runOverview prints the state and what to do next. It queries no servers, does not prompt,
// and omits what cannot be read.
func runOverview(ctx context.Context, a *app.App) error {
	out := a.StyleOf(a.Out)
	cfg, err := a.Config()
	if err != nil {
		a.ShowError(err, a.Hint(err))
		return printNextStep(a, out, "fob doctor")
	}
	_, err = a.Profile(nil)
	if selected, ok := errors.AsType[*config.SelectError](err); ok && selected.Choice.Name != "" {
		a.ShowError(err, a.Hint(err))
	}
	keys, resume := overviewKeys(ctx, a, overviewTimeout)
	ctx, cancel := context.WithTimeout(ctx, overviewTimeout)
	defer cancel()
	empty := len(cfg.Profiles)+len(cfg.Secrets) == 0
	if empty && (credstore.KeyringReachable(a.Getenv) != nil || !credstore.KeyringMayAsk(a.Getenv)) && records.WarnOfOrphans(ctx, a) {
		return printNextStep(a, out, "fob doctor")
	}
	if empty && keys == "" {
		_ = a.Out.Print(firstSteps)
		return printNextStep(a, out, "fob login github")
	}
	logins := app.QuickStatuses(ctx, a, cfg)
	if len(logins) > 0 {
		rows := [][]string{{"Logins", "", "", ""}}
		for _, s := range logins {
			rows = append(rows, []string{"  " + s.Profile + cli.TextIf(s.Selected, " *"), s.Summary(a.Now()), s.Account.String(), s.Server})
		}
		heading := func(column int, cell string) cli.Painted {
			if column == 0 && cell == "Logins" {
				return out.Bold(cell)
			}
			return cli.Painted(cell)
		}
		if err := a.PrintPainted(rows, heading); err != nil {
			return err
		}
		_ = a.Out.Print("\n")
	}
	counts := cli.WithoutEmptyValues([][]string{{"API keys", keys}, {"Secrets", overviewSecrets(a, cfg)}})
	for _, row := range counts {
		_ = a.Out.Printf("%s%s  %s\n", out.Bold(row[0]), cli.Painted(strings.Repeat(" ", len("API keys")-len(row[0]))), row[1])
	}
	if len(counts) > 0 {
		_ = a.Out.Print("\n")
	}
	return printNextStep(a, out, cmp.Or(resume, nextStep(a, cfg, logins, keys != "")))
}

func printNextStep(a *app.App, out cli.Style, command string) error {
	return a.Out.Printf("%s %s\n", out.Cyan("next:"), command)
}

// overviewKeys returns the number of keys in this machine's registry, or "" without one, and
// the command that finishes what was interrupted. It counts keys for a limited time.
func overviewKeys(ctx context.Context, a *app.App, limit time.Duration) (text, resume string) {
	dsn, _, err := appkeys.RegistryName(a)
	switch {
	case err != nil:
		return "", ""
	case registry.IsShared(dsn):
		return "in a shared registry", ""
	}
	ctx, cancel := context.WithTimeout(ctx, registryTimeout)
	defer cancel()
	counts, err := cli.Await(ctx, func() (appkeys.Counts, error) { return appkeys.Count(ctx, dsn, a.Now(), limit) })
	switch {
	case errors.Is(err, apikey.ErrNoRegistry):
		return "", ""
	case err != nil && ctx.Err() != nil:
		return "unavailable: the registry has not responded in time", "fob doctor"
	case err != nil:
		return "unavailable: the registry cannot be opened", "fob doctor"
	case counts.Stopped:
		text = fmt.Sprintf("not counted within %g s", limit.Seconds())
	case counts.All > appkeys.MaxCounted:
		text = fmt.Sprintf("more than %d", appkeys.MaxCounted)
	default:
		text = fmt.Sprintf("%d, %d active", counts.All, counts.Active)
	}
	if counts.Unfinished > 0 {
		text += fmt.Sprintf(", %s unfinished", cli.Plural(counts.Unfinished, "rotation", "rotations"))
		resume = "fob key rotate --resume"
	}
	if counts.Pending > 0 {
		text += fmt.Sprintf(", %s unfinished", cli.Plural(counts.Pending, "revocation", "revocations"))
		resume = "fob key revoke --resume"
	}
	return text, resume
}

func overviewSecrets(a *app.App, cfg *config.Config) string {
	ending := cfg.SecretsEndingBy(a.Now().Add(app.SecretExpiring))
	switch {
	case len(cfg.Secrets) == 0:
		return ""
	case len(ending) == 0:
		return fmt.Sprint(len(cfg.Secrets))
	}
	return fmt.Sprintf("%d, %s %s", len(cfg.Secrets), ending[0].Name, cli.ExpiryText(ending[0].Expires, a.Now()))
}

// nextStep returns the most useful command: first for what has ended, then by what exists.
func nextStep(a *app.App, cfg *config.Config, logins []app.LoginStatus, keys bool) string {
	for _, s := range logins {
		switch s.State {
		case session.StateUnreadable:
			return "fob doctor " + s.Profile
		case session.StateExpired, session.StateEnded, session.StateLoggedOut:
			if s.Storage == config.StorageNone { // no login helps
				return "fob status " + s.Profile
			}
			return "fob login " + s.Profile
		}
	}
	if ending := cfg.SecretsEndingBy(a.Now().Add(app.SecretExpiring)); len(ending) > 0 {
		return "fob secret rotate " + sanitize.Line(ending[0].Name)
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
