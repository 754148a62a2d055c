// Package scan has the commands that find keys: scan, rules.
package scan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keys"
	"github.com/fobcli/fob/internal/app"
	appkeys "github.com/fobcli/fob/internal/app/keys"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/leakscan"
	"github.com/fobcli/fob/internal/sanitize"
)

type scanOptions struct {
	paths      []string
	git        bool
	staged     bool
	stdin      bool
	unignored  bool
	brands     []string
	format     string
	noRegistry bool
}

func New(a *app.App) *cobra.Command {
	var opts scanOptions
	c := &cobra.Command{
		Use:   "scan [PATH…]",
		Short: "Find API keys in files, git history and streams",
		Long: `Find API keys of your brand where they must not be, and look up in the registry which
of them are live. A key is never shown whole, and text with a wrong checksum is not
reported. Compressed files (zip, gz, png, …) are skipped.

The exit status is 3 if a key was found. As a hook, in .pre-commit-config.yaml:

  repos: [{repo: local, hooks: [{id: fob, name: fob, language: system,
    entry: fob scan --staged, pass_filenames: false}]}]

or in lefthook.yml:

  pre-commit: {commands: {fob: {run: fob scan --staged}}}

` + usage.ExitHelp(cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitFindings, cli.ExitUnavailable, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitInterrupted),
		Example: `  fob scan
  fob scan --git path/to/repository
  fob scan --stdin <build.log
  fob scan --format sarif src >fob.sarif`,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.paths = args
			return runScan(cmd.Context(), a, opts)
		},
	}
	flags := c.Flags()
	flags.BoolVar(&opts.git, "git", false, "scan the whole history of a git repository")
	flags.BoolVar(&opts.staged, "staged", false, "scan what the next commit adds")
	flags.BoolVar(&opts.stdin, "stdin", false, "scan stdin")
	flags.BoolVar(&opts.unignored, "gitignore", false, "skip the files that git ignores")
	flags.StringArrayVar(&opts.brands, "brand", nil, "also find keys of this `BRAND`; repeatable")
	flags.StringVar(&opts.format, "format", "text", "output `FORMAT`: text, json or sarif")
	flags.BoolVar(&opts.noRegistry, "no-registry", false, "do not look up which keys are live")
	usage.Exclusive(c, "git", "staged", "stdin", "gitignore")
	_ = c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(ScanFormats, cobra.ShellCompDirectiveNoFileComp))
	return c
}

var ScanFormats = []string{"text", "json", "sarif"}

type foundKey struct {
	leakscan.Finding
	state   apikey.State // "" if the registry does not have it, or was not asked
	record  apikey.Record
	checked bool
}

func (f *foundKey) live() bool { return f.state == apikey.Active || f.state == apikey.Retiring }

func (f *foundKey) stateText() string {
	switch {
	case !f.checked:
		return "not checked"
	case f.state == "":
		return "not of this registry"
	case f.live():
		return "LIVE: " + sanitize.Line(f.record.Owner)
	}
	return string(f.state) + ": " + sanitize.Line(f.record.Owner)
}

func (f *foundKey) location() string {
	path := cmp.Or(sanitize.Line(f.Path), "stdin")
	where := fmt.Sprintf("%s:%d:%d", path, f.Line, f.Column)
	if f.Commit != "" {
		where += " in " + f.Commit[:min(12, len(f.Commit))]
	}
	return where
}

