package helper

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/process"
	"github.com/fobcli/fob/internal/sanitize"
)

type installOptions struct {
	profile       string
	global, local bool
	dryRun        bool
}

func newHelperInstallCmd(a *app.App) *cobra.Command {
	var opts installOptions
	c := &cobra.Command{
		Use:   "install git",
		Short: "Make git ask fob for its credentials",
		Long: `Add fob to git's configuration, for each host that the profiles name (git_hosts, see
'fob profile show'). Other helpers stay as they are, and a second call changes nothing.
With --profile it is that profile's hosts, and git is answered with that profile alone.

` + usage.ExitHelp(cli.ExitDone, cli.ExitFailed, cli.ExitUsage),
		Example: `  fob helper install git
  fob helper install git --profile work --local
  fob helper install git --dry-run`,
		ValidArgs: []string{"git"},
		Args:      oneOperation([]string{"git"}),
		RunE:      func(cmd *cobra.Command, _ []string) error { return runInstallGit(cmd.Context(), a, opts) },
	}
	opts.register(c)
	profileFlag(a, c, &opts.profile, "the hosts of this `PROFILE` alone")
	return c
}

func newHelperUninstallCmd(a *app.App) *cobra.Command {
	var opts installOptions
	c := &cobra.Command{
		Use:   "uninstall git",
		Short: "Take fob out of git's configuration",
		Long: `Remove what 'fob helper install git' has added, whatever the profiles name by now.
Other helpers stay as they are.

` + usage.ExitHelp(cli.ExitDone, cli.ExitFailed, cli.ExitUsage),
		Example:   "  fob helper uninstall git",
		ValidArgs: []string{"git"},
		Args:      oneOperation([]string{"git"}),
		RunE:      func(cmd *cobra.Command, _ []string) error { return runUninstallGit(cmd.Context(), a, opts) },
	}
	opts.register(c)
	return c
}

func (o *installOptions) register(c *cobra.Command) {
	c.Flags().BoolVar(&o.global, "global", false, "in your own configuration of git (the default)")
	c.Flags().BoolVar(&o.local, "local", false, "in the repository of the working folder")
	c.Flags().BoolVar(&o.dryRun, "dry-run", false, "print the commands, and run none")
	usage.Exclusive(c, "global", "local")
}

// gitConfig is a file of git's configuration that is changed by git itself.
type gitConfig struct {
	a     *app.App
	scope string
	dry   bool
	shown cli.Stream // what a dry run would do
	done  int
}

func newGitConfig(a *app.App, opts installOptions) *gitConfig {
	scope := "--global"
	if opts.local {
		scope = "--local"
	}
	return &gitConfig{a: a, scope: scope, dry: opts.dryRun, shown: a.Out}
}

func runInstallGit(ctx context.Context, a *app.App, opts installOptions) error {
	rules, err := gitRules(a, opts.profile)
	if err != nil {
		return err
	}
	if len(rules) == 0 {
		return cli.WithHint(cli.Usagef("no profile names a host of git's"), "'fob profile set PROFILE --git-host https://HOST'; the presets github, gitlab and bitbucket know theirs")
	}
	self, err := ownPath()
	if err != nil {
		return err
	}
	command := "!" + cli.QuoteSh(filepath.ToSlash(self)) + gitHelperWords
	if opts.profile != "" {
		command += " --profile " + opts.profile
	}
	g := newGitConfig(a, opts)
	for _, r := range rules {
		section := "credential." + r.Place.String()
		if err := g.install(ctx, section+".helper", command); err != nil {
			return err
		}
		if r.Place.IsPart() { // else git does not say which path it asks for
			if err := g.set(ctx, section+".useHttpPath", "true"); err != nil {
				return err
			}
		}
	}
	if g.done == 0 {
		a.Note("git asks fob already.")
	} else if !opts.dryRun {
		a.Note("git asks fob now; 'fob helper uninstall git' undoes this.")
	}
	return g.noteOthers(ctx)
}

// noteOthers tells of helpers that git hands every credential to, those of fob too.
func (g *gitConfig) noteOthers(ctx context.Context) error {
	out, err := g.git(ctx, []string{"config", "--null", "--get-all", "credential.helper"})
	if err != nil {
		return notFoundIsNil(err)
	}
	others := strings.FieldsFunc(out, func(r rune) bool { return r == 0 })
	if len(others) > 0 {
		g.a.Note("git also has %s, and up to version 2.45 hands it what fob answers; 'store' would keep that in plain text.", sanitize.Line(strings.Join(others, ", ")))
	}
	return nil
}

// install makes command the one helper of fob's among those of a key.
func (g *gitConfig) install(ctx context.Context, key, command string) error {
	present, err := g.values(ctx, key)
	if err != nil || slices.Contains(present, command) {
		return err
	}
	for _, value := range present {
		if isOwnHelper(value) { // of a fob that has moved, or for another profile
			if err := g.run(ctx, "--fixed-value", "--unset-all", key, value); err != nil {
				return err
			}
		}
	}
	return g.run(ctx, "--add", key, command)
}

