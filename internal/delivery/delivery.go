// Package delivery parses destinations, finds a credential for each, and delivers to all.
package delivery

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/destination"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/secret"
)

// Destinations parses the names of destinations that the user has typed or configured. A name
// that is there twice counts once.
func Destinations(a *app.App, names, as []string) ([]destination.Destination, error) {
	return destinations(a, nil, names, as, false)
}

// destinations also parses names that a registry has recorded, which may be shared: their
// files must be below dotenv_roots, unless the user has typed the same name.
func destinations(a *app.App, recorded, typed, as []string, readOnly bool) ([]destination.Destination, error) {
	if len(recorded)+len(typed) == 0 {
		return nil, nil
	}
	if err := CheckCredentials(a, as); err != nil {
		return nil, err
	}
	m, err := newMachine(a, as)
	if err != nil {
		return nil, err
	}
	m.ReadOnly = readOnly
	var all []destination.Destination
	own := 0 // how many of them are typed
	for i, name := range slices.Concat(typed, recorded) {
		m.AnyFolder = i < len(typed) || slices.Contains(DestinationNames(all), name)
		d, err := destination.Parse(name, m)
		if err != nil {
			return nil, hintOfDestination(err)
		}
		if !slices.Contains(DestinationNames(all), d.Name()) {
			all = append(all, d)
		}
		if i < len(typed) {
			own = len(all)
		}
	}
	return slices.Concat(all[own:], all[:own]), nil
}

func newMachine(a *app.App, as []string) (destination.Machine, error) {
	var m destination.Machine
	cfg, err := a.Config()
	if err != nil {
		return m, err
	}
	client, err := a.HTTPClient(config.Profile{})
	if err != nil {
		return m, err
	}
	chosen, err := credentialsOf(cfg, as)
	if err != nil {
		return m, err
	}
	roots := cfg.Destination.DotenvRoots
	if here, err := os.Getwd(); err == nil && len(roots) == 0 {
		roots = []string{here}
	}
	var reading sync.Mutex // deliveries are concurrent, but a store must not be used concurrently
	return destination.Machine{
		HTTP: client, Client: app.OwnClient(cfg.CAFile), Getenv: a.Getenv, Now: a.Now, URLs: cfg.Destination.URL, Commands: cfg.Commands,
		Environ: os.Environ(), DotenvRoots: roots, LockDir: filepath.Join(cfg.Paths.Data, "locks"),
		Credential: func(ctx context.Context, scheme string) (secret.Secret, error) {
			source, named := chosen[scheme]
			if !named {
				source = chosen[""]
			}
			if source == "" {
				return secret.Secret{}, nil
			}
			reading.Lock()
			defer reading.Unlock()
			return a.Referenced(ctx, CredentialReference(source))
		},
	}, nil
}

// credentialsOf returns the credential for each platform; "" is any platform. The command
// line takes precedence over the configuration.
func credentialsOf(cfg *config.Config, as []string) (map[string]string, error) {
	chosen := make(map[string]string)
	maps.Copy(chosen, cfg.Destination.As)
	for _, option := range as {
		platform, source, found := strings.Cut(option, "=")
		switch {
		case !found:
			platform, source = "", option
			clear(chosen)
		case !slices.Contains(Platforms(), platform):
			return nil, cli.WithHint(cli.Usagef("--as: unknown platform %.40q", sanitize.Line(platform)), "the platforms are %s", strings.Join(Platforms(), ", "))
		}
		chosen[platform] = source
	}
	for _, source := range chosen {
		if app.CheckReference(CredentialReference(source)) != nil {
			return nil, cli.WithHint(cli.Usagef("--as needs a profile or secret/NAME, or PLATFORM=PROFILE"), "use for example --as github=work, or set the platform's usual variable")
		}
	}
	return chosen, nil
}

