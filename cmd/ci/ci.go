// Package ci is the commands for CI jobs.
package ci

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/ci"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/dotenv"
	"github.com/fobcli/fob/internal/envfile"
	"github.com/fobcli/fob/internal/secret"
)

func New(a *app.App) *cobra.Command {
	return usage.Group(a, a.Called, &cobra.Command{
		Use:   "ci",
		Short: "Show a CI job's identity, export tokens",
		Long: `Show a CI job's identity, and export tokens to its later steps.

A job of GitHub Actions or GitLab CI has an identity of its own. An authorization server
that trusts it issues a token for it, so that the repository needs no stored secret: a
profile with the grant token-exchange or jwt-bearer, in the file that FOB_CONFIG names.
With FOB_STORAGE=none the job stores nothing.`,
		Example: `  fob ci status
  fob ci export --env API_TOKEN=token/ci`,
	}, "export status", newCIExportCmd, newCIStatusCmd)
}

type ciExportOptions struct {
	usage.ReferenceFlags
	Format string `flag:"format" values:"github gitlab dotenv shell" empty:"refused" help:"{FORMAT}: github, gitlab, dotenv, shell; by default that of the CI system"`
	Output bool   `flag:"output" help:"GitHub: set outputs of this step, not variables"`
	File   string `flag:"file" empty:"refused" help:"GitLab: add to this {FILE}; dotenv: write it; mode 0600"`
}

// The export formats.
const (
	exportGitHub = "github"
	exportGitLab = "gitlab"
	exportDotenv = "dotenv"
	exportShell  = "shell"
)

func newCIExportCmd(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "export --env NAME=token/PROFILE",
		Short: "Export tokens and secrets to later steps of a job",
		Long: `Export variables to all later steps of this CI job. If only one program needs them,
prefer 'fob exec', which passes them to no other.

In GitHub Actions the values are masked in the log first, then appended to GITHUB_ENV,
or with --output to GITHUB_OUTPUT. In GitLab they are added to --file, which the job
declares as 'artifacts: reports: dotenv' with 'access: none'.

Nothing is written unless every value is available and can be exported. Names that
are known to change what later steps run (PATH, NODE_OPTIONS, GITHUB_…) are refused.`,
		Example: `  fob ci export --env API_TOKEN=token/ci
  fob ci export --env API_TOKEN=token/ci --output
  fob ci export --env API_TOKEN=token/ci --format gitlab --file build.env
  eval "$(fob ci export --env API_TOKEN=token/ci --format shell)"`,
		Args: usage.NoArgs,
	}, ciExportOptions{}, runCIExport, cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitLoginRequired, cli.ExitUnavailable, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitInterrupted)
}

func runCIExport(ctx context.Context, a *app.App, _ []string, opts ciExportOptions) error {
	format, err := exportFormat(a, opts)
	if err != nil {
		return err
	}
	refs, err := a.ReadRefs(ctx, opts.Variables, opts.Files)
	if err != nil {
		return err
	}
	if err := checkExportVariables(refs); err != nil {
		return err
	}
	target := opts.File
	if format == exportGitHub {
		if target, err = gitHubFile(a, opts.Output); err != nil {
			return err
		}
	}
	added, masked, err := a.Resolve(ctx, refs)
	if err != nil {
		return err
	}
	before, err := reportBefore(format, target)
	if err != nil {
		return err
	}
	text, err := exportText(format, before, added)
	if err != nil {
		return cli.WithHint(err, "use 'fob exec', which passes any value without a NUL byte")
	}
	if err := maskAll(a, format, masked); err != nil {
		return err
	}
	switch format {
	case exportShell:
		_, err = fmt.Fprint(a.Out.Raw(), text)
	case exportGitHub:
		err = atomicfile.Append(target, []byte(text))
	default:
		err = atomicfile.Write(target, []byte(text))
	}
	if err == nil && format != exportShell {
		a.Note("Exported %s: %s.", cli.Plural(len(added), "variable", "variables"), strings.Join(slices.Sorted(maps.Keys(added)), ", "))
	}
	return err
}