func runScan(ctx context.Context, a *app.App, opts scanOptions) error {
	if !slices.Contains(ScanFormats, opts.format) {
		return cli.WithHint(cli.Usagef("unknown format %q", opts.format), "the formats are text, json and sarif")
	}
	if opts.stdin && len(opts.paths) > 0 || (opts.git || opts.staged || opts.unignored) && len(opts.paths) > 1 {
		return cli.WithHint(cli.Usagef("too many paths"), "see 'fob scan --help'")
	}
	if slices.Contains(opts.paths, "") {
		return cli.WithHint(cli.Usagef("a path is empty"), usage.HintEmpty)
	}
	for _, path := range opts.paths {
		if _, err := os.Stat(path); err != nil {
			return withScanHint(err)
		}
	}
	format, err := appkeys.Format(a)
	if err != nil {
		return err
	}
	scanner, err := leakscan.NewScanner(append([]string{format.Brand}, opts.brands...))
	if err != nil {
		return cli.AsUsage(err)
	}
	result, err := scan(ctx, a, scanner, opts)
	if errors.Is(err, leakscan.ErrNoRepository) {
		return cli.WithHint(fmt.Errorf("%s %w", cmp.Or(sanitize.Line(cli.FirstArg(opts.paths)), "this folder"), leakscan.ErrNoRepository),
			"name a git repository, or run it in one; without --git, --staged and --gitignore, fob scans any folder")
	}
	if err != nil {
		return withScanHint(err)
	}
	found, err := judgeFindings(ctx, a, result.Findings, opts.noRegistry)
	if err != nil {
		return err
	}
	if err := printFindings(a, found, opts.format); err != nil {
		return err
	}
	for _, why := range result.Skipped[:min(10, len(result.Skipped))] {
		a.Warn("skipped: " + sanitize.Line(why))
	}
	if more := len(result.Skipped) - 10; more > 0 {
		a.Warn(fmt.Sprintf("%d more were skipped", more))
	}
	a.Note("Scanned %s, %s.", cli.Plural(result.Files, "file", "files"), bytesText(result.Bytes))
	return scanVerdict(found)
}

func withScanHint(err error) error {
	hint := cli.HintFor(err, []cli.ErrorHint{
		cli.HintOn(leakscan.ErrGit, "name a git repository: 'fob scan --git PATH'"),
		cli.HintOn(leakscan.ErrNoFile, "use --stdin to scan a stream"),
		cli.HintOn(fs.ErrNotExist, "name existing files and folders; without any, fob scans this folder"),
	})
	if hint == "" {
		return err
	}
	return cli.WithHint(err, "%s", hint)
}

func scan(ctx context.Context, a *app.App, s *leakscan.Scanner, opts scanOptions) (leakscan.Result, error) {
	bar := a.NewProgress("scanning", 0)
	defer bar.End()
	progress := func(files int, bytes int64) {
		bar.At(int64(files), fmt.Sprintf("%d files, %s", files, bytesText(bytes)))
	}
	if _, err := a.Config(); err != nil { // hides the identities that it names from git
		return leakscan.Result{}, err
	}
	dir := cli.FirstArg(opts.paths)
	switch {
	case opts.stdin:
		var result leakscan.Result
		input := cli.NewCountingReader(ctx, a.In)
		_, err := s.Scan(ctx, input, nil, func(f leakscan.Finding) { result.Findings = append(result.Findings, f) })
		result.Files, result.Bytes = 1, input.Count
		return result, err
	case opts.git:
		return s.History(ctx, dir, progress)
	case opts.staged:
		return s.Staged(ctx, dir)
	case opts.unignored:
		return s.Unignored(ctx, dir, progress)
	case dir == "":
		return s.Files(ctx, []string{"."}, progress)
	}
	return s.Files(ctx, opts.paths, progress)
}

