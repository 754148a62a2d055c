package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/discovery"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/session"
)

// loginProfile returns the profile to log in with: the stored one, or a new one from its
// preset, with the flags applied. It asks for missing settings. The API may be nil.
func loginProfile(ctx context.Context, a *app.App, args []string, opts loginOptions) (config.Profile, *discovery.ProtectedResource, error) {
	p, err := startProfile(a, args, opts)
	if err != nil {
		return p, nil, err
	}
	unregistered := p.ClientID == "" // no server knows its redirect URI yet
	if err := opts.Profile.apply(&p); err != nil {
		return p, nil, err
	}
	if unregistered {
		p.NameIssuer()
	}
	api, err := app.FollowAPI(ctx, a, &p, opts.challenge, opts.Profile.given)
	if err != nil {
		return p, nil, err
	}
	if err := completeServer(ctx, a, &p); err != nil {
		return p, nil, err
	}
	if mayRegister(p) {
		return p, api, nil // registration is tried first
	}
	return p, api, completeClient(ctx, a, &p, opts.Device)
}

// mayRegister reports whether to try registration at the profile's server: for a user's
// login without client ID, unless a preset says otherwise.
func mayRegister(p config.Profile) bool {
	return p.ClientID == "" && p.Provider == "" && p.Grant == "" && p.Issuer != ""
}

func startProfile(a *app.App, args []string, opts loginOptions) (config.Profile, error) {
	cfg, err := a.Config()
	if err != nil {
		return config.Profile{}, err
	}
	byURL := isURL(args)
	if byURL {
		args = []string{config.NameOf(args[0])}
	}
	named, err := a.Choice(args)
	if err != nil {
		return config.Profile{}, err
	}
	name := cmp.Or(named.Name, opts.Profile.Provider)
	if name == "" {
		return a.Profile(nil)
	}
	if err := config.CheckName(name); err != nil {
		return config.Profile{}, cli.AsUsage(err)
	}
	if p, ok := cfg.Profiles[name]; ok {
		if byURL && !slices.ContainsFunc(p.Resources, func(resource string) bool { return discovery.Contains(resource, opts.Profile.Resources[0]) }) {
			return p, cli.WithHint(cli.Usagef("profile %q is for another API", name), "name this one: fob login NAME --resource %s", opts.Profile.Resources[0])
		}
		p.Resources = slices.Clone(p.Resources)
		return p, nil
	}
	p, flags := config.Profile{Name: name}, opts.Profile
	if _, ok := config.FindProvider(name); ok && flags.Provider == "" && flags.Issuer == "" && flags.TokenEndpoint == "" && len(flags.Resources) == 0 {
		p.Provider = name
	}
	return p, nil
}

func completeServer(ctx context.Context, a *app.App, p *config.Profile) error {
	full := p.WithProvider()
	template := full.Issuer
	switch {
	case full.TokenEndpoint != "" && (full.AuthorizationEndpoint != "" || full.DeviceAuthorizationEndpoint != "" || full.Grant != ""):
		return nil
	case template == "":
		question, hint := "Issuer URL of the server:", fmt.Sprintf("name it with 'fob login %s --issuer https://sso.example.com', or use a preset: 'fob login github'", p.Name)
		if near := cli.Nearest(p.Name, app.ProviderNames()); near != "" {
			hint = fmt.Sprintf("did you mean 'fob login %s'?", near)
			question = fmt.Sprintf("There is no preset %q; %s %s", p.Name, hint, question)
		}
		issuer, err := a.AskFor(ctx, question, checkIssuer)
		if errors.As(err, new(*cli.HintError)) {
			return err
		}
		if err != nil {
			return cli.WithHint(cli.Usagef("profile %q has no server", p.Name), "%s", hint)
		}
		p.Issuer = issuer
	case strings.Contains(template, "{"):
		filled, err := fillTemplate(ctx, a, template)
		if err != nil {
			return cli.WithHint(cli.Usagef("the preset requires your server's address"), "run 'fob login %s --issuer %s'", p.Name, template)
		}
		p.Issuer = filled
	}
	return checkIssuer(p.WithProvider().Issuer)
}

func checkIssuer(issuer string) error {
	return cli.WithHint(cli.InvalidIn("the issuer", oauth.CheckURL(issuer)), "use an https URL; http is only for loopback addresses")
}

