package cmd

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/destination"
	"github.com/fobcli/fob/internal/httpclient"
	"github.com/fobcli/fob/internal/safetext"
	"github.com/fobcli/fob/internal/secret"
)

// destinationFlags are the flags of commands that deliver.
type destinationFlags struct {
	to []string
	as []string
}

func (f *destinationFlags) register(c *cobra.Command, to string) {
	c.Flags().StringArrayVar(&f.to, "to", nil, to+": a `DESTINATION` (repeatable), see 'fob help destinations'")
	c.Flags().StringArrayVar(&f.as, "as", nil, "show the platform this login: `[PLATFORM=]PROFILE`")
	refuseEmpty(c, "to", "as")
}

// destinations reads the names of destinations, all before anything is done.
func (a *app) destinations(names, as []string) ([]destination.Destination, error) {
	if len(names) == 0 {
		return nil, nil
	}
	if err := a.checkAs(as); err != nil {
		return nil, err
	}
	m, err := a.machine(as)
	if err != nil {
		return nil, err
	}
	var all []destination.Destination
	seen := make(map[string]bool)
	for _, name := range names {
		d, err := destination.Parse(name, m)
		if err != nil {
			return nil, hintOfDestination(err)
		}
		if !seen[d.Name()] {
			all = append(all, d)
		}
		seen[d.Name()] = true
	}
	return all, nil
}

// machine is what destinations may use of this one.
func (a *app) machine(as []string) (destination.Machine, error) {
	var m destination.Machine
	cfg, err := a.config()
	if err != nil {
		return m, err
	}
	client, err := a.httpClient(config.Profile{})
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
	var reading sync.Mutex // deliveries ask at once, and a store is for one goroutine at a time
	return destination.Machine{
		HTTP: client, Client: ownClient(cfg.CAFile), Getenv: a.getenv, Now: a.now, URLs: cfg.Destination.URL, Commands: cfg.Commands,
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
			return a.referenced(ctx, asReference(source))
		},
	}, nil
}

// ownClient makes HTTP clients for platforms that have certificates of their own.
func ownClient(caFile string) func(httpclient.Options) (*http.Client, error) {
	return func(o httpclient.Options) (*http.Client, error) {
		o.CAFile = cmp.Or(o.CAFile, caFile)
		o.UserAgent = userAgent()
		return httpclient.New(o)
	}
}

// credentialsOf says by platform what is shown to it; "" is any platform. The command
// line wins over the configuration.
func credentialsOf(cfg *config.Config, as []string) (map[string]string, error) {
	chosen := make(map[string]string)
	for platform, source := range cfg.Destination.As {
		chosen[platform] = source
	}
	for _, given := range as {
		platform, source, found := strings.Cut(given, "=")
		switch {
		case !found:
			platform, source = "", given
			clear(chosen)
		case !slices.Contains(platforms(), platform):
			return nil, withHint(usagef("--as: there is no platform %.40q", safetext.Line(platform)), "there are %s", strings.Join(platforms(), ", "))
		}
		chosen[platform] = source
	}
	for _, source := range chosen {
		if checkReference(asReference(source)) != nil {
			return nil, withHint(usagef("--as takes a profile or secret/NAME, also PLATFORM=PROFILE"), "as in --as github=work; the platform's usual variables do, too")
		}
	}
	return chosen, nil
}

// platforms are the kinds of destinations, by the names that they begin with.
func platforms() []string {
	var names []string
	for _, kind := range destination.Kinds() {
		name, _, _ := strings.Cut(kind.Usage, ":")
		names = append(names, name)
	}
	return names
}

// checkAs refuses a login or a secret that --as names and there is not: a slip is to be
// known before there is a key. None is read.
func (a *app) checkAs(as []string) error {
	named, err := credentialsOf(&config.Config{}, as)
	if err != nil {
		return err
	}
	for _, platform := range slices.Sorted(maps.Keys(named)) {
		if err := a.checkExists(asReference(named[platform])); err != nil {
			return err
		}
	}
	return nil
}

