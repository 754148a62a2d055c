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

// Values completes words of a command line.
type Values struct{ *app.App }

// New returns the completions of an App.
func New(a *app.App) Values { return Values{a} }

// Requested reports whether a shell asks for completions.
func Requested(args []string) bool {
	return len(args) > 0 && (args[0] == cobra.ShellCompRequestCmd || args[0] == cobra.ShellCompNoDescRequestCmd)
}

// AddTo adds the completions of arguments and flags, by their names in the help, so that no
// other call pays for them. Files are offered only to what takes files.
func (c Values) AddTo(root *cobra.Command) {
	for _, sub := range root.Commands() {
		c.AddTo(sub)
	}
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
func (c Values) argCompletion(cmd *cobra.Command) cobra.CompletionFunc {
	takes := func(words ...string) bool {
		return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(cmd.Use, " "+word) })
	}
	switch {
	case takes("PROFILE --allow"):
		return c.Proxied
	case takes("[PROFILE | URL]"):
		return c.Logins
	case takes("[PROFILE|secret/NAME...]"):
		return c.Records
	case takes("[PROFILE...]"):
		return c.MoreProfiles
	case takes("PROFILE", "[PROFILE]"):
		return c.Profiles
	case takes("[ID…]"):
		return c.KeyIDs
	case takes("ID"):
		return c.KeyID
	case takes("NAME") && strings.HasPrefix(cmd.CommandPath(), "fob secret "):
		return c.Secrets
	case takes("FILE", "[PATH…]", "COMMAND"):
		return nil
	}
	return cobra.NoFileCompletions
}

// flagCompletion returns nil if the shell should offer files.
func (c Values) flagCompletion(cmd *cobra.Command, flag *pflag.Flag) cobra.CompletionFunc {
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
		return func(cmd *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
			return c.Profiles(cmd, nil, word)
		}
	case flag.Name == "with", flag.Name == "rotate-with":
		return c.Commands(secretstore.GitLabIssuer)
	case flag.Name == "retire-with":
		return c.Commands()
	case flag.Name == "env" && ofKeys:
		return c.Environments
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
func (c Values) config() *config.Config {
	if cfg, err := c.Config(); err == nil {
		return cfg
	}
	return &config.Config{}
}

// Profiles offers the profiles as the first argument.
func (c Values) Profiles(_ *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
	if len(args) == 0 {
		names = c.config().Names()
	}
	return names, noFiles
}

// MoreProfiles offers the profiles that are not named yet.
func (c Values) MoreProfiles(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return app.Subtract(c.config().Names(), args), noFiles
}

// Logins offers the profiles and the presets: a login creates the profile.
func (c Values) Logins(_ *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
	if len(args) == 0 {
		names = append(app.ProviderNames(), c.config().Names()...)
		slices.Sort(names)
	}
	return slices.Compact(names), noFiles
}

// credentials returns the names of the profiles, and of the secrets as secret/NAME.
func (c Values) credentials() []string {
	cfg := c.config()
	return slices.Concat(cfg.Names(), withPrefix(config.SecretPrefix, cfg.SecretNames()))
}

// Records offers what usage.RecordArgs accepts.
func (c Values) Records(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return app.Subtract(c.credentials(), args), noFiles
}

// Proxied offers the credentials that 'fob proxy' adds, then files: a program follows.
func (c Values) Proxied(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return c.credentials(), noFiles
}

func (c Values) platformCredentials(_ *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
	return withPrefix(word[:strings.Index(word, "=")+1], c.credentials()), noFiles
}

// variables offers NAME=token/PROFILE and NAME=secret/NAME, once there is a NAME.
func (c Values) variables(_ *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
	name, _, found := strings.Cut(word, "=")
	if !found {
		return nil, noFiles | cobra.ShellCompDirectiveNoSpace
	}
	references := c.credentials()
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
func (c Values) profile(args []string) config.Profile {
	if p, err := c.Profile(args); err == nil {
		return p
	}
	return config.Profile{Provider: cli.FirstArg(args)}
}

// scopes offers those of the profile and of its login. After a blank comes another one.
func (c Values) scopes(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	p := c.profile(args)
	scopes := slices.Concat(p.WithProvider().Scopes, c.grantedScopes(cmd.Context(), p))
	slices.Sort(scopes)
	before := word[:strings.LastIndex(word, " ")+1]
	scopes = app.Subtract(withoutSpecial(slices.Compact(scopes)), strings.Fields(before))
	return withPrefix(before, scopes), noFiles
}

// grantedScopes returns the scopes of a login that can be read without a prompt.
func (c Values) grantedScopes(ctx context.Context, p config.Profile) []string {
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

func (c Values) resources(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
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
func (c Values) keysInUse(ctx context.Context) (inUse []apikey.Record) {
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

func (c Values) keyValues(of func(apikey.Record) []string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) (values []string, _ cobra.ShellCompDirective) {
		for _, r := range c.keysInUse(cmd.Context()) {
			values = append(values, of(r)...)
		}
		slices.Sort(values)
		return withoutSpecial(slices.Compact(values)), noFiles
	}
}

// KeyID offers the id of one key that is in use, with its owner.
func (c Values) KeyID(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, noFiles
	}
	return c.KeyIDs(cmd, args, word)
}

// KeyIDs offers the ids that are not named yet.
func (c Values) KeyIDs(cmd *cobra.Command, args []string, word string) (ids []string, _ cobra.ShellCompDirective) {
	for _, r := range c.keysInUse(cmd.Context()) {
		if len(ids) < maxIDs && strings.HasPrefix(r.ID, word) && apikey.CheckID(r.ID) == nil && !slices.Contains(args, r.ID) {
			ids = append(ids, cobra.CompletionWithDesc(r.ID, sanitize.Line(r.Owner)+" ("+sanitize.Line(r.Environment)+")"))
		}
	}
	return ids, noFiles
}

// Environments offers the environments in the configuration.
func (c Values) Environments(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	format, _ := appkeys.Format(c.App)
	return format.Environments, noFiles
}

// Secrets offers the secrets as the first argument.
func (c Values) Secrets(_ *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
	if len(args) == 0 {
		names = c.config().SecretNames()
	}
	return names, noFiles
}

func (c Values) destinations(_ *cobra.Command, _ []string, _ string) (names []string, _ cobra.ShellCompDirective) {
	cfg := c.config()
	for _, name := range cfg.SecretNames() {
		names = append(names, cfg.Secrets[name].To...)
	}
	names = append(names, withPrefix("exec:", slices.Sorted(maps.Keys(cfg.Commands)))...)
	for _, platform := range delivery.Platforms() {
		names = append(names, platform+":")
	}
	return withoutSpecial(names), cobra.ShellCompDirectiveNoSpace | noFiles
}

// Commands offers the commands in the configuration, and known ones.
func (c Values) Commands(known ...string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return slices.Concat(known, slices.Sorted(maps.Keys(c.config().Commands))), noFiles
	}
}
