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
	"github.com/fobcli/fob/internal/delivery"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/secretstore"
)

const (
	timeout = time.Second // a shell waits for the answer
	maxKeys = 1000        // of the registry are read
	maxIDs  = 100         // are offered
	noFiles = cobra.ShellCompDirectiveNoFileComp
)

// values completes words of a command line.
type values struct{ *app.App }

// Requested reports whether a shell asks for completions.
func Requested(args []string) bool {
	return len(args) > 0 && (args[0] == cobra.ShellCompRequestCmd || args[0] == cobra.ShellCompNoDescRequestCmd)
}

// AddTo adds the completions of arguments and flags, by their names in the help, so that no
// other call pays for them. Files are offered only to what takes files.
func AddTo(root *cobra.Command, a *app.App) {
	for _, sub := range root.Commands() {
		AddTo(sub, a)
	}
	c := values{a}
	if root.ValidArgsFunction == nil && len(root.ValidArgs) == 0 {
		root.ValidArgsFunction = c.argCompletion(root)
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

// argCompletion returns nil if the shell should offer files.
func (c values) argCompletion(cmd *cobra.Command) cobra.CompletionFunc {
	takes := func(words ...string) bool {
		return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(cmd.Use, " "+word) })
	}
	switch {
	case takes("PROFILE --allow"):
		return c.proxied
	case takes("[PROFILE | URL]"):
		return first(c.offer(logins))
	case takes("[PROFILE|secret/NAME...]"):
		return more(c.offer(credentials))
	case takes("[PROFILE...]"):
		return more(c.offer((*config.Config).Names))
	case takes("PROFILE", "[PROFILE]"):
		return first(c.offer((*config.Config).Names))
	case takes("[ID…]"):
		return c.keyIDs
	case takes("ID"):
		return first(c.keyIDs)
	case takes("NAME") && strings.HasPrefix(cmd.CommandPath(), "fob secret "):
		return first(c.offer((*config.Config).SecretNames))
	case takes("FILE", "[PATH…]", "COMMAND"):
		return nil
	}
	return cobra.NoFileCompletions
}

// flagCompletion returns nil if the shell should offer files.
func (c values) flagCompletion(cmd *cobra.Command, flag *pflag.Flag) cobra.CompletionFunc {
	placeholder, _ := pflag.UnquoteUsage(flag)
	ofKeys := strings.HasPrefix(cmd.CommandPath(), "fob key ")
	switch {
	case placeholder == "FILE":
		return nil
	case placeholder == "DESTINATION":
		return c.destinations
	case flag.Name == "as":
		return c.platformCredentials
	case strings.HasPrefix(placeholder, "NAME="+config.TokenPrefix):
		return c.variables
	case flag.Name == "profile":
		return c.offer((*config.Config).Names)
	case flag.Name == "with", flag.Name == "rotate-with":
		return c.offer(func(cfg *config.Config) []string { return append([]string{secretstore.GitLabIssuer}, commands(cfg)...) })
	case flag.Name == "retire-with":
		return c.offer(commands)
	case flag.Name == "env" && ofKeys:
		return c.environments
	case flag.Name == "scope" && ofKeys:
		return c.keyValues(func(r apikey.Record) []string { return r.Scopes })
	case flag.Name == "owner" && ofKeys:
		return c.keyValues(func(r apikey.Record) []string { return []string{r.Owner} })
	case flag.Name == "scope":
		return c.scopes
	case flag.Name == "resource":
		return c.resources
	}
	return cobra.NoFileCompletions
}

// config returns the configuration; an empty one if it cannot be read.
func (c values) config() *config.Config {
	if cfg, err := c.Config(); err == nil {
		return cfg
	}
	return &config.Config{}
}

// offer completes with names in the configuration.
func (c values) offer(names func(*config.Config) []string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return names(c.config()), noFiles
	}
}

// first completes only the first argument.
func first(complete cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, noFiles
		}
		return complete(cmd, args, word)
	}
}

// more completes each argument with words that are not given yet.
func more(complete cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		words, directive := complete(cmd, args, word)
		return app.Subtract(words, args), directive
	}
}

// logins returns the profiles and the presets: a login creates the profile.
func logins(cfg *config.Config) []string {
	names := append(app.ProviderNames(), cfg.Names()...)
	slices.Sort(names)
	return slices.Compact(names)
}

// credentials returns the names of the profiles, and of the secrets as secret/NAME.
func credentials(cfg *config.Config) []string {
	return slices.Concat(cfg.Names(), withPrefix(config.SecretPrefix, cfg.SecretNames()))
}