// asReference is what --as names: a reference, or a profile without more.
func asReference(source string) string {
	if strings.Contains(source, "/") {
		return source
	}
	return tokenReference + source
}

// hintOfDestination says how a destination is written.
func hintOfDestination(err error) error {
	var wrong *destination.NameError
	if !errors.As(err, &wrong) {
		return err
	}
	hint := "see 'fob help destinations'"
	if wrong.Usage != "" {
		hint = "write " + wrong.Usage + "; " + hint
	}
	return withHint(usageOf(err), "%s", cmp.Or(wrong.Hint, hint))
}

// hintOfDelivery says what to do about a platform that did not take a value.
func hintOfDelivery(err error) string {
	var answer *destination.AnswerError
	var command *destination.CommandError
	var setup *destination.SetupError
	switch {
	case errors.As(err, &setup):
		return setup.Hint
	case errors.Is(err, destination.ErrNoCredential):
		return "log in there and give --as PROFILE, or set the variable; 'as' under [destination] in the configuration does it for good"
	case errors.Is(err, destination.ErrValue):
		return "nothing was delivered anywhere; choose another destination, or a value that it takes"
	case errors.As(err, &command):
		return "run the command by hand: the value comes on its stdin; it stands under [commands] in the configuration"
	case errors.As(err, &answer):
		return hintOfAnswer(answer)
	case errors.Is(err, destination.ErrNotDelivered) && (errors.Is(err, httpclient.ErrMalformed) || errors.Is(err, httpclient.ErrRedirect)):
		return "see the platform's address: something else answers there, such as a login or a proxy in between"
	}
	return ""
}

func hintOfAnswer(answer *destination.AnswerError) string {
	switch answer.Status {
	case http.StatusForbidden, http.StatusTooManyRequests:
		if answer.RetryAfter > 0 {
			return "the platform wants a pause: try again in " + roughly(answer.RetryAfter)
		}
	}
	switch answer.Status {
	case http.StatusUnauthorized:
		return "the platform does not know the credential: give another with --as, or log in again"
	case http.StatusForbidden:
		return "the credential may not write there: ask for the permission or the scope that it lacks"
	case http.StatusNotFound:
		return "see the destination's name; many platforms answer so, too, where the credential may not look"
	case http.StatusConflict, http.StatusPreconditionFailed:
		return "somebody else writes there: try again"
	case http.StatusTooManyRequests:
		return "the platform wants a pause: try again later"
	}
	if answer.Status >= http.StatusInternalServerError {
		return "the platform is not well: try again later"
	}
	return "mend what the platform names, or choose another destination; nothing was changed there"
}

// deliver brings a value to all destinations and says where it is.
func (a *app) deliver(ctx context.Context, to []destination.Destination, value secret.Secret) error {
	_, failed := a.deliverAll(ctx, to, value, false)
	return failed.err()
}

// deliveryJSON is what is printed of one destination.
type deliveryJSON struct {
	Destination string `json:"destination"`
	Delivered   bool   `json:"delivered"`
	Problem     string `json:"problem,omitempty"`
}

// deliverAll is deliver, and returns the destinations that have the value.
func (a *app) deliverAll(ctx context.Context, to []destination.Destination, value secret.Secret, asJSON bool) (delivered []string, failed failures) {
	bar := a.newProgress("delivering", int64(len(to)))
	results := destination.DeliverAll(ctx, to, value)
	bar.end()
	shown := make([]deliveryJSON, len(to))
	for i, err := range results {
		shown[i] = deliveryJSON{Destination: to[i].Name(), Delivered: err == nil}
		if err != nil {
			shown[i].Problem = err.Error()
			failed = append(failed, err)
			continue
		}
		delivered = append(delivered, to[i].Name())
		if !asJSON {
			a.note("Delivered to %s.", to[i].Name())
		}
	}
	if asJSON {
		if err := a.printJSON(shown); err != nil {
			failed = append(failed, err)
		}
	}
	return delivered, failed
}

// namesOf are the destinations' names as they are recorded.
func namesOf(to []destination.Destination) []string {
	names := make([]string, len(to))
	for i, d := range to {
		names[i] = d.Name()
	}
	return names
}
