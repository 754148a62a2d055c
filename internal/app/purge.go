package app

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fobcli/fob/internal/agent"
	"github.com/fobcli/fob/internal/apikey/usage"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/session"
)

// Purge deletes the rest of fob's files after every login and secret was deleted, except
// for the registry of API keys, which services need.
func Purge(ctx context.Context, a *App, dryRun bool) error {
	paths, err := a.Paths()
	if err != nil {
		return err
	}
	for _, remove := range a.Removers {
		remove(ctx, dryRun)
	}
	registry := filepath.Join(paths.Data, RegistryFile)
	if dryRun {
		a.Note("would delete %s, and what fob has in %s and %s.", paths.Config, paths.Data, paths.Cache)
		if PathExists(registry) {
			a.Note("would not delete the registry of your API keys: %s.", registry)
		}
		return nil
	}
	stopAgent(ctx, a, paths)
	if err := errors.Join(usage.Spool{Dir: paths.Cache}.Remove(), os.RemoveAll(ApprovalsDir(paths)), session.RemoveFiles(paths), credstore.RemoveData(paths.Data)); err != nil {
		return err
	}
	if a.Getenv("FOB_CONFIG") != "" {
		a.Note("%s was not deleted: FOB_CONFIG names it.", paths.Config)
	} else if err := os.Remove(paths.Config); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if PathExists(registry) {
		a.Note("The registry of your API keys was not deleted: %s. Delete it yourself if no service needs it.", registry)
		return nil
	}
	rest := ""
	if lock := config.LockFile(paths.Config); PathExists(lock) { // a process waiting for it would lock a deleted file
		rest = ", and the empty lock file " + lock
	}
	a.Note("Nothing of fob is left on this machine but the program%s.", rest)
	return nil
}

// stopAgent stops the agent of these files, and deletes its lock files.
func stopAgent(ctx context.Context, a *App, paths config.Paths) {
	path := filepath.Join(paths.Runtime, AgentSocketName)
	if _, err := agent.Ask(ctx, path, agent.Request{Do: agent.DoStop}, NoteLine(a)); err == nil {
		a.Note("The agent has stopped.")
	}
	forward := filepath.Join(paths.Runtime, ForwardSocketName)
	if _, err := agent.Ask(ctx, forward, agent.Request{Do: agent.DoStatus}, NoteLine(a)); err == nil {
		a.Note("'fob agent forward' is still running, without logins: stop it with Ctrl-C.")
	}
	agent.RemoveLock(path)
	agent.RemoveLock(forward)
	_ = os.Remove(paths.Runtime) // only if it is empty
}
