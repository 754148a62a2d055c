package cmd

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/registry"
	"github.com/fobcli/fob/internal/safetext"
)

const (
	completionWait = time.Second // a shell waits for it
	completedKeys  = 1000        // of the registry are looked at
	completedIDs   = 100
)

// completes reports whether a shell asks what could come next.
func completes(args []string) bool {
	return len(args) > 0 && (args[0] == cobra.ShellCompRequestCmd || args[0] == cobra.ShellCompNoDescRequestCmd)
}

// addCompletions adds those that several commands share, by the names of flags: no other
// call has to pay for them. No file is offered where none can be meant.
func (a *app) addCompletions(c *cobra.Command) {
	for _, sub := range c.Commands() {
		a.addCompletions(sub)
	}
	takesFiles := slices.ContainsFunc([]string{"PATH", "FILE", "COMMAND"}, func(word string) bool { return strings.Contains(c.Use, word) })
	if c.ValidArgsFunction == nil && len(c.ValidArgs) == 0 && !takesFiles {
		c.ValidArgsFunction = cobra.NoFileCompletions
	}
	c.LocalFlags().VisitAll(func(flag *pflag.Flag) {
		if _, has := c.GetFlagCompletionFunc(flag.Name); has {
			return
		}
		if complete := a.flagCompletion(c, flag); complete != nil {
			_ = c.RegisterFlagCompletionFunc(flag.Name, complete)
		}
	})
}

// flagCompletion is nil where the shell is to offer files.
func (a *app) flagCompletion(c *cobra.Command, flag *pflag.Flag) cobra.CompletionFunc {
	placeholder, _ := pflag.UnquoteUsage(flag)
	ofKeys := strings.HasPrefix(c.CommandPath(), "fob key ")
	switch {
	case placeholder == "FILE":
		return nil
	case placeholder == "DESTINATION":
		return a.completeDestinations
	case flag.Name == "as":
		return a.completeAs
	case strings.HasPrefix(placeholder, "NAME="+tokenReference):
		return a.completeVariables
	case flag.Name == "scope" && ofKeys:
		return a.completeOfKeys(func(r *apikey.Record) []string { return r.Scopes })
	case flag.Name == "owner" && ofKeys:
		return a.completeOfKeys(func(r *apikey.Record) []string { return []string{r.Owner} })
	case flag.Name == "scope":
		return a.completeScopes
	case flag.Name == "resource":
		return a.completeResources
	}
	return cobra.NoFileCompletions
}

// completeProfiles offers the names of the profiles to the shell.
func (a *app) completeProfiles(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.completeMoreProfiles(cmd, args, word)
}

// completeMoreProfiles offers those that are not named yet.
func (a *app) completeMoreProfiles(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	cfg, err := a.config()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return without(cfg.Names(), args), cobra.ShellCompDirectiveNoFileComp
}

// completeLogins offers the presets too: a login makes the profile.
func (a *app) completeLogins(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names := providerNames()
	if cfg, err := a.config(); err == nil {
		names = append(names, cfg.Names()...)
	}
	slices.Sort(names)
	return slices.Compact(names), cobra.ShellCompDirectiveNoFileComp
}

// credentialNames are the profiles, and the secrets as secret/NAME.
func (a *app) credentialNames() []string {
	cfg, err := a.config()
	if err != nil {
		return nil
	}
	names := cfg.Names()
	for _, name := range cfg.SecretNames() {
		names = append(names, secretReference+name)
	}
	return names
}

// completeRecords offers what recordArgs accepts.
func (a *app) completeRecords(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return without(a.credentialNames(), args), cobra.ShellCompDirectiveNoFileComp
}

// completeProxied offers what 'fob proxy' adds; behind it comes a program.
func (a *app) completeProxied(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return a.credentialNames(), cobra.ShellCompDirectiveNoFileComp
}

// completeAs offers [PLATFORM=]PROFILE.
func (a *app) completeAs(_ *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
	platform, _, found := strings.Cut(word, "=")
	if !found {
		return a.credentialNames(), cobra.ShellCompDirectiveNoFileComp
	}
	return prefixed(platform+"=", a.credentialNames()), cobra.ShellCompDirectiveNoFileComp
}

