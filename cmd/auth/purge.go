package auth

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fobcli/fob/internal/agent"
	"github.com/fobcli/fob/internal/apikey/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/records"
	"github.com/fobcli/fob/internal/session"
)

// confirmPurge asks before what cannot be taken back.
func confirmPurge(ctx context.Context, a *app.App, cfg *config.Config, profiles []config.Profile, all bool) error {
	var names []string
	for _, p := range profiles {
		names = append(names, p.Name)
	}
	what := "the settings of " + strings.Join(names, ", ")
	if all {
		what = "every login and setting of fob on this machine" + secretsText(cfg)
	}
	unasked := cli.WithHint(cli.Usagef("--purge deletes %s", what), "see what it would do with --dry-run, then give --yes")
	return a.Confirm(ctx, fmt.Sprintf("This ends and deletes %s. Go on?", what), unasked)
}

// secretsText counts and names the secrets that a purge takes.
func secretsText(cfg *config.Config) string {
	names := cfg.SecretNames()
	if len(names) == 0 {
		return ""
	}
	return fmt.Sprintf(", and %s that others issued (%s)", cli.Plural(len(names), "secret", "secrets"), strings.Join(names, ", "))
}

// purgeSecrets deletes all secrets, as a purge does after it has asked and once the
// logins are gone.
func purgeSecrets(ctx context.Context, a *app.App, cfg *config.Config, dryRun bool) (kept bool, failed cli.Failures) {
	for _, name := range cfg.SecretNames() {
		if dryRun {
			a.Note("secret %s: would be deleted here; its issuer honours it until you end it there.", name)
			continue
		}
		if err := a.DeleteSecret(ctx, cfg.Secrets[name]); err != nil {
			kept, failed = true, append(failed, err)
			continue
		}
		a.Note("secret %s: deleted here.", name)
	}
	return kept, failed
}

// remainingLock returns the empty lock file beside the configuration, if there is one. It
// stays: another fob may wait for it, and would then lock a file that nobody else sees.
func remainingLock(configFile string) string {
	lock := config.LockFile(configFile)
	if _, err := os.Lstat(lock); err != nil {
		return ""
	}
	return ", and the empty lock file " + lock
}

// purge deletes what is left of fob when every login has ended. Where one is left, all
// stays that it needs.
func purge(ctx context.Context, a *app.App, kept, dryRun bool) error {
	paths, err := a.Paths()
	if err != nil {
		return err
	}
	if dryRun {
		runRemovers(ctx, a, dryRun)
		a.Note("would delete %s, and what fob has in %s and %s.", paths.Config, paths.Data, paths.Cache)
		if path := ownRegistry(paths); path != "" {
			a.Note("would leave the registry of the API keys that you have issued: %s.", path)
		}
		return nil
	}
	if kept {
		return cli.WithHint(errors.New("some of it is left, and with it the configuration and the keys"),
			"see above, then try again; 'fob logout --all --purge --local' asks no server")
	}
	runRemovers(ctx, a, dryRun)
	purgeAgent(ctx, a, paths)
	if err := errors.Join(usage.Spool{Dir: paths.Cache}.Remove(), os.RemoveAll(app.ApprovalsDir(paths)), session.RemoveFiles(paths), credstore.RemoveData(paths.Data)); err != nil {
		return err
	}
	if a.Getenv("FOB_CONFIG") != "" {
		a.Note("%s stays: FOB_CONFIG names it.", paths.Config)
	} else if err := os.Remove(paths.Config); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if path := ownRegistry(paths); path != "" {
		a.Note("The registry of the API keys that you have issued stays: %s. Delete it by hand if no service needs it.", path)
		return nil
	}
	a.Note("Nothing of fob is left on this machine but the program%s.", remainingLock(paths.Config))
	return nil
}

func runRemovers(ctx context.Context, a *app.App, dryRun bool) {
	for _, remove := range a.Removers {
		remove(ctx, dryRun)
	}
}

// purgeAgent ends the agent of these files, and deletes what one leaves.
func purgeAgent(ctx context.Context, a *app.App, paths config.Paths) {
	path := filepath.Join(paths.Runtime, app.AgentSocketName)
	if _, err := agent.Ask(ctx, path, agent.Request{Do: agent.DoStop}, app.NoteLine(a)); err == nil {
		a.Note("The agent has ended.")
	}
	forward := filepath.Join(paths.Runtime, app.ForwardSocketName)
	if _, err := agent.Ask(ctx, forward, agent.Request{Do: agent.DoStatus}, app.NoteLine(a)); err == nil {
		a.Note("'fob agent forward' still runs, and has nothing to give: end it with Ctrl-C.")
	}
	agent.RemoveLock(path)
	agent.RemoveLock(forward)
	_ = os.Remove(paths.Runtime) // only if it is empty
}

// ownRegistry is the registry of keys in fob's own folder, if there is one: what others
// rely on goes with no login.
func ownRegistry(paths config.Paths) string {
	path := filepath.Join(paths.Data, app.RegistryFile)
	if _, err := os.Lstat(path); err != nil {
		return ""
	}
	return path
}

// checkPeppers refuses to take what the registry's keys cannot be verified without. A
// storage that cannot be asked keeps none that would be missed.
func checkPeppers(ctx context.Context, a *app.App, cfg *config.Config) error {
	now, _ := records.PeppersStorage(cfg)
	for _, storage := range []string{now, config.StorageFile} { // FOB_STORAGE may have been another when they were added
		if !slices.Contains(config.Storages(), storage) {
			continue
		}
		store, err := a.Store(storage)
		if err != nil {
			continue
		}
		if size, _ := store.Measure(ctx, records.PeppersContext); size.Items == 0 { // one that no key opens is there, too
			continue
		}
		return cli.WithHint(errors.New("this machine keeps the peppers of API keys, and keys cannot be verified without"),
			"'fob key pepper list' names them; 'fob key pepper remove NAME' takes one away")
	}
	return nil
}
