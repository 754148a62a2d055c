// Package complete offers a shell the names of profiles, keys, secrets and destinations.
package complete

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/registry"
	"github.com/fobcli/fob/internal/app"
	appkeys "github.com/fobcli/fob/internal/app/keys"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/delivery"
	"github.com/fobcli/fob/internal/sanitize"
)

const (
	completionWait = time.Second // a shell waits for it
	completedKeys  = 1000        // of the registry are looked at
	completedIDs   = 100
)

// Values are the words that a shell is offered.
type Values struct{ *app.App }

func New(a *app.App) Values { return Values{a} }

// Requested reports whether a shell asks what could come next.
func Requested(args []string) bool {
	return len(args) > 0 && (args[0] == cobra.ShellCompRequestCmd || args[0] == cobra.ShellCompNoDescRequestCmd)
}

// AddTo adds those that several commands share, by the names of flags: no other
// call has to pay for them. No file is offered where none can be meant.
func (c Values) AddTo(root *cobra.Command) {
	for _, sub := range root.Commands() {
		c.AddTo(sub)
	}
	takesFiles := slices.ContainsFunc([]string{"PATH", "FILE", "COMMAND"}, func(word string) bool { return strings.Contains(root.Use, word) })
	if root.ValidArgsFunction == nil && len(root.ValidArgs) == 0 && !takesFiles {
		root.ValidArgsFunction = cobra.NoFileCompletions
	}
	root.LocalFlags().VisitAll(func(flag *pflag.Flag) {
		if _, has := root.GetFlagCompletionFunc(flag.Name); has {
			return
		}
		if complete := c.flagCompletion(root, flag); complete != nil {
			_ = root.RegisterFlagCompletionFunc(flag.Name, complete)
		}
	})
}

// flagCompletion is nil where the shell is to offer files.
func (c Values) flagCompletion(cmd *cobra.Command, flag *pflag.Flag) cobra.CompletionFunc {
	placeholder, _ := pflag.UnquoteUsage(flag)
	ofKeys := strings.HasPrefix(cmd.CommandPath(), "fob key ")
	switch {
	case placeholder == "FILE":
		return nil
	case placeholder == "DESTINATION":
		return c.completeDestinations
	case flag.Name == "as":
		return c.completeAs
	case strings.HasPrefix(placeholder, "NAME="+app.TokenReference):
		return c.completeVariables
	case flag.Name == "scope" && ofKeys:
		return c.completeOfKeys(func(r *apikey.Record) []string { return r.Scopes })
	case flag.Name == "owner" && ofKeys:
		return c.completeOfKeys(func(r *apikey.Record) []string { return []string{r.Owner} })
	case flag.Name == "scope":
		return c.completeScopes
	case flag.Name == "resource":
		return c.completeResources
	}
	return cobra.NoFileCompletions
}

// Profiles offers the names of the profiles to the shell.
func (c Values) Profiles(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return c.MoreProfiles(cmd, args, word)
}

// MoreProfiles offers those that are not named yet.
func (c Values) MoreProfiles(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	cfg, err := c.Config()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return app.Subtract(cfg.Names(), args), cobra.ShellCompDirectiveNoFileComp
}

// Logins offers the presets too: a login makes the profile.
func (c Values) Logins(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names := app.ProviderNames()
	if cfg, err := c.Config(); err == nil {
		names = append(names, cfg.Names()...)
	}
	slices.Sort(names)
	return slices.Compact(names), cobra.ShellCompDirectiveNoFileComp
}

// credentialNames are the profiles, and the secrets as secret/NAME.
func (c Values) credentialNames() []string {
	cfg, err := c.Config()
	if err != nil {
		return nil
	}
	names := cfg.Names()
	for _, name := range cfg.SecretNames() {
		names = append(names, app.SecretReference+name)
	}
	return names
}

// Records offers what recordArgs accepts.
func (c Values) Records(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return app.Subtract(c.credentialNames(), args), cobra.ShellCompDirectiveNoFileComp
}

// Proxied offers what 'fob proxy' adds; behind it comes a program.
func (c Values) Proxied(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return c.credentialNames(), cobra.ShellCompDirectiveNoFileComp
}

// completeAs offers [PLATFORM=]PROFILE.
func (c Values) completeAs(_ *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
	platform, _, found := strings.Cut(word, "=")
	if !found {
		return c.credentialNames(), cobra.ShellCompDirectiveNoFileComp
	}
	return withPrefix(platform+"=", c.credentialNames()), cobra.ShellCompDirectiveNoFileComp
}