func (g *gitConfig) set(ctx context.Context, key, value string) error {
	present, err := g.values(ctx, key)
	if err != nil || slices.Contains(present, value) {
		return err
	}
	return g.run(ctx, key, value)
}

func runUninstallGit(ctx context.Context, a *app.App, opts installOptions) error {
	removed, err := newGitConfig(a, opts).uninstall(ctx)
	switch {
	case err != nil:
		return err
	case removed == 0:
		a.Note("git does not ask fob.")
	case !opts.dryRun:
		a.Note("git does not ask fob any more.")
	}
	return nil
}

// uninstall takes out what install has added, and counts what it did.
func (g *gitConfig) uninstall(ctx context.Context) (int, error) {
	out, err := g.read(ctx, "--null", "--get-regexp", `^credential\..*\.helper$`)
	if err != nil {
		return 0, err
	}
	for entry := range strings.SplitSeq(out, "\x00") {
		key, value, _ := strings.Cut(entry, "\n")
		if !isOwnHelper(value) {
			continue
		}
		if err := g.run(ctx, "--fixed-value", "--unset-all", key, value); err != nil {
			return g.done, err
		}
		if err := g.unsetPath(ctx, strings.TrimSuffix(key, ".helper")); err != nil {
			return g.done, err
		}
	}
	return g.done, nil
}

// PurgeGit is uninstall for a purge. Where there is no git, it has no configuration.
func PurgeGit(ctx context.Context, a *app.App, dryRun bool) {
	g := newGitConfig(a, installOptions{dryRun: dryRun})
	g.shown = cli.NewStream(io.Discard)
	switch removed, err := g.uninstall(ctx); {
	case errors.Is(err, exec.ErrNotFound):
	case err != nil:
		a.Warn(fmt.Sprintf("git may still ask fob: %v", err))
	case removed > 0 && dryRun:
		a.Note("would take fob out of git's configuration.")
	case removed > 0:
		a.Note("git does not ask fob any more.")
	}
}

// unsetPath removes what install has set for a part of a host.
func (g *gitConfig) unsetPath(ctx context.Context, section string) error {
	place, err := usage.URLPlace(strings.TrimPrefix(section, "credential."))
	if err != nil || !place.IsPart() {
		return nil //nolint:nilerr // fob has set it for no such section
	}
	present, err := g.values(ctx, section+".useHttpPath")
	if err != nil || len(present) == 0 {
		return err
	}
	return g.run(ctx, "--unset-all", section+".useHttpPath")
}

const gitHelperWords = " helper git"

// isOwnHelper tells a helper that this command has added, by this fob or another.
func isOwnHelper(value string) bool {
	command, shell := strings.CutPrefix(value, "!'")
	program, words, found := strings.Cut(command, "'"+gitHelperWords)
	profile, named := strings.CutPrefix(words, " --profile ")
	return shell && found && program != "" && (words == "" || named && config.ValidName(profile) == nil)
}

// values are those of one key, in this scope alone.
func (g *gitConfig) values(ctx context.Context, key string) ([]string, error) {
	out, err := g.read(ctx, "--null", "--get-all", key)
	if out == "" {
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(out, "\x00"), "\x00"), err
}

// nothingFound is git config's status where no entry is as asked for.
const nothingFound = 1

func (g *gitConfig) read(ctx context.Context, args ...string) (string, error) {
	out, err := g.git(ctx, append([]string{"config", g.scope}, args...))
	return out, notFoundIsNil(err)
}

func notFoundIsNil(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == nothingFound {
		return nil
	}
	return err
}

// plainWord is what no shell sees anything in.
const plainWord = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:/"

// run changes the configuration, or shows the command that would.
func (g *gitConfig) run(ctx context.Context, args ...string) error {
	g.done++
	if g.dry {
		shown := "git config " + g.scope
		for _, arg := range args {
			if strings.Trim(arg, plainWord) != "" {
				arg = cli.QuoteSh(arg)
			}
			shown += " " + arg
		}
		return g.shown.Printf("%s\n", shown)
	}
	_, err := g.git(ctx, append([]string{"config", g.scope}, args...))
	return err
}

func (g *gitConfig) git(ctx context.Context, args []string) (string, error) {
	environ, err := g.a.ChildEnviron(false)
	if err != nil {
		return "", err
	}
	child := process.Command(ctx, "git", args...)
	child.Env = environ
	var stdout, stderr bytes.Buffer
	child.Stdout, child.Stderr = &stdout, &stderr
	err = child.Run()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return "", cli.WithHint(fmt.Errorf("there is no git on this machine: %w", err), "install git, or put its folder into PATH")
	case err != nil:
		said, _, _ := strings.Cut(strings.TrimSpace(stderr.String()), "\n")
		return "", cli.WithHint(fmt.Errorf("git %s: %s (%w)", args[0], sanitize.Line(said), err), "--local is for the repository of the working folder; see 'git config --list --show-origin'")
	}
	return stdout.String(), nil
}
