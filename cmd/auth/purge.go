package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/records"
)

// checkPurge refuses a purge that would make keys unusable, and otherwise asks for
// confirmation.
func checkPurge(ctx context.Context, a *app.App, cfg *config.Config, profiles []config.Profile, opts logoutOptions) error {
	what := ""
	if opts.All {
		if err := checkPeppers(ctx, a, cfg); err != nil {
			return err
		}
		what = "every login and setting of fob on this machine"
		if names := cfg.SecretNames(); len(names) > 0 {
			what += fmt.Sprintf(", and %s that others issued (%s)", cli.Plural(len(names), "secret", "secrets"), strings.Join(names, ", "))
		}
	} else {
		what = "the settings of " + profiles[0].Name
	}
	if opts.DryRun || opts.Yes {
		return nil
	}
	unasked := cli.WithHint(cli.Usagef("--purge deletes %s", what), "preview it with --dry-run, then add --yes")
	return a.Confirm(ctx, fmt.Sprintf("This revokes and deletes %s. Continue?", what), unasked)
}

// purgeAll deletes the secrets after the logins, then everything else.
func purgeAll(ctx context.Context, a *app.App, cfg *config.Config, loginsLeft, dryRun bool) (failed cli.Failures) {
	left := loginsLeft
	for _, name := range cfg.SecretNames() {
		switch {
		case loginsLeft: // they may need the same key
		case dryRun:
			a.Note("secret %s: would be deleted here; it is valid until you revoke it at its issuer.", name)
		default:
			if err := a.DeleteSecret(ctx, cfg.Secrets[name]); err != nil {
				left, failed = true, append(failed, err)
				continue
			}
			a.Note("secret %s: deleted here.", name)
		}
	}
	orphans, err := records.Orphans(ctx, a, config.Storages()...)
	for _, r := range orphans {
		a.Note("%s: without settings in config.toml, it is deleted here and not revoked.", r.Label)
		if !left && !dryRun {
			err = errors.Join(err, r.Remove(ctx, r.Storage))
		}
	}
	if errors.Is(err, credstore.ErrAbsent) {
		err = cli.WithHint(err, "run it again in a session with the keyring: without it, fob cannot delete these records")
	}
	if err != nil {
		left, failed = true, append(failed, err)
	}
	if left {
		return append(failed, cli.WithHint(errors.New("some of it was not deleted, and neither were the configuration and the keys"),
			"see the errors above, then try again; 'fob logout --all --purge --local' contacts no server"))
	}
	if err := app.Purge(ctx, a, dryRun); err != nil {
		failed = append(failed, err)
	}
	return failed
}

// checkPeppers refuses to delete peppers, without which the registry's keys cannot be
// verified.
func checkPeppers(ctx context.Context, a *app.App, cfg *config.Config) error {
	for _, storage := range config.Storages() { // they may be in any
		store, err := a.Store(storage)
		if err != nil {
			continue
		}
		size, err := store.Measure(ctx, records.PeppersContext)
		if !records.IsMissing(err) && size.Items == 0 && app.PathExists(records.PeppersLock(cfg)) {
			return fmt.Errorf("the peppers of API keys: %w", err)
		}
		if size.Items > 0 { // also if no key opens them
			return cli.WithHint(errors.New("this machine stores the peppers of API keys, and verification needs them"),
				"'fob key pepper list' shows them; 'fob key pepper remove NAME' removes one")
		}
	}
	return nil
}