// completeVariables offers NAME=token/PROFILE and NAME=secret/NAME, once there is a NAME.
func (c Values) completeVariables(_ *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
	name, _, found := strings.Cut(word, "=")
	if !found {
		return nil, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
	var references []string
	for _, credential := range c.credentialNames() {
		references = append(references, delivery.CredentialReference(credential))
	}
	return withPrefix(name+"=", references), cobra.ShellCompDirectiveNoFileComp
}

func withPrefix(prefix string, words []string) []string {
	for i, word := range words {
		words[i] = prefix + word
	}
	return words
}

// completedProfile is the one that a command line names, or means; a preset where it
// names that.
func (c Values) completedProfile(args []string) (config.Profile, bool) {
	if p, err := c.Profile(args); err == nil {
		return p, true
	}
	_, known := config.FindProvider(cli.FirstArg(args))
	return config.Profile{Provider: cli.FirstArg(args)}, known
}

// completeScopes offers those of the profile and of its login. Behind a blank comes
// another one.
func (c Values) completeScopes(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	p, known := c.completedProfile(args)
	if !known {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	scopes := slices.Concat(p.WithProvider().Scopes, c.grantedScopes(cmd.Context(), p))
	slices.Sort(scopes)
	before := word[:strings.LastIndex(word, " ")+1]
	scopes = app.Subtract(withoutSpecial(slices.Compact(scopes)), strings.Fields(before))
	return withPrefix(before, scopes), cobra.ShellCompDirectiveNoFileComp
}

// grantedScopes are the login's own, where nobody would be asked for anything.
func (c Values) grantedScopes(ctx context.Context, p config.Profile) []string {
	cfg, err := c.Config()
	if err != nil || p.Name == "" || c.mayAsk(cfg, p) {
		return nil
	}
	s, err := c.LocalSession(p)
	if err != nil {
		return nil
	}
	s.Warn = func(string) {}
	ctx, cancel := context.WithTimeout(ctx, completionWait)
	defer cancel()
	return strings.Fields(s.Status(ctx).Scope)
}

// mayAsk reports whether to read a login could have a person asked, by the keyring or
// for a passphrase.
func (c Values) mayAsk(cfg *config.Config, p config.Profile) bool {
	switch name, err := cfg.StorageFor(p.Storage); {
	case err != nil || name == config.StorageNone:
		return true
	case name == config.StorageKeyring:
		return credstore.KeyringMayAsk(c.Getenv)
	default:
		return c.FileKey(cfg).Name == app.PassphraseSource
	}
}

// completeResources offers the APIs that the profile names.
func (c Values) completeResources(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	p, _ := c.completedProfile(args)
	return withoutSpecial(p.Resources), cobra.ShellCompDirectiveNoFileComp
}

// withoutSpecial drops words that a shell would take for more than a word: they may come
// from a server, or from a registry that others can write.
func withoutSpecial(words []string) []string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	var plain []string
	for _, word := range words {
		if word != "" && strings.Trim(word, letters+"-._/:@+,*#=") == "" && word[0] != '-' {
			plain = append(plain, word)
		}
	}
	return plain
}

// eachKey looks at the keys in use of this machine's registry; one that many machines
// share is not asked while somebody types.
func (c Values) eachKey(ctx context.Context, see func(*apikey.Record)) {
	ctx, cancel := context.WithTimeout(ctx, completionWait)
	defer cancel()
	if dsn, _, err := appkeys.RegistryName(c.App); err != nil || registry.IsShared(dsn) {
		return
	}
	g, err := appkeys.Open(ctx, c.App, false)
	if err != nil {
		return
	}
	defer g.Close()
	seen := 0
	for r, err := range g.Registry.Keys(ctx, apikey.Filter{}) {
		if seen++; err != nil || seen > completedKeys {
			return
		}
		if state := r.State(c.Now()); state != apikey.Revoked && state != apikey.Expired {
			see(&r)
		}
	}
}

// completeOfKeys offers what keys in use have.
func (c Values) completeOfKeys(of func(*apikey.Record) []string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		found := make(map[string]bool)
		c.eachKey(cmd.Context(), func(r *apikey.Record) {
			for _, word := range of(r) {
				found[word] = true
			}
		})
		return withoutSpecial(slices.Sorted(maps.Keys(found))), cobra.ShellCompDirectiveNoFileComp
	}
}

// KeyID offers the id of one key that is in use, with its owner.
func (c Values) KeyID(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return c.KeyIDs(cmd, args, word)
}

// KeyIDs offers those that are not named yet.
func (c Values) KeyIDs(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	var ids []string
	c.eachKey(cmd.Context(), func(r *apikey.Record) {
		if len(ids) < completedIDs && strings.HasPrefix(r.ID, word) && apikey.CheckID(r.ID) == nil && !slices.Contains(args, r.ID) {
			ids = append(ids, cobra.CompletionWithDesc(r.ID, sanitize.Line(r.Owner)+" ("+sanitize.Line(r.Environment)+")"))
		}
	})
	return ids, cobra.ShellCompDirectiveNoFileComp
}

// Environments offers the configured environments.
func (c Values) Environments(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	format, err := appkeys.Format(c.App)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return format.Environments, cobra.ShellCompDirectiveNoFileComp
}

// Secrets offers the names of the secrets to the shell.
func (c Values) Secrets(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	cfg, err := c.Config()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return cfg.SecretNames(), cobra.ShellCompDirectiveNoFileComp
}

// completeDestinations offers those that secrets have, then the platforms.
func (c Values) completeDestinations(_ *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	var names []string
	if cfg, err := c.Config(); err == nil {
		for _, name := range cfg.SecretNames() {
			names = append(names, cfg.Secrets[name].To...)
		}
		names = append(names, withPrefix("exec:", slices.Sorted(maps.Keys(cfg.Commands)))...)
	}
	for _, platform := range delivery.Platforms() {
		names = append(names, platform+":")
	}
	return withoutSpecial(names), cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
}

// Commands offers the commands of config.toml, and what fob knows beside.
func (c Values) Commands(known ...string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		if cfg, err := c.Config(); err == nil {
			known = slices.Concat(known, slices.Sorted(maps.Keys(cfg.Commands)))
		}
		return known, cobra.ShellCompDirectiveNoFileComp
	}
}

func Storage(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return config.Storages(), cobra.ShellCompDirectiveNoFileComp
}