func commands(cfg *config.Config) []string { return slices.Sorted(maps.Keys(cfg.Commands)) }

// proxied offers the credentials that 'fob proxy' adds, then files: a program follows.
func (c values) proxied(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return credentials(c.config()), noFiles
}

func (c values) platformCredentials(_ *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
	return withPrefix(word[:strings.Index(word, "=")+1], credentials(c.config())), noFiles
}

// variables offers NAME=token/PROFILE and NAME=secret/NAME, once there is a NAME.
func (c values) variables(_ *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
	name, _, found := strings.Cut(word, "=")
	if !found {
		return nil, noFiles | cobra.ShellCompDirectiveNoSpace
	}
	references := credentials(c.config())
	for i, credential := range references {
		references[i] = delivery.CredentialReference(credential)
	}
	return withPrefix(name+"=", references), noFiles
}

func withPrefix(prefix string, words []string) []string {
	for i, word := range words {
		words[i] = prefix + word
	}
	return words
}

// profile returns the profile that a command line selects, or the preset that it names.
func (c values) profile(args []string) config.Profile {
	if p, err := c.Profile(args); err == nil {
		return p
	}
	return config.Profile{Provider: cli.FirstArg(args)}
}

// scopes offers those of the profile and of its login. After a blank comes another one.
func (c values) scopes(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	p := c.profile(args)
	scopes := slices.Concat(p.WithProvider().Scopes, c.grantedScopes(cmd.Context(), p))
	slices.Sort(scopes)
	before := word[:strings.LastIndex(word, " ")+1]
	scopes = app.Subtract(withoutSpecial(slices.Compact(scopes)), strings.Fields(before))
	return withPrefix(before, scopes), noFiles
}

// grantedScopes returns the scopes of a login that can be read without a prompt.
func (c values) grantedScopes(ctx context.Context, p config.Profile) []string {
	if p.Name == "" || !app.ReadsWithoutPrompt(c.App, p) {
		return nil
	}
	s, err := c.LocalSession(p)
	if err != nil {
		return nil
	}
	s.Warn = func(string) {}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return strings.Fields(s.Status(ctx).Scope)
}

func (c values) resources(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return withoutSpecial(c.profile(args).Resources), noFiles
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

// keysInUse returns the keys in this machine's registry that are neither revoked nor expired. A
// shared registry is not asked while the user types.
func (c values) keysInUse(ctx context.Context) (inUse []apikey.Record) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if dsn, _, err := appkeys.RegistryName(c.App); err != nil || registry.IsShared(dsn) {
		return nil
	}
	g, err := appkeys.Open(ctx, c.App, false)
	if err != nil {
		return nil
	}
	defer g.Close()
	read := 0
	for r, err := range g.Registry.Keys(ctx, apikey.Filter{}) {
		if read++; err != nil || read > maxKeys {
			break
		}
		if state := r.State(c.Now()); state != apikey.Revoked && state != apikey.Expired {
			inUse = append(inUse, r)
		}
	}
	return inUse
}

func (c values) keyValues(of func(apikey.Record) []string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) (values []string, _ cobra.ShellCompDirective) {
		for _, r := range c.keysInUse(cmd.Context()) {
			values = append(values, of(r)...)
		}
		slices.Sort(values)
		return withoutSpecial(slices.Compact(values)), noFiles
	}
}

// keyIDs offers the ids of keys in use that are not named yet, with their owners.
func (c values) keyIDs(cmd *cobra.Command, args []string, word string) (ids []string, _ cobra.ShellCompDirective) {
	for _, r := range c.keysInUse(cmd.Context()) {
		if len(ids) < maxIDs && strings.HasPrefix(r.ID, word) && apikey.CheckID(r.ID) == nil && !slices.Contains(args, r.ID) {
			ids = append(ids, cobra.CompletionWithDesc(r.ID, sanitize.Line(r.Owner)+" ("+sanitize.Line(r.Environment)+")"))
		}
	}
	return ids, noFiles
}

func (c values) environments(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	format, _ := appkeys.Format(c.App)
	return format.Environments, noFiles
}

func (c values) destinations(_ *cobra.Command, _ []string, _ string) (names []string, _ cobra.ShellCompDirective) {
	cfg := c.config()
	for _, name := range cfg.SecretNames() {
		names = append(names, cfg.Secrets[name].To...)
	}
	names = append(names, withPrefix("exec:", commands(cfg))...)
	for _, platform := range delivery.Platforms() {
		names = append(names, platform+":")
	}
	return withoutSpecial(names), cobra.ShellCompDirectiveNoSpace | noFiles
}