// judgeFindings looks each finding up in the registry, by its digest: a checksum can be
// forged.
func judgeFindings(ctx context.Context, a *app.App, findings []leakscan.Finding, noRegistry bool) ([]foundKey, error) {
	slices.SortFunc(findings, func(x, y leakscan.Finding) int {
		return cmp.Or(strings.Compare(x.Path, y.Path), strings.Compare(x.Commit, y.Commit), cmp.Compare(x.Line, y.Line), cmp.Compare(x.Column, y.Column))
	})
	found := make([]foundKey, len(findings))
	for i, f := range findings {
		found[i].Finding = f
	}
	if noRegistry || len(found) == 0 {
		return found, nil
	}
	g, err := appkeys.Open(ctx, a, false)
	if errors.Is(err, apikey.ErrNoRegistry) {
		return found, nil
	}
	if err != nil {
		return nil, cli.WithHint(fmt.Errorf("%s found, but not which are live: %w", cli.Plural(len(found), "key", "keys"), err), "skip the registry with --no-registry")
	}
	defer g.Close()
	for i := range found {
		if err := judgeFinding(ctx, a, g, &found[i]); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func judgeFinding(ctx context.Context, a *app.App, g *keys.Registrar, f *foundKey) error {
	r, err := g.Prove(ctx, f.Key.Reveal())
	if err != nil && !errors.As(err, new(*apikey.RefusedError)) {
		return err
	}
	if f.checked = true; r.ID != "" {
		f.record, f.state = r, r.State(a.Now())
	}
	return nil
}

type findingJSON struct {
	Key         string       `json:"key"` // without its secret
	ID          string       `json:"id"`
	Environment string       `json:"environment"`
	Path        string       `json:"path,omitempty"`
	Line        int          `json:"line"`
	Column      int          `json:"column"`
	Commit      string       `json:"commit,omitempty"`
	Checked     bool         `json:"checked"`
	Live        bool         `json:"live"`
	State       apikey.State `json:"state,omitempty"`
	Owner       string       `json:"owner,omitempty"`
}

func printFindings(a *app.App, found []foundKey, format string) error {
	switch format {
	case "json":
		list := make([]findingJSON, len(found))
		for i, f := range found {
			list[i] = findingJSON{
				Key: f.Masked(), ID: f.ID, Environment: f.Environment, Path: f.Path, Line: f.Line, Column: f.Column, Commit: f.Commit,
				Checked: f.checked, Live: f.live(), State: f.state, Owner: f.record.Owner,
			}
		}
		return a.PrintJSON(list)
	case "sarif":
		findings := make([]leakscan.Finding, len(found))
		for i := range found {
			findings[i] = found[i].Finding
		}
		return a.PrintJSON(leakscan.SARIF(app.Version(), findings, func(i int) (string, bool) {
			return "API key " + found[i].Masked() + ", " + found[i].stateText(), found[i].live()
		}))
	}
	for _, f := range found {
		if err := a.Out.Printf("%s: %s %s\n", f.location(), f.Masked(), f.stateText()); err != nil {
			return err
		}
	}
	return nil
}

// scanVerdict returns the findings as an error, with what to do about live keys.
func scanVerdict(found []foundKey) error {
	if len(found) == 0 {
		return nil
	}
	live := len(found) - len(slices.DeleteFunc(slices.Clone(found), func(f foundKey) bool { return f.live() }))
	what := cli.Plural(len(found), "key", "keys") + " found"
	if live > 0 {
		what += fmt.Sprintf(", %d of them live: 'fob key rotate ID --compromised' replaces one", live)
	}
	return cli.Findings(what)
}

func bytesText(n int64) string {
	switch {
	case n >= 10<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 10<<10:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}

func NewRules(a *app.App) *cobra.Command {
	var format string
	var brands []string
	c := &cobra.Command{
		Use:   "rules",
		Short: "Print rules for other secret scanners",
		Long: `Print rules for the configured brand, and for those of --brand, in the format of
gitleaks, betterleaks or TruffleHog, or as the fields of a custom pattern for GitHub's
secret scanning.

` + usage.ExitHelp(cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitInterrupted),
		Example: `  fob rules --format gitleaks >.gitleaks.toml
  fob rules --format trufflehog --brand acme`,
		Args: usage.NoArgs,
		RunE: func(*cobra.Command, []string) error { return runRules(a, format, brands) },
	}
	c.Flags().StringVar(&format, "format", "gitleaks", "`SCANNER`: "+strings.Join(leakscan.Formats(), ", "))
	c.Flags().StringArrayVar(&brands, "brand", nil, "add this `BRAND`; repeatable")
	_ = c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(leakscan.Formats(), cobra.ShellCompDirectiveNoFileComp))
	return c
}

func runRules(a *app.App, format string, brands []string) error {
	configured, err := appkeys.Format(a)
	if err != nil {
		return err
	}
	for _, brand := range brands {
		if err := apikey.CheckBrand(brand); err != nil {
			return cli.AsUsage(err)
		}
	}
	text, err := leakscan.Rules(format, append([]string{configured.Brand}, brands...))
	if err != nil {
		return cli.AsUsage(err)
	}
	_, err = fmt.Fprint(a.Out.Raw(), text)
	return err
}
