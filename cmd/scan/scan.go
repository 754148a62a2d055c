// Package scan contains the commands that find keys: scan, rules.
package scan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keys"
	"github.com/fobcli/fob/internal/app"
	appkeys "github.com/fobcli/fob/internal/app/keys"
	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/leakscan"
	"github.com/fobcli/fob/internal/sanitize"
)

type scanOptions struct {
	paths      []string
	Git        bool     `flag:"git" help:"scan the whole history of a git repository"`
	Staged     bool     `flag:"staged" not:"git" help:"scan what the next commit adds"`
	Stdin      bool     `flag:"stdin" not:"git staged" help:"scan stdin"`
	Unignored  bool     `flag:"gitignore" not:"git staged stdin" help:"skip the files that git ignores"`
	Brands     []string `flag:"brand" empty:"refused" help:"also find keys of this {BRAND}; repeatable"`
	Format     string   `flag:"format" values:"text json sarif" help:"output {FORMAT}: text, json or sarif"`
	NoRegistry bool     `flag:"no-registry" help:"do not look up which keys are live"`
	Incomplete bool     `flag:"allow-incomplete" help:"succeed although something could not be scanned"`
	Live       bool     `flag:"live" not:"no-registry" help:"exit with 3 only if a live key is found"`
	Baseline   string   `flag:"baseline" empty:"refused" help:"skip what is in {FILE}, an earlier JSON report"`
}

func New(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "scan [PATH…]",
		Short: "Find API keys in files, git history and streams",
		Long: `Find leaked API keys of your brand, and look up in the registry which of them are live.
A key is never printed in full, and text with a wrong checksum is not reported. Compressed
files (zip, gz, png, …) are skipped.

A key is ignored if 'fob:allow' follows it on its line, if it is in the --baseline, or if
.fobignore has its path or its fingerprint (from --format json). A key in the .env file
that it was delivered to is listed, but is not a finding.

The exit status is 3 if a key was found. As a hook, in .pre-commit-config.yaml:

  repos:
    - repo: https://github.com/fobcli/fob
      rev: v0.1.0
      hooks: [{id: fob-system}]

or in lefthook.yml:

  pre-commit: {commands: {fob: {run: fob scan --staged}}}`,
		Example: `  fob scan
  fob scan --git path/to/repository
  fob scan --stdin <build.log
  fob scan --format sarif src >fob.sarif`,
	}, scanOptions{Format: "text"}, runScan, cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitFindings, cli.ExitUnavailable, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitInterrupted)
}

