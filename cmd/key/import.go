package key

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/complete"
	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keylist"
	"github.com/fobcli/fob/internal/apikey/keys"
	"github.com/fobcli/fob/internal/app"
	appkeys "github.com/fobcli/fob/internal/app/keys"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
)

type importOptions struct {
	owner, environment string
	scopes             []string
	dryRun             bool
}

func newImportCmd(a *app.App) *cobra.Command {
	var opts importOptions
	c := &cobra.Command{
		Use:   "import",
		Short: "Take over keys that were issued before, from stdin",
		Long: `Read keys from stdin and add them to the registry: JSON lines, as 'fob key export'
prints them, or CSV whose first line names the columns. Each line has the key itself
or its hash (SHA-256 of the whole key, in hex or base64), and may have owner,
environment, scopes (CSV: separated by blanks), rate, note, created_at, expires_at,
disabled. The flags stand in for what a line does not say. No id is needed.

Keys that the registry has already are left alone, so that an import that was cut
short is run again.

` + usage.ExitHelp(cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitUnavailable, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitInterrupted),
		Example: `  fob key import --owner legacy --env live <keys.csv
  fob key import --dry-run <keys.jsonl`,
		Args: usage.NoKeyArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runImport(cmd.Context(), a, opts) },
	}
	c.Flags().StringVar(&opts.owner, "owner", "", "the `OWNER` where a line names none")
	c.Flags().StringVar(&opts.environment, "env", "", "the `ENVIRONMENT` where a line names none")
	c.Flags().StringArrayVar(&opts.scopes, "scope", nil, "a `SCOPE` where a line names none; repeatable")
	usage.RefuseEmpty(c, "owner", "env")
	c.Flags().BoolVar(&opts.dryRun, "dry-run", false, "read and check all lines, and do nothing")
	_ = c.RegisterFlagCompletionFunc("env", complete.New(a).Environments)
	return c
}

func runImport(ctx context.Context, a *app.App, opts importOptions) error {
	if cli.IsTerminal(a.In) {
		return cli.WithHint(cli.Usagef("the keys are read from stdin"), "'fob key import <FILE'")
	}
	if err := checkEnvironment(a, opts.environment); err != nil {
		return err
	}
	g, err := appkeys.Open(ctx, a, !opts.dryRun)
	if opts.dryRun && errors.Is(err, apikey.ErrNoRegistry) {
		g, err = appkeys.RegistrarOf(a, emptyRegistry{})
	}
	if err != nil {
		return err
	}
	defer g.Close()
	done, err := importKeys(ctx, a, g, opts)
	added := cli.Plural(done.Added, "key was", "keys were") + " imported"
	var line *keylist.LineError
	switch {
	case err == nil && opts.dryRun:
		a.Note("Would import %s, but for those that the registry has already.", cli.Plural(done.Read, "key", "keys"))
	case err == nil:
		a.Note("Imported %s; %d were there already.", cli.Plural(done.Added, "key", "keys"), done.Read-done.Added)
	case opts.dryRun:
		return cli.WithHint(err, "%s", cmp.Or(a.Hint(err), "mend the list; nothing was imported"))
	case ctx.Err() != nil:
		return interruptedError(ctx, a, err, added, "run it again: those are left alone")
	case errors.As(err, &line):
		return cli.WithHint(fmt.Errorf("%w; %s imported", err, cli.Plural(done.Added, "key before it was", "keys before it were")), "mend the line and run it again: keys that are there are left alone")
	case done.Added > 0:
		return interruptedError(ctx, a, err, added, "")
	}
	return err
}

// emptyRegistry stands for one that does not exist yet: records can be completed, and not stored.
type emptyRegistry struct{ apikey.Registry }

func (emptyRegistry) Pepper(context.Context) (string, error) { return "", nil }

func (emptyRegistry) Close() error { return nil }

func importKeys(ctx context.Context, a *app.App, g *keys.Registrar, opts importOptions) (keys.Imported, error) {
	input := cli.NewCountingReader(ctx, a.In)
	bar := a.NewProgress("importing", input.Size)
	defer bar.End()
	list, err := keylist.NewReader(input)
	if err != nil {
		return keys.Imported{}, err
	}
	return g.ImportList(ctx, list, keys.ImportOptions{
		DryRun: opts.dryRun, Prepare: opts.prepare,
		Progress: func(done keys.Imported) { bar.At(input.Count, fmt.Sprintf("%d keys", done.Read)) },
	})
}

// prepare completes a line with the flags.
func (o *importOptions) prepare(line *keylist.Line) error {
	line.Owner = cmp.Or(line.Owner, o.owner)
	line.Environment = cmp.Or(line.Environment, o.environment)
	if len(line.Scopes) == 0 {
		line.Scopes = o.scopes
	}
	if line.Pepper != "" && config.CheckName(line.Pepper) != nil {
		return errors.New("the pepper has no name of a pepper")
	}
	return nil
}

func newExportCmd(a *app.App) *cobra.Command {
	var opts filterFlags
	c := &cobra.Command{
		Use:   "export",
		Short: "Print the registry as JSON lines, without a secret",
		Long: `Print the records of all keys, or of those that the flags mean, one JSON object a
line: what 'fob key import' reads. Of the keys there are hashes alone.

` + usage.ExitHelp(cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitUnavailable, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitInterrupted),
		Example: `  fob key export >keys.jsonl
  fob key export --env live --state active`,
		Args: usage.NoKeyArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runExport(cmd.Context(), a, opts) },
	}
	opts.register(a, c)
	return c
}

func runExport(ctx context.Context, a *app.App, opts filterFlags) error {
	filter, err := opts.filter(a, nil)
	if err != nil {
		return err
	}
	g, err := appkeys.Open(ctx, a, false)
	if err != nil {
		return err
	}
	defer g.Close()
	buffered := bufio.NewWriter(a.Out.Raw())
	list := keylist.NewWriter(buffered)
	count := 0
	for r, err := range g.Registry.Keys(ctx, filter) {
		if err != nil {
			return err
		}
		if !filter.Match(&r, a.Now()) {
			continue
		}
		if err := list.Write(r); err != nil {
			return err
		}
		count++
	}
	if err := buffered.Flush(); err != nil {
		return err
	}
	a.Note("Exported %s.", cli.Plural(count, "key", "keys"))
	return nil
}
