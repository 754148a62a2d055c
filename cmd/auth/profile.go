package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/session"
)

func NewProfile(a *app.App) *cobra.Command {
	return usage.Group(a, a.Called, &cobra.Command{
		Use:   "profile",
		Short: "List, show and change profiles",
		Long: `A profile is one login: its server, its client, its scopes and its storage. 'fob
login NAME' creates one; these commands show and change it.`,
		Example: `  fob profile list
  fob profile set work --scope "openid offline_access" --default`,
	}, "list show set remove providers", newProfileListCmd, newProfileShowCmd, newProfileSetCmd, newProfileRemoveCmd, newProfileProvidersCmd)
}

func newProfileListCmd(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:     "list",
		Short:   "List the profiles",
		Long:    "List the profiles. A star marks the default.",
		Example: "  fob profile list --json",
		Args:    usage.NoArgs,
	}, usage.JSONFlag{}, listProfiles, cli.ExitDone, cli.ExitUsage)
}

func listProfiles(_ context.Context, a *app.App, _ []string, opts usage.JSONFlag) error {
	cfg, err := a.Config()
	if err != nil {
		return err
	}
	if opts.JSON {
		all := []map[string]any{}
		for _, name := range cfg.Names() {
			_, shown := shownSettings(cfg, cfg.Profiles[name])
			all = append(all, shown)
		}
		return a.PrintJSON(all)
	}
	if len(cfg.Profiles) == 0 {
		a.Note("There are no profiles yet. Create one: fob login github")
		return nil
	}
	rows := [][]string{{"PROFILE", "", "SERVER", "CLIENT ID"}}
	for _, name := range cfg.Names() {
		p := cfg.Profiles[name]
		rows = append(rows, []string{name, cli.TextIf(name == cfg.Default, "*"), p.WithProvider().Authority(), p.ClientID})
	}
	return a.PrintTable(rows, "CLIENT ID", "SERVER")
}

// shownSettings returns what is set in a profile, by its names in config.toml and in their
// order. The server stands for its endpoints.
func shownSettings(cfg *config.Config, p config.Profile) (names []string, values map[string]any) {
	full := p.WithProvider()
	full.RedirectURI = cli.TextIf(p.Grant == "", p.Redirect())
	names = []string{"name", "server"}
	values = map[string]any{"name": p.Name, "default": p.Name == cfg.Default, "server": full.Authority(), "client_id": p.ClientID}
	fields := reflect.ValueOf(full)
	for i, field := range reflect.VisibleFields(fields.Type()) {
		name := field.Tag.Get("toml")
		if name != "-" && name != "issuer" && !strings.HasSuffix(name, "_endpoint") && !fields.Field(i).IsZero() {
			names, values[name] = append(names, name), fields.Field(i).Interface()
		}
	}
	return names, values
}

func settingRow(name string, value any) []string {
	labels := map[string]string{"name": "profile", "client_id": "client ID", "redirect_uri": "redirect", "ca_file": "CA file", "dpop": "tokens"}
	label := cmp.Or(labels[name], strings.ReplaceAll(name, "_", " "))
	switch value := value.(type) {
	case []string:
		return []string{label, strings.Join(value, " ")}
	case bool:
		return []string{label, "bound to a key (DPoP)"}
	}
	return []string{label, fmt.Sprint(value)}
}

func newProfileShowCmd(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:     "show [PROFILE]",
		Short:   "Show a profile's settings",
		Long:    "Show a profile's settings, with those of its preset.",
		Example: "  fob profile show work",
		Args:    usage.AtMostProfile,
	}, usage.JSONFlag{}, showProfile, cli.ExitDone, cli.ExitUsage)
}

func showProfile(_ context.Context, a *app.App, args []string, opts usage.JSONFlag) error {
	cfg, err := a.Config()
	if err != nil {
		return err
	}
	p, err := a.Profile(args)
	if err != nil {
		return err
	}
	names, shown := shownSettings(cfg, p)
	if opts.JSON {
		return a.PrintJSON(shown)
	}
	var rows [][]string
	for _, name := range names {
		rows = append(rows, settingRow(name, shown[name]))
	}
	return a.PrintTable(cli.WithoutEmptyValues(rows))
}

type setOptions struct {
	Profile ProfileFlags
	Default bool `flag:"default" help:"make this the default profile"`
}

func newProfileSetCmd(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "set PROFILE",
		Short: "Change a profile's settings",
		Long: `Change a profile's settings in config.toml. Comments and order are preserved. An
empty value removes a setting: --ca-file ''. After a change of the server or the
client, log in again.`,
		Example: `  fob profile set work --scope "openid offline_access"
  fob profile set work --default`,
		Args: usage.OneProfile,
	}, setOptions{}, runProfileSet, cli.ExitDone, cli.ExitFailed, cli.ExitUsage)
}

func runProfileSet(ctx context.Context, a *app.App, args []string, opts setOptions) error {
	before, err := a.Profile(args)
	if err != nil {
		return err
	}
	after := before
	if err := opts.Profile.apply(&after); err != nil {
		return err
	}
	cfg, err := a.Config()
	if err != nil {
		return err
	}
	if err := checkSettings(ctx, a, cfg, before, after); err != nil {
		return err
	}
	if err := a.SaveProfile(after); err != nil {
		return err
	}
	if opts.Default {
		if err := config.Edit(cfg.Paths.Config, func(c *config.Config) { c.Default = after.Name }); err != nil {
			return err
		}
	}
	noteChanges(a, before, after, opts.Default)
	if after.Redirect() != before.Redirect() {
		a.Note("Register this redirect URI with the client, in place of the old one:\n  %s", after.Redirect())
	}
	if after.WithProvider().Authority() != before.WithProvider().Authority() || after.ClientID != before.ClientID {
		a.Note("The server or the client has changed: run 'fob login %s'.", after.Name)
	}
	return nil
}

