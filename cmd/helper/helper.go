// Package helper contains the commands that other programs call for credentials.
package helper

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credhelper"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/secret"
	"github.com/fobcli/fob/internal/session"
)

func New(a *app.App) *cobra.Command {
	return usage.Group(a, a.Called, &cobra.Command{
		Use:   "helper",
		Short: "Provide tokens to git, docker, AWS, MCP clients",
		Long: `Provide fresh tokens to other programs when they need one, so that they store none
themselves. git and docker get tokens for a profile's hosts; the others for the
profile they name.`,
		Example: `  fob helper install git
  git clone https://github.com/acme/private.git`,
	}, "git docker kubectl aws mcp install uninstall", newHelperGitCmd, newHelperDockerCmd, newHelperKubectlCmd, newHelperAWSCmd, newHelperMCPCmd, newHelperInstallCmd, newHelperUninstallCmd)
}

// hosts returns where a profile's tokens may be sent, for one protocol.
type hosts struct {
	setting, hint string
	parse         func(string) (credhelper.Place, error)
	of            func(config.Profile) (names []string, username string)
}

func (h hosts) rules(a *app.App, profile string) (rules []credhelper.Rule, err error) {
	cfg, err := a.Config()
	if err != nil {
		return nil, err
	}
	profiles := cfg.Names()
	if profile != "" {
		if _, _, err := cfg.Select(config.Choice{Name: profile, By: "--profile"}); err != nil {
			return nil, err
		}
		profiles = []string{profile}
	}
	for _, name := range profiles {
		names, username := h.of(cfg.Profiles[name].WithProvider())
		for _, host := range names {
			place, err := h.parse(host)
			if err != nil {
				return nil, cli.WithHint(cli.Usagef("%s of profile %q: %s", h.setting, name, err), "%s", h.hint)
			}
			rules = append(rules, credhelper.Rule{Place: place, Profile: name, Username: username})
		}
	}
	return rules, nil
}

// rule returns the only rule for a place, or nil.
func (h hosts) rule(a *app.App, profile string, asked credhelper.Place, username string) (*credhelper.Rule, error) {
	rules, err := h.rules(a, profile)
	if err != nil {
		return nil, err
	}
	found := credhelper.Choose(rules, asked, username)
	for _, r := range found[min(1, len(found)):] {
		if r.Profile != found[0].Profile {
			return nil, cli.WithHint(cli.Usagef("profiles %q and %q are both for %s", found[0].Profile, r.Profile, asked),
				"remove it from one profile, see 'fob profile set --help'; for git, 'fob helper install git --profile %s' selects one", r.Profile)
		}
	}
	if len(found) == 0 {
		return nil, nil
	}
	return &found[0], nil
}

// The kinds of tokens that a helper prints.
const (
	tokenAccess = "access"
	tokenID     = "id"
)

// credential gets a token for another program, which cannot use one bound to a key.
func credential(ctx context.Context, a *app.App, p config.Profile, kind string) (c credhelper.Credential, err error) {
	if kind == tokenID && app.ShowsIdentity(p) {
		return c, cli.WithHint(cli.Usagef("profile %q has no id_token: it uses the machine's identity", p.Name), "use the access token: --token access")
	}
	cfg, err := a.Config()
	if err == nil {
		err = cfg.Vet(p) // also for a token in the environment, because the profile determines who gets it
	}
	if err != nil {
		return c, err
	}
	token, err := a.Token(ctx, p, session.TokenOptions{WantIDToken: kind == tokenID})
	switch {
	case errors.Is(err, oauth.ErrUnsupported) && kind == tokenID:
		return c, cli.WithHint(err, "log in with the scope openid; or use the access token: --token access")
	case err != nil:
		return c, cli.ForProfile(err, p.Name)
	case kind == tokenID:
		return credhelper.Credential{Token: token.IDToken, ExpiresAt: token.IDTokenExpiresAt}, nil
	case token.Type != oauth.TypeBearer:
		return c, cli.WithHint(cli.Usagef("the tokens of profile %q are bound to a key, and a helper cannot prove possession of it", p.Name),
			"use bearer tokens: 'fob profile set %s --dpop=false', then 'fob login %s'", p.Name, p.Name)
	}
	return credhelper.Credential{Token: token.Value, ExpiresAt: token.ExpiresAt}, nil
}

// accessFor returns the access token for a rule, with its username.
func accessFor(ctx context.Context, a *app.App, rule *credhelper.Rule) (credhelper.Credential, error) {
	p, err := a.Profile([]string{rule.Profile})
	if err != nil {
		return credhelper.Credential{}, err
	}
	c, err := credential(ctx, a, p, tokenAccess)
	c.Username = rule.Username
	return c, err
}

// tokenFlag is --token, for consumers that trust the issuer itself.
type tokenFlag struct {
	Token string `flag:"token" values:"id access" help:"token {KIND}: id or access"`
}

// dropRefused deletes the cached token that a host has refused; the login stays.
func dropRefused(ctx context.Context, a *app.App, profile string, refused secret.Secret) error {
	p, err := a.Profile([]string{profile})
	if err != nil {
		return err
	}
	s, err := storedLogin(a, p)
	if s == nil || err != nil { // there is no cache that the next call would use
		return err
	}
	err = s.DropToken(ctx, refused)
	if errors.Is(err, session.ErrLoginRequired) {
		return cli.WithHint(err, "run 'fob login %s'; if the host refuses that token too, see its scopes: 'fob status %s'", p.Name, p.Name)
	}
	return cli.ForProfile(err, p.Name)
}

// storedLogin returns nil if the profile's tokens come from the environment or the
// machine's identity.
func storedLogin(a *app.App, p config.Profile) (*session.Session, error) {
	if name, _ := a.TokenVariable(p.Name); name != "" || app.ShowsIdentity(p) {
		return nil, nil
	}
	return a.LocalSession(p)
}

func inputHint(err error, program string) error {
	if errors.Is(err, credhelper.ErrInput) {
		return cli.WithHint(err, "%s runs this command itself: see 'fob helper --help'", program)
	}
	return err
}

// executablePath returns the absolute path with which fob was called. Links are not
// resolved, because package managers replace their targets.
func executablePath() (string, error) {
	path, err := exec.LookPath(os.Args[0])
	if err != nil {
		path, err = os.Executable()
	}
	if err != nil {
		return "", fmt.Errorf("finding fob's own path: %w", err)
	}
	return filepath.Abs(path)
}
