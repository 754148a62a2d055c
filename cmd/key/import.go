package key

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

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
	Owner       string   `flag:"owner" empty:"refused" help:"{OWNER} for lines without one"`
	Environment string   `flag:"env" empty:"refused" help:"{ENVIRONMENT} for lines without one"`
	Scopes      []string `flag:"scope" empty:"refused" help:"{SCOPE} for lines without scopes; repeatable"`
	Map         []string `flag:"map" help:"{COLUMN=FIELD}: read a CSV column as this field; COLUMN= skips it; repeatable"`
	Extra       bool     `flag:"extra-metadata" help:"import CSV columns with unknown names as metadata"`
	DryRun      bool     `flag:"dry-run" help:"check all lines, and do nothing"`
}

func newImportCmd(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "import",
		Short: "Import keys that another system issued, from stdin",
		Long: `Add keys from stdin to the registry: JSON lines, as 'fob key export' prints them, or
CSV (with commas, semicolons or tabs) with the names of the columns in the first line.
A line has the key or its hash (SHA-256 of the whole key, in hex or base64), and
optionally owner, environment, scopes and rate (in CSV separated by spaces), note,
created_at, expires_at, disabled, metadata.NAME. Times in CSV may be dates, or seconds
since 1970. The flags are for lines without that column.

Keys that are in the registry are skipped: an interrupted import can be run again.`,
		Example: `  fob key import --owner legacy --env live <keys.csv
  fob key import --map customer=owner --map plan=metadata.plan <keys.csv
  fob key import --dry-run <keys.jsonl`,
		Args: usage.NoKeyArgs,
	}, importOptions{}, runImport, cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitUnavailable, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitInterrupted)
}

func runImport(ctx context.Context, a *app.App, _ []string, opts importOptions) error {
	if cli.IsTerminal(a.In) {
		return cli.WithHint(cli.Usagef("the keys are read from stdin"), "run 'fob key import <FILE'")
	}
	if err := checkEnvironment(a, opts.Environment); err != nil {
		return err
	}
	g, err := appkeys.Open(ctx, a, !opts.DryRun)
	if opts.DryRun && errors.Is(err, apikey.ErrNoRegistry) {
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
	case err == nil && done.Read == 0:
		return cli.WithHint(cli.Usagef("there are no keys on stdin"), "run 'fob key import <FILE'")
	case err == nil && opts.DryRun:
		a.Note("would import %s, except those that are in the registry.", cli.Plural(done.Read, "key", "keys"))
	case err == nil:
		a.Note("Imported %s; skipped %d already in the registry.", cli.Plural(done.Added, "key", "keys"), done.Read-done.Added)
	case opts.DryRun:
		return cli.WithHint(err, "%s", cmp.Or(a.Hint(err), "fix the list; nothing was imported"))
	case ctx.Err() != nil:
		return interruptedError(ctx, a, err, added, "run it again: imported keys are skipped")
	case errors.As(err, &line):
		return cli.WithHint(fmt.Errorf("%w; %s imported", err, cli.Plural(done.Added, "key before it was", "keys before it were")), "fix the line and run it again: imported keys are skipped")
	case done.Added > 0:
		return fmt.Errorf("%s: %w", added, err)
	}
	return err
}

// emptyRegistry is used if there is none: records can be completed, but not stored.
type emptyRegistry struct{ apikey.Registry }

func (emptyRegistry) Pepper(context.Context) (string, error) { return "", nil }

func (emptyRegistry) Close() error { return nil }

func importKeys(ctx context.Context, a *app.App, g *keys.Registrar, opts importOptions) (keys.Imported, error) {
	input := cli.NewCountingReader(ctx, a.In)
	bar := a.NewProgress("importing", input.Size)
	defer bar.End()
	fields := make(map[string]string)
	for _, pair := range opts.Map {
		column, field, found := strings.Cut(pair, "=")
		if !found || column == "" {
			return keys.Imported{}, cli.WithHint(cli.Usagef("invalid map %.80q", pair), "use --map COLUMN=FIELD, as in --map customer=owner")
		}
		if err := keylist.CheckField(field); err != nil {
			return keys.Imported{}, cli.WithHint(cli.AsUsage(fmt.Errorf("--map %.80q: %w", pair, err)), "choose one of %s, or metadata.NAME", strings.Join(keylist.Fields(), ", "))
		}
		fields[strings.ToLower(column)] = field
	}
	list, err := keylist.NewReader(input, keylist.Options{Fields: fields, ExtraMetadata: opts.Extra})
	if err != nil {
		return keys.Imported{}, err
	}
	return g.ImportList(ctx, list, keys.ImportOptions{
		DryRun: opts.DryRun, Prepare: opts.prepare,
		Progress: func(done keys.Imported) { bar.At(input.Count, fmt.Sprintf("%d keys", done.Read)) },
	})
}

func (o *importOptions) prepare(line *keylist.Line) error {
	line.Owner = cmp.Or(line.Owner, o.Owner)
	line.Environment = cmp.Or(line.Environment, o.Environment)
	if len(line.Scopes) == 0 {
		line.Scopes = o.Scopes
	}
	if line.Pepper != "" && config.CheckName(line.Pepper) != nil {
		return errors.New("the name of the pepper is invalid")
	}
	return nil
}

func newExportCmd(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "export",
		Short: "Export keys as JSON lines",
		Long: `Print the records of all keys, or of those that the flags select, as JSON lines that
'fob key import' reads. They have hashes, not the keys.`,
		Example: `  fob key export >keys.jsonl
  fob key export --env live --state active`,
		Args: usage.NoKeyArgs,
	}, filterFlags{}, runExport, cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitUnavailable, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitInterrupted)
}

func runExport(ctx context.Context, a *app.App, _ []string, opts filterFlags) error {
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
	count := 0
	for r, err := range g.Matching(ctx, filter) {
		if err == nil {
			err = keylist.Write(buffered, r)
		}
		if err != nil {
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
