package cmd

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/safetext"
	"github.com/fobcli/fob/internal/vault"
)

type secretRemoveOptions struct {
	name        string
	yes, dryRun bool
}

func newSecretRemoveCmd(a *app) *cobra.Command {
	var opts secretRemoveOptions
	c := &cobra.Command{
		Use:   "remove NAME",
		Short: "Delete a secret from this machine",
		Long: `Delete a secret and its settings here, after asking. Copies at its destinations stay,
and are named; its issuer honours it until you end it there.

` + exitHelp(exitDone, exitFailed, exitUsage, exitStorage, exitLockTimeout, exitInterrupted),
		Example: `  fob secret remove stripe/test
  fob secret remove stripe/test --dry-run`,
		Args:              oneSecret,
		ValidArgsFunction: completionsOf(a).completeSecrets,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.name = args[0]
			return runSecretRemove(cmd.Context(), a, opts)
		},
	}
	c.Flags().BoolVar(&opts.yes, "yes", false, "do not ask")
	c.Flags().BoolVar(&opts.dryRun, "dry-run", false, "say what would be deleted, and delete nothing")
	return c
}

func runSecretRemove(ctx context.Context, a *app, opts secretRemoveOptions) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	s, err := knownSecret(cfg, opts.name)
	if err != nil {
		return err
	}
	if shown := a.shownSecret(ctx, cfg, s); shown.Rotation != "" {
		a.note("Its rotation is not at its end: all of its values go.")
	}
	stays := "stays"
	if opts.dryRun || !opts.yes {
		stays = "would stay"
	}
	for _, name := range s.To {
		a.note("A copy %s at %s.", stays, safetext.Line(name))
	}
	if opts.dryRun {
		a.note("Would delete the secret %q.", s.Name)
		return nil
	}
	if !opts.yes {
		unasked := withHint(usagef("this deletes the secret %q, and there is nobody to ask", s.Name), "see what it would do with --dry-run, then give --yes")
		if err := a.confirm(ctx, fmt.Sprintf("Delete the secret %q?", s.Name), unasked); err != nil {
			return err
		}
	}
	if err := a.deleteSecret(ctx, cfg, s); err != nil {
		return err
	}
	if err := config.RemoveSecret(cfg.Paths.Config, s.Name); err != nil {
		return err
	}
	a.note("The secret %q is deleted here. Its issuer honours it until you end it there.", s.Name)
	return nil
}

// deleteSecret deletes a secret's record; its table stays, which names it.
func (a *app) deleteSecret(ctx context.Context, cfg *config.Config, s config.Secret) error {
	v, err := a.sealedSecret(cfg, s)
	if err == nil {
		err = v.Remove(ctx)
	}
	if errors.Is(err, vault.ErrNoValue) {
		return nil
	}
	return hintOfSecret(err, s.Name)
}
