package credhelper

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"

	"github.com/fobcli/fob/internal/process"
	"github.com/fobcli/fob/internal/sanitize"
)

// GitConfig adds fob to git's configuration and removes it, by calling git.
type GitConfig struct {
	Local   bool                      // the repository of the working folder; else the user's configuration
	Environ []string                  // for git
	DryRun  func(args []string) error // if set, it gets the arguments of each call that would change something
	Changes int                       // calls that changed something, or would
}

// Install makes fob the helper for the places of the rules, beside other programs. With a
// profile, fob answers only with that one.
func (g *GitConfig) Install(ctx context.Context, rules []Rule, fob, profile string) error {
	helper := "!'" + strings.ReplaceAll(fob, "'", `'\''`) + "'" + gitHelperWords
	if profile != "" {
		helper += " --profile " + profile
	}
	for _, r := range rules {
		section := "credential." + r.Place.String()
		if err := g.add(ctx, section+".helper", helper); err != nil {
			return err
		}
		if r.Place.IsPart() { // git names the path only if told to
			if err := g.set(ctx, section+".useHttpPath", "true"); err != nil {
				return err
			}
		}
	}
	return nil
}

// add makes helper the only one of fob's helpers among the values of a key.
func (g *GitConfig) add(ctx context.Context, key, helper string) error {
	present, err := g.values(ctx, key)
	if err != nil || slices.Contains(present, helper) {
		return err
	}
	for _, value := range present {
		if isOwnHelper(value) { // a fob that has moved, or for another profile
			if err := g.change(ctx, "--fixed-value", "--unset-all", key, value); err != nil {
				return err
			}
		}
	}
	return g.change(ctx, "--add", key, helper)
}

// Uninstall removes what Install has added, whatever the rules are by now.
func (g *GitConfig) Uninstall(ctx context.Context) error {
	entries, err := g.list(ctx, g.scope(), "--get-regexp", `^credential\..*\.helper$`)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		key, value, _ := strings.Cut(entry, "\n")
		if !isOwnHelper(value) {
			continue
		}
		if err := g.change(ctx, "--fixed-value", "--unset-all", key, value); err != nil {
			return err
		}
		section := strings.TrimSuffix(key, ".helper")
		if place, err := ParsePlace(strings.TrimPrefix(section, "credential.")); err == nil && place.IsPart() {
			if err := g.unset(ctx, section+".useHttpPath"); err != nil {
				return err
			}
		}
	}
	return nil
}

func (g *GitConfig) set(ctx context.Context, key, value string) error {
	present, err := g.values(ctx, key)
	if err != nil || slices.Contains(present, value) {
		return err
	}
	return g.change(ctx, key, value)
}

func (g *GitConfig) unset(ctx context.Context, key string) error {
	present, err := g.values(ctx, key)
	if err != nil || len(present) == 0 {
		return err
	}
	return g.change(ctx, "--unset-all", key)
}

// OtherHelpers returns the helpers that git passes the credentials of every host to.
func (g *GitConfig) OtherHelpers(ctx context.Context) ([]string, error) {
	helpers, err := g.list(ctx, "--get-all", "credential.helper")
	return slices.DeleteFunc(helpers, func(helper string) bool { return helper == "" }), err
}

const gitHelperWords = " helper git"

// isOwnHelper recognizes a helper that Install has added, for any fob and profile.
func isOwnHelper(value string) bool {
	command, shell := strings.CutPrefix(value, "!'")
	program, options, found := strings.Cut(command, "'"+gitHelperWords)
	profile, named := strings.CutPrefix(options, " --profile ")
	return shell && found && program != "" &&
		(options == "" || named && profile != "" && strings.Trim(profile, "abcdefghijklmnopqrstuvwxyz0123456789-") == "")
}

func (g *GitConfig) scope() string {
	if g.Local {
		return "--local"
	}
	return "--global"
}

// values returns the values of a key in the scope.
func (g *GitConfig) values(ctx context.Context, key string) ([]string, error) {
	return g.list(ctx, g.scope(), "--get-all", key)
}

// list calls git config for entries, of which there may be none.
func (g *GitConfig) list(ctx context.Context, args ...string) ([]string, error) {
	const notFound = 1 // git config's exit status
	out, err := g.git(ctx, append([]string{"config", "--null"}, args...))
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.ExitCode() == notFound:
		return nil, nil
	case err != nil || out == "":
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(out, "\x00"), "\x00"), nil
}

func (g *GitConfig) change(ctx context.Context, args ...string) error {
	g.Changes++
	args = append([]string{"config", g.scope()}, args...)
	if g.DryRun != nil {
		return g.DryRun(args)
	}
	_, err := g.git(ctx, args)
	return err
}

func (g *GitConfig) git(ctx context.Context, args []string) (string, error) {
	child := process.Command(ctx, "git", args...)
	child.Env = g.Environ
	var stdout, stderr bytes.Buffer
	child.Stdout, child.Stderr = &stdout, &stderr
	err := child.Run()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return "", fmt.Errorf("there is no git on this machine: %w", err)
	case err != nil:
		message, _, _ := strings.Cut(strings.TrimSpace(stderr.String()), "\n")
		return "", fmt.Errorf("git %s: %s (%w)", args[0], sanitize.Line(message), err)
	}
	return stdout.String(), nil
}