func runScan(ctx context.Context, a *app.App, args []string, opts scanOptions) error {
	opts.paths = args
	if opts.Stdin && len(opts.paths) > 0 || (opts.Git || opts.Staged || opts.Unignored) && len(opts.paths) > 1 {
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
	scanner, err := leakscan.NewScanner(append([]string{format.Brand}, opts.Brands...))
	if err != nil {
		return cli.AsUsage(err)
	}
	ignored, err := readIgnored(ctx, opts)
	if err != nil {
		return err
	}
	result, err := scan(ctx, a, scanner, opts)
	if err != nil {
		return withScanHint(err)
	}
	before := len(result.Findings)
	result.Findings = slices.DeleteFunc(result.Findings, func(f leakscan.Finding) bool { return ignored.Finding(&f) })
	result.Unread = slices.DeleteFunc(result.Unread, func(u leakscan.Unread) bool {
		return !slices.Contains(opts.paths, u.Path) && ignored.Path(u.Path) // a named repository may be a shallow clone
	})
	found, err := judgeFindings(ctx, a, result.Findings, opts)
	if err != nil {
		return err
	}
	if err := printFindings(a, found, result, opts.Format); err != nil {
		return err
	}
	noteUnread(a, result)
	if n := before - len(result.Findings); n > 0 {
		a.Note("Ignored %s: see %s, --baseline, and fob:allow.", cli.Plural(n, "key", "keys"), ignoreFile)
	}
	a.Note("Scanned %s, %s.", cli.Plural(result.Files, "file", "files"), bytesText(result.Bytes))
	if err := verdict(found, opts.Live); err != nil {
		return err
	}
	if n := len(result.Unread); n > 0 && !opts.Incomplete {
		return cli.WithHint(fmt.Errorf("the scan is incomplete: see the %s above", cli.Plural(n, "warning", "warnings")),
			"fix what it names ('git fetch --unshallow', 'git lfs fetch --all', permissions), or use --allow-incomplete")
	}
	return nil
}

const (
	ignoreFile = ".fobignore"
	maxIgnored = 64 << 20 // bytes of such a file, or of a baseline
)

// readIgnored reads the baseline, and the ignore file of the work tree or the current folder.
func readIgnored(ctx context.Context, opts scanOptions) (ignored leakscan.Ignored, err error) {
	file := ignoreFile
	if opts.Git || opts.Staged {
		file = filepath.Join(leakscan.Top(ctx, cli.FirstArg(opts.paths)), ignoreFile)
	}
	if ignored.Folder, err = filepath.Abs(filepath.Dir(file)); err != nil {
		return ignored, err
	}
	text, err := readList(file)
	if err == nil {
		err = ignored.AddLines(string(text))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return ignored, cli.WithHint(cli.AsUsage(fmt.Errorf("%s: %w", sanitize.Line(file), err)), "fix the file; see 'fob scan --help'")
	}
	if opts.Baseline == "" {
		return ignored, nil
	}
	if text, err = readList(opts.Baseline); err == nil {
		if err = ignored.AddReport(text); err != nil {
			err = fmt.Errorf("%s: %w", sanitize.Line(opts.Baseline), err)
		}
	}
	if err != nil {
		return ignored, cli.WithHint(cli.AsUsage(fmt.Errorf("reading the baseline: %w", err)), "create it with 'fob scan --format json >FILE'")
	}
	return ignored, nil
}

func readList(path string) ([]byte, error) {
	text, err := atomicfile.ReadRegular(path, maxIgnored)
	if err != nil {
		return nil, err
	}
	return sanitize.Decode(text)
}

func withScanHint(err error) error {
	hint := cli.HintFor(err, []cli.ErrorHint{
		cli.HintOn(leakscan.ErrNoRepository, "run it in a git repository, or name one; without --git, --staged and --gitignore, fob scans any folder"),
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
	if _, err := a.Config(); err != nil { // removes the variables with identities from git's environment
		return leakscan.Result{}, err
	}
	dir := cli.FirstArg(opts.paths)
	switch {
	case opts.Stdin:
		var result leakscan.Result
		input := cli.NewCountingReader(ctx, a.In)
		_, err := s.Scan(ctx, input, nil, func(f leakscan.Finding) {
			f.Kind = leakscan.Stdin
			result.Findings = append(result.Findings, f)
		})
		result.Files, result.Bytes = 1, input.Count
		return result, err
	case opts.Git:
		return s.History(ctx, dir, progress)
	case opts.Staged:
		return s.Staged(ctx, dir)
	case opts.Unignored:
		return s.Unignored(ctx, dir, progress)
	case dir == "":
		return s.Files(ctx, []string{"."}, progress)
	}
	return s.Files(ctx, opts.paths, progress)
}

// foundKey is a finding, and what the registry knows about the key.
type foundKey struct {
	leakscan.Finding
	*judgment
	destination string // of the key, if it was found there
}

// judgment is about a key, wherever it was found.
type judgment struct {
	state   apikey.State // "" if the registry does not have the key, or was not queried
	record  apikey.Record
	checked bool
}

func (j *judgment) live() bool { return j.state == apikey.Active || j.state == apikey.Retiring }

// judgeFindings sorts findings, and looks each key up in the registry.
func judgeFindings(ctx context.Context, a *app.App, findings []leakscan.Finding, opts scanOptions) ([]foundKey, error) {
	slices.SortFunc(findings, func(x, y leakscan.Finding) int {
		return cmp.Or(strings.Compare(x.Path, y.Path), strings.Compare(x.Commit, y.Commit), cmp.Compare(x.Line, y.Line), cmp.Compare(x.Column, y.Column))
	})
	found := make([]foundKey, len(findings))
	for i, f := range findings {
		found[i] = foundKey{Finding: f, judgment: &judgment{}}
	}
	if opts.NoRegistry || len(found) == 0 {
		return found, nil
	}
	g, err := appkeys.Open(ctx, a, false)
	if errors.Is(err, apikey.ErrNoRegistry) && !opts.Live {
		return found, nil
	}
	if err != nil {
		return nil, cli.WithHint(fmt.Errorf("%s found, but not which are live: %w", cli.Plural(len(found), "key", "keys"), err), "skip the registry with --no-registry")
	}
	defer g.Close()
	if err := judgeKeys(ctx, g, a.Now(), found); err != nil {
		return nil, err
	}
	for i := range found {
		if f := &found[i]; f.Kind == leakscan.File && !opts.Git && !opts.Staged { // in git, it is a leak
			f.destination = destinationAt(f.record.Destinations, f.Path)
		}
	}
	return found, nil
}

// destinationAt returns the destination that is a file, or "".
func destinationAt(destinations []string, path string) string {
	for _, name := range destinations {
		file, found := strings.CutPrefix(name, "dotenv:")
		if !found {
			continue
		}
		there, err := os.Stat(file[:max(0, strings.LastIndexByte(file, '#'))])
		if here, errHere := os.Stat(path); err == nil && errHere == nil && os.SameFile(there, here) {
			return name
		}
	}
	return ""
}

// judgeKeys looks up each key once, by its digest, since checksums can be forged.
func judgeKeys(ctx context.Context, g *keys.Registrar, now time.Time, found []foundKey) error {
	known := make(map[string]*judgment)
	for i := range found {
		f := &found[i]
		text := f.Key.Reveal()
		if known[text] == nil {
			r, err := g.Prove(ctx, text)
			if err != nil && !errors.As(err, new(*apikey.RefusedError)) {
				return err
			}
			j := &judgment{checked: true}
			if r.ID != "" {
				j.record, j.state = r, r.State(now)
			}
			known[text] = j
		}
		f.judgment = known[text]
	}
	return nil
}

// verdict returns the findings as an error, with what to do about live keys. With onlyLive,
// only those are failures.
func verdict(found []foundKey, onlyLive bool) error {
	all, live := 0, 0
	var ids []string
	for i := range found {
		f := &found[i]
		if f.destination != "" {
			continue
		}
		if all++; f.live() {
			live++
			if len(ids) < maxInHint && !slices.Contains(ids, f.ID) {
				ids = append(ids, f.ID)
			}
		}
	}
	if all == 0 || onlyLive && live == 0 {
		return nil
	}
	what := cli.Plural(all, "key", "keys") + " found"
	if live > 0 {
		what += fmt.Sprintf(", %d live: run 'fob key rotate %s --compromised'", live, strings.Join(ids, " "))
	}
	return cli.Findings(what)
}

// maxInHint is how many keys a hint names.
const maxInHint = 5