// Platforms returns the kinds of destinations, by the prefixes of their names.
func Platforms() []string {
	var names []string
	for _, kind := range destination.Kinds() {
		name, _, _ := strings.Cut(kind.Usage, ":")
		names = append(names, name)
	}
	return names
}

// CheckCredentials rejects a login or secret of --as that does not exist, before a key is
// created. It does not read them.
func CheckCredentials(a *app.App, as []string) error {
	named, err := credentialsOf(&config.Config{}, as)
	if err != nil {
		return err
	}
	for _, platform := range slices.Sorted(maps.Keys(named)) {
		if err := a.CheckExists(CredentialReference(named[platform])); err != nil {
			return err
		}
	}
	return nil
}

// CredentialReference returns the reference that --as names: a profile if it has no prefix.
func CredentialReference(source string) string {
	if strings.Contains(source, "/") {
		return source
	}
	return config.TokenPrefix + source
}

func hintOfDestination(err error) error {
	wrong, ok := errors.AsType[*destination.NameError](err)
	if !ok {
		return err
	}
	hint := "see 'fob help destinations'"
	if wrong.Usage != "" {
		hint = "write " + wrong.Usage + "; " + hint
	}
	return cli.WithHint(cli.AsUsage(err), "%s", cmp.Or(wrong.Hint, hint))
}

// CheckReady finds out, without changing anything, whether destinations would take a value:
// credentials, names and permissions as far as a read shows them. outcome is what is left if not.
func CheckReady(ctx context.Context, a *app.App, names, as []string, outcome string) error {
	dests, err := destinations(a, nil, names, as, true)
	if err != nil {
		return err
	}
	failed := cli.Failures(slices.DeleteFunc(destination.DeliverAll(ctx, dests, secret.New("fob-check-value")), func(err error) bool { return err == nil }))
	if len(failed) > 0 {
		failed = append(failed, cli.WithHint(cli.Unfinishedf("%s", outcome), "fix the errors above, then try again"))
	}
	return failed.Err()
}

type deliveryJSON struct {
	Destination string   `json:"destination"`
	Delivered   bool     `json:"delivered"`
	Problem     string   `json:"problem,omitempty"`
	NotReadBy   []string `json:"not_read_by,omitempty"`
}

// DeliverAll delivers a value to all destinations, prints the results, and returns the names
// of those that have the value.
func DeliverAll(ctx context.Context, a *app.App, to []destination.Destination, value secret.Secret, asJSON bool) (delivered []string, failed cli.Failures) {
	bar := a.NewProgress("delivering", int64(len(to)))
	results := destination.DeliverAll(ctx, to, value)
	bar.End()
	shown := make([]deliveryJSON, len(to))
	for i, err := range results {
		shown[i] = deliveryJSON{Destination: to[i].Name(), Delivered: err == nil}
		if err != nil {
			shown[i].Problem = err.Error()
			failed = append(failed, err)
			continue
		}
		delivered = append(delivered, to[i].Name())
		shown[i].NotReadBy = destination.NotReadBy(to[i], value)
		if asJSON {
			continue
		}
		a.Note("Delivered to %s.", to[i].Name())
		if readers := strings.Join(shown[i].NotReadBy, ", "); readers != "" {
			a.Note("This value is not read correctly by %s. If one of them reads the file, store the secret in base64, and decode it in the program.", readers)
		}
	}
	if asJSON {
		if err := a.PrintJSON(shown); err != nil {
			failed = append(failed, err)
		}
	}
	return delivered, failed
}

// AddNames adds the names of destinations that are missing.
func AddNames(names, more []string) []string {
	for _, name := range more {
		if !slices.Contains(names, name) {
			names = append(slices.Clone(names), name)
		}
	}
	return names
}

// DestinationNames returns the names of destinations as they are recorded.
func DestinationNames[D interface{ Name() string }](to []D) []string {
	names := make([]string, len(to))
	for i, d := range to {
		names[i] = d.Name()
	}
	return names
}