func fillTemplate(ctx context.Context, a *app.App, template string) (string, error) {
	for filled := template; ; {
		before, rest, found := strings.Cut(filled, "{")
		placeholder, after, closed := strings.Cut(rest, "}")
		if !found || !closed {
			return filled, nil
		}
		value, err := a.AskFor(ctx, fmt.Sprintf("The %s in %s:", placeholder, template), cli.AnyAnswer)
		if err != nil {
			return "", err
		}
		filled = before + value + after
	}
}

// clientNeeds returns how to register a client, and the preset's notes on that.
func clientNeeds(p config.Profile, device bool) (needs, note string) {
	provider, _ := config.FindProvider(p.Provider)
	switch {
	case p.Grant != "":
		return "the grant type " + p.Grant, ""
	case device:
		return "the device flow enabled", provider.DeviceNote
	}
	return "the redirect URI " + p.Redirect(), provider.Note
}

func completeClient(ctx context.Context, a *app.App, p *config.Profile, device bool) error {
	if p.ClientID != "" {
		return nil
	}
	provider, _ := config.FindProvider(p.Provider)
	where := cmp.Or(provider.RegisterAt, "your server")
	needs, note := clientNeeds(*p, device)
	if a.Interactive() {
		a.Note("A client ID identifies an application to the server. Register one at\n  %s\nwith %s", where, needs)
		if note != "" {
			a.Note("%s", note)
		}
		id, err := a.AskFor(ctx, "Client ID:", cli.AnyAnswer)
		if err != nil && !cli.IsUsage(err) {
			return err
		}
		p.ClientID = id
	}
	if p.ClientID == "" {
		return cli.WithHint(cli.Usagef("profile %q has no client ID", p.Name),
			"register an application at %s with %s, then add --client-id ID to the same command", where, needs)
	}
	return nil
}

// probeSize is enough to test whether the storage stores anything.
const probeSize = 8

// chooseStorage selects the login's storage and tests it before the browser opens. If there
// is no keyring, the user may choose the encrypted file; in a script, the error explains
// how. The choice is pinned in the profile.
func chooseStorage(ctx context.Context, a *app.App, p *config.Profile, byFlag bool) (*session.Session, error) {
	cfg, err := a.Config()
	if err != nil {
		return nil, err
	}
	if p.Storage, err = cfg.StorageFor(p.Storage); err != nil {
		return nil, err
	}
	if p.Storage == config.StorageNone {
		return nil, cli.WithHint(cli.Usagef("the storage 'none' stores no logins"), "use --storage keyring or --storage file, or unset FOB_STORAGE")
	}
	s, err := a.Session(*p)
	if err != nil {
		return nil, err
	}
	err = s.Store.Probe(ctx, probeSize)
	if !errors.Is(err, credstore.ErrAbsent) || byFlag || !a.Interactive() {
		return s, err
	}
	if err := askStorage(ctx, a, err); err != nil {
		return nil, err
	}
	p.Storage = config.StorageFile
	if s, err = a.Session(*p); err != nil {
		return nil, err
	}
	return s, s.Store.Probe(ctx, probeSize)
}

// askStorage asks what to do without a keyring. It returns nil for the encrypted file, or
// else the error.
func askStorage(ctx context.Context, a *app.App, why error) error {
	a.Note(`Cannot use the OS keyring: %s.
The login can be stored in an encrypted file instead, opened by
  1  a passphrase, asked for when a token is needed
  2  a key file outside fob's folders
  q  quit`, why)
	answer, err := a.AskFor(ctx, "Which one?", func(answer string) error {
		if answer != "1" && answer != "2" && answer != "q" {
			return cli.Usagef("answer 1, 2 or q")
		}
		return nil
	})
	if err != nil {
		return err
	}
	switch answer {
	case "1":
		return nil
	case "2":
		return askKeyFile(ctx, a)
	}
	return why
}

// askKeyFile sets a key file in the configuration, and creates it if it is missing.
func askKeyFile(ctx context.Context, a *app.App) error {
	paths, err := a.Paths()
	if err != nil {
		return err
	}
	path, err := a.AskPath(ctx, "Path of the key file (created if missing):", func(path string) error {
		return cli.AsUsage(credstore.CheckKeyFile(path, paths.Data))
	})
	if err != nil {
		return err
	}
	if err := credstore.MakeKeyFile(path, paths.Data); err != nil {
		return err
	}
	return config.Edit(paths.Config, func(c *config.Config) { c.KeyFile = path })
}