func exportFormat(a *app.App, opts ciExportOptions) (string, error) {
	format := cmp.Or(opts.Format, string(ci.System(a.Getenv)))
	toFile := format == exportGitLab || format == exportDotenv
	switch {
	case format == "":
		return "", cli.WithHint(cli.Usagef("not in a CI job that fob recognizes"), "choose a format: --format github, gitlab, dotenv, shell")
	case opts.Output && format != exportGitHub:
		return "", cli.WithHint(cli.Usagef("--output is only for GitHub Actions"), "omit --output")
	case toFile && opts.File == "":
		return "", cli.WithHint(cli.Usagef("--file is required"), "name the file of the job's 'artifacts: reports: dotenv': --file build.env")
	case !toFile && opts.File != "":
		return "", cli.WithHint(cli.Usagef("--file is only for gitlab and dotenv"), "omit it, or choose --format dotenv")
	}
	return format, nil
}

func checkExportVariables(refs []envfile.Variable) error {
	if len(refs) == 0 {
		return cli.WithHint(cli.Usagef("nothing to export"), "run 'fob ci export --env NAME=token/PROFILE'")
	}
	for _, ref := range refs {
		if err := ci.CheckName(ref.Name); err != nil {
			return cli.WithHint(cli.Usagef("%s: %s", ref.Name, err), "choose another name, or pass it to one program: 'fob exec --env %s=… -- PROGRAM'", ref.Name)
		}
	}
	return nil
}

// gitHubFile returns the file that the runner reads after the step. It must exist.
func gitHubFile(a *app.App, output bool) (string, error) {
	name := "GITHUB_ENV"
	if output {
		name = "GITHUB_OUTPUT"
	}
	path := a.Getenv(name)
	if !filepath.IsAbs(path) {
		return "", cli.WithHint(cli.Usagef("%s does not name a file", name), "run it in a step of GitHub Actions, or choose another --format")
	}
	if _, err := atomicfile.LstatRegular(path); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%s names %s, which does not exist", name, path)
		}
		return "", cli.WithHint(err, "the runner creates that file for each step: find out what removed or replaced it")
	}
	return path, nil
}

// reportBefore returns what the job has written to its report.
func reportBefore(format, path string) (string, error) {
	if format != exportGitLab {
		return "", nil
	}
	text, err := atomicfile.ReadRegular(path, ci.MaxGitLabReport)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return string(text), err
}

func exportText(format, before string, added map[string]string) (string, error) {
	variables := make([]ci.Variable, 0, len(added))
	for _, name := range slices.Sorted(maps.Keys(added)) {
		variables = append(variables, ci.Variable{Name: name, Value: secret.New(added[name])})
	}
	switch format {
	case exportGitHub:
		return ci.GitHubFile(variables)
	case exportGitLab:
		return ci.GitLabReport(before, variables)
	}
	var b strings.Builder
	for _, v := range variables {
		value := v.Value.Reveal()
		switch {
		case strings.ContainsRune(value, 0):
			return "", fmt.Errorf("%s: %w: it contains a NUL byte", v.Name, ci.ErrValue)
		case format == exportShell:
			b.WriteString(cli.ExportLine("sh", v.Name, value))
		case strings.ContainsRune(value, '\r'):
			return "", fmt.Errorf("%s: %w: a .env file cannot contain a carriage return", v.Name, ci.ErrValue)
		default:
			b.WriteString(dotenv.Line(v.Name, value) + "\n")
		}
	}
	return b.String(), nil
}

// maskAll makes the runner mask the values in its log, before anything else is written. If
// stdout is for a shell, the commands go to stderr: the runner reads both.
func maskAll(a *app.App, format string, texts []string) error {
	for _, text := range texts {
		line, known := ci.MaskCommand(a.Getenv, secret.New(text))
		switch {
		case format == exportGitHub:
			if _, err := fmt.Fprintln(a.Out.Raw(), ci.GitHubMask(text)); err != nil {
				return err
			}
		case known:
			a.PrintCommand(line)
		}
	}
	return nil
}