// completeVariables offers NAME=token/PROFILE and NAME=secret/NAME, once there is a NAME.
func (a *app) completeVariables(_ *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
	name, _, found := strings.Cut(word, "=")
	if !found {
		return nil, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
	var references []string
	for _, credential := range a.credentialNames() {
		references = append(references, asReference(credential))
	}
	return prefixed(name+"=", references), cobra.ShellCompDirectiveNoFileComp
}

func prefixed(prefix string, words []string) []string {
	for i, word := range words {
		words[i] = prefix + word
	}
	return words
}

// completedProfile is the one that a command line names, or means; a preset where it
// names that.
func (a *app) completedProfile(args []string) (config.Profile, bool) {
	if p, err := a.profile(args); err == nil {
		return p, true
	}
	_, known := config.FindProvider(first(args))
	return config.Profile{Provider: first(args)}, known
}

// completeScopes offers those of the profile and of its login. Behind a blank comes
// another one.
func (a *app) completeScopes(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	p, known := a.completedProfile(args)
	if !known {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	scopes := slices.Concat(p.WithProvider().Scopes, a.grantedScopes(cmd.Context(), p))
	slices.Sort(scopes)
	before := word[:strings.LastIndex(word, " ")+1]
	scopes = without(plainWords(slices.Compact(scopes)), strings.Fields(before))
	return prefixed(before, scopes), cobra.ShellCompDirectiveNoFileComp
}

// grantedScopes are the login's own, where nobody would be asked for anything.
func (a *app) grantedScopes(ctx context.Context, p config.Profile) []string {
	cfg, err := a.config()
	if err != nil || p.Name == "" || a.mayAsk(cfg, p) {
		return nil
	}
	s, err := a.localSession(p)
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
func (a *app) mayAsk(cfg *config.Config, p config.Profile) bool {
	switch name, err := a.storageName(cfg, p); {
	case err != nil || name == storageEnv:
		return true
	case name == storageKeyring:
		return credstore.KeyringMayAsk(a.getenv)
	default:
		return a.fileKey(cfg).name == passphraseSource
	}
}

// completeResources offers the APIs that the profile names.
func (a *app) completeResources(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	p, _ := a.completedProfile(args)
	return plainWords(p.Resources), cobra.ShellCompDirectiveNoFileComp
}

// plainWords leaves out what a shell would take for more than a word: what is completed
// may come from a server, or from a registry that others write.
func plainWords(words []string) []string {
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
func (a *app) eachKey(ctx context.Context, see func(*apikey.Record)) {
	ctx, cancel := context.WithTimeout(ctx, completionWait)
	defer cancel()
	if dsn, _, err := a.registryName(); err != nil || registry.IsShared(dsn) {
		return
	}
	g, err := a.registrar(ctx, false)
	if err != nil {
		return
	}
	defer g.Close()
	seen := 0
	for r, err := range g.Registry.Keys(ctx, apikey.Filter{}) {
		if seen++; err != nil || seen > completedKeys {
			return
		}
		if state := r.State(a.now()); state != apikey.Revoked && state != apikey.Expired {
			see(&r)
		}
	}
}

// completeOfKeys offers what keys in use have.
func (a *app) completeOfKeys(of func(*apikey.Record) []string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		found := make(map[string]bool)
		a.eachKey(cmd.Context(), func(r *apikey.Record) {
			for _, word := range of(r) {
				found[word] = true
			}
		})
		return plainWords(slices.Sorted(maps.Keys(found))), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeKeyID offers the id of one key that is in use, with its owner.
func (a *app) completeKeyID(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.completeKeyIDs(cmd, args, word)
}

// completeKeyIDs offers those that are not named yet.
func (a *app) completeKeyIDs(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	var ids []string
	a.eachKey(cmd.Context(), func(r *apikey.Record) {
		if len(ids) < completedIDs && strings.HasPrefix(r.ID, word) && apikey.CheckID(r.ID) == nil && !slices.Contains(args, r.ID) {
			ids = append(ids, cobra.CompletionWithDesc(r.ID, safetext.Line(r.Owner)+" ("+safetext.Line(r.Environment)+")"))
		}
	})
	return ids, cobra.ShellCompDirectiveNoFileComp
}

// completeEnvironments offers the configured environments.
func (a *app) completeEnvironments(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	format, err := a.keyFormat()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return format.Environments, cobra.ShellCompDirectiveNoFileComp
}

// completeSecrets offers the names of the secrets to the shell.
func (a *app) completeSecrets(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	cfg, err := a.config()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return cfg.SecretNames(), cobra.ShellCompDirectiveNoFileComp
}