func noteChanges(a *app.App, before, after config.Profile, asDefault bool) {
	set, removed := config.Changes(before, after)
	if asDefault {
		a.Note("%s: is now the default profile.", after.Name)
	}
	if len(set) > 0 {
		a.Note("%s: set %s.", after.Name, strings.Join(set, ", "))
	}
	if len(removed) > 0 {
		a.Note("%s: removed %s.", after.Name, strings.Join(removed, ", "))
	}
	if len(set)+len(removed) == 0 && !asDefault {
		a.Note("%s: nothing to change.", after.Name)
	}
}

// checkSettings rejects settings that no login could be used with. It only reads files that
// are newly set: another setting may fix the rest.
func checkSettings(ctx context.Context, a *app.App, cfg *config.Config, before, after config.Profile) error {
	files := func(p config.Profile) [3]string {
		return [3]string{p.CAFile, p.CertificateFile, p.CertificateKeyFile}
	}
	if files(after) != files(before) {
		if _, err := a.HTTPClient(after); err != nil {
			return err
		}
	}
	if after.PrivateKeyFile != before.PrivateKeyFile && after.PrivateKeyFile != "" {
		if _, err := (&session.Session{Profile: after}).KeyFile(); err != nil {
			return err
		}
	}
	return checkStorageChange(ctx, a, cfg, before, after)
}

// checkStorageChange refuses to change the storage setting of a profile with a login
// elsewhere.
func checkStorageChange(ctx context.Context, a *app.App, cfg *config.Config, before, after config.Profile) error {
	to, err := cfg.StorageFor(after.Storage)
	if err != nil {
		return err
	}
	from, err := cfg.StorageFor(before.Storage)
	if err != nil || from == to {
		return nil //nolint:nilerr // nothing lies in a storage that is none
	}
	s, err := a.LocalSession(before)
	if err != nil {
		return err
	}
	if s.Status(ctx).State == session.StateLoggedOut {
		return nil
	}
	return cli.WithHint(cli.Usagef("the login of profile %q is in another storage", before.Name),
		"move it: 'fob storage migrate --to %s %s'", to, before.Name)
}

func newProfileRemoveCmd(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "remove PROFILE",
		Short: "Remove a profile that is logged out",
		Long: `Remove a profile from config.toml. If it still has a login, log out first: that
revokes the login.`,
		Example: "  fob logout work && fob profile remove work",
		Args:    usage.OneProfile,
	}, usage.NoFlags{}, runProfileRemove, cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitStorage)
}

func runProfileRemove(ctx context.Context, a *app.App, args []string, _ usage.NoFlags) error {
	p, err := a.Profile(args)
	if err != nil {
		return err
	}
	if err := checkLoggedOut(ctx, a, p); err != nil {
		return err
	}
	paths, err := a.Paths()
	if err != nil {
		return err
	}
	if err := config.RemoveProfile(paths.Config, p.Name); err != nil {
		return err
	}
	a.Note("Removed profile %s.", p.Name)
	return nil
}

func checkLoggedOut(ctx context.Context, a *app.App, p config.Profile) error {
	if app.ShowsIdentity(p) && !keepsRecord(ctx, a, p) {
		return nil
	}
	s, err := a.LocalSession(p)
	if err != nil {
		return err
	}
	switch status := s.Status(ctx); status.State {
	case session.StateLoggedOut:
		if status.Registered {
			return cli.WithHint(errors.New("the client that fob registered for profile "+p.Name+" is still there"), "run 'fob logout %s --unregister' first", p.Name)
		}
		return nil
	case session.StateUnreadable:
		return cli.WithHint(cli.ForProfile(status.Err, p.Name), "to abandon the login: 'fob logout %s --local', then remove the profile", p.Name)
	}
	return cli.WithHint(errors.New("profile "+p.Name+" is still logged in"), "run 'fob logout %s' first", p.Name)
}

func newProfileProvidersCmd(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "providers",
		Short: "List the presets for known providers",
		Long: `List the presets for 'fob login NAME': the server, the login flows, whether the
client needs a secret, what a logout revokes, and how that was verified. In a
redirect URI, {issuer} is a hash of the issuer: 'fob login NAME' prints it.`,
		Example: "  fob profile providers",
		Args:    usage.NoArgs,
	}, usage.JSONFlag{}, listProviders, cli.ExitDone, cli.ExitUsage)
}

func listProviders(_ context.Context, a *app.App, _ []string, opts usage.JSONFlag) error {
	providers := config.Providers()
	for i, p := range providers {
		providers[i].RedirectURI = p.Redirect()
	}
	if opts.JSON {
		return a.PrintJSON(providers)
	}
	rows := [][]string{{"NAME", "FLOWS", "SECRET", "REDIRECT URI", "SERVER", "LOGOUT REVOKES", "KNOWN"}}
	for _, p := range providers {
		flows := "browser" + cli.TextIf(p.Device, ", device")
		secret := cmp.Or(cli.TextIf(p.SecretRequired, "yes"), "no")
		rows = append(rows, []string{p.Name, flows, secret, p.RedirectURI, p.Server(), p.Revocation, p.Verified})
	}
	return a.PrintTable(rows, "KNOWN", "LOGOUT REVOKES", "SERVER", "REDIRECT URI")
}
