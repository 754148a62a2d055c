package cmd

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/keyfile"
	"github.com/fobcli/fob/internal/registrar"
)

type keyImportOptions struct {
	owner, environment string
	scopes             []string
	dryRun             bool
}

func newKeyImportCmd(a *app) *cobra.Command {
	var opts keyImportOptions
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

` + exitHelp(exitDone, exitFailed, exitUsage, exitUnavailable, exitStorage, exitLockTimeout, exitInterrupted),
		Example: `  fob key import --owner legacy --env live <keys.csv
  fob key import --dry-run <keys.jsonl`,
		Args: noKeyArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runKeyImport(cmd.Context(), a, opts)
		},
	}
	c.Flags().StringVar(&opts.owner, "owner", "", "the `OWNER` where a line names none")
	c.Flags().StringVar(&opts.environment, "env", "", "the `ENVIRONMENT` where a line names none")
	c.Flags().StringArrayVar(&opts.scopes, "scope", nil, "a `SCOPE` where a line names none; repeatable")
	refuseEmpty(c, "owner", "env")
	c.Flags().BoolVar(&opts.dryRun, "dry-run", false, "read and check all lines, and do nothing")
	_ = c.RegisterFlagCompletionFunc("env", completionsOf(a).completeEnvironments)
	return c
}

// imported counts what an import did.
type imported struct{ read, added int }

func runKeyImport(ctx context.Context, a *app, opts keyImportOptions) error {
	if isTerminal(a.stdin) {
		return withHint(usagef("the keys are read from stdin"), "'fob key import <FILE'")
	}
	if opts.environment != "" {
		if err := a.checkEnvironment(opts.environment); err != nil {
			return err
		}
	}
	g, err := a.registrar(ctx, !opts.dryRun)
	if opts.dryRun && errors.Is(err, apikey.ErrNoRegistry) {
		g, err = a.registrarOf(emptyRegistry{})
	}
	if err != nil {
		return err
	}
	defer g.Close()
	var done imported
	err = a.importAll(ctx, g, opts, &done)
	if err == nil {
		if opts.dryRun {
			a.note("Would import %s, but for those that the registry has already.", plural(done.read, "key", "keys"))
			return nil
		}
		a.note("Imported %s; %d were there already.", plural(done.added, "key", "keys"), done.read-done.added)
		return nil
	}
	var line *keyfile.LineError
	switch {
	case opts.dryRun:
		return withHint(err, "%s", cmp.Or(a.hint(err), "mend the list; nothing was imported"))
	case ctx.Err() != nil:
		return a.cutShort(ctx, err, plural(done.added, "key was", "keys were")+" imported", "run it again: those are left alone")
	case errors.As(err, &line):
		return withHint(fmt.Errorf("%w; %s imported", err, plural(done.added, "key before it was", "keys before it were")), "mend the line and run it again: keys that are there are left alone")
	case done.added > 0:
		return a.cutShort(ctx, err, plural(done.added, "key was", "keys were")+" imported", "")
	}
	return err
}

// emptyRegistry stands for one that is not made yet: records can be completed, and not kept.
type emptyRegistry struct{ apikey.Registry }

func (emptyRegistry) Pepper(context.Context) (string, error) { return "", nil }

func (emptyRegistry) Close() error { return nil }

func (a *app) importAll(ctx context.Context, g *registrar.Registrar, opts keyImportOptions, done *imported) error {
	input := newCounted(ctx, a.stdin)
	bar := a.newProgress("importing", input.size)
	defer bar.end()
	list, err := keyfile.NewReader(input)
	if err != nil {
		return err
	}
	importer := g.Importer()
	batch := make([]apikey.Record, 0, registrar.BatchSize)
	for {
		r, err := importLine(ctx, importer, list, opts)
		if err == nil {
			batch = append(batch, r)
		}
		if len(batch) == cap(batch) || err != nil && len(batch) > 0 {
			if err := importBatch(ctx, g, batch, opts, done); err != nil {
				return err
			}
			batch = batch[:0]
			bar.at(input.read, fmt.Sprintf("%d keys", done.read))
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// importLine reads one line and completes it.
func importLine(ctx context.Context, importer *registrar.Importer, list *keyfile.Reader, opts keyImportOptions) (apikey.Record, error) {
	line, at, err := list.Read()
	if err != nil {
		return apikey.Record{}, err
	}
	if line.Owner == "" {
		line.Owner = opts.owner
	}
	if line.Environment == "" {
		line.Environment = opts.environment
	}
	if len(line.Scopes) == 0 {
		line.Scopes = opts.scopes
	}
	r, err := line.Record()
	if line.Pepper != "" && config.ValidName(line.Pepper) != nil {
		err = errors.New("the pepper has no name of a pepper")
	}
	if err == nil {
		r, err = importer.Complete(ctx, line.Key, r)
	}
	if err != nil {
		return r, &keyfile.LineError{Line: at, Err: err}
	}
	return r, nil
}

func importBatch(ctx context.Context, g *registrar.Registrar, batch []apikey.Record, opts keyImportOptions, done *imported) error {
	if !opts.dryRun {
		added, err := g.Import(ctx, batch)
		if err != nil {
			return err
		}
		done.added += added
	}
	done.read += len(batch)
	return nil
}

func newKeyExportCmd(a *app) *cobra.Command {
	var opts filterFlags
	c := &cobra.Command{
		Use:   "export",
		Short: "Print the registry as JSON lines, without a secret",
		Long: `Print the records of all keys, or of those that the flags mean, one JSON object a
line: what 'fob key import' reads. Of the keys there are hashes alone.

` + exitHelp(exitDone, exitFailed, exitUsage, exitUnavailable, exitStorage, exitLockTimeout, exitInterrupted),
		Example: `  fob key export >keys.jsonl
  fob key export --env live --state active`,
		Args: noKeyArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runKeyExport(cmd.Context(), a, opts)
		},
	}
	opts.register(a, c)
	return c
}

func runKeyExport(ctx context.Context, a *app, opts filterFlags) error {
	filter, err := opts.filter(a, nil)
	if err != nil {
		return err
	}
	g, err := a.registrar(ctx, false)
	if err != nil {
		return err
	}
	defer g.Close()
	buffered := bufio.NewWriter(a.stdout.raw())
	list := keyfile.NewWriter(buffered)
	count := 0
	for r, err := range g.Registry.Keys(ctx, filter) {
		if err != nil {
			return err
		}
		if !filter.Match(&r, a.now()) {
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
	a.note("Exported %s.", plural(count, "key", "keys"))
	return nil
}
