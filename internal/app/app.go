// Package app is what all commands work with: streams, environment, clock, the configuration, and what each opens
// of it: sessions, stores, secrets, HTTP clients.
package app

import (
	"cmp"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/ci"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/httpclient"
	"github.com/fobcli/fob/internal/process"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/secretstore"
	"github.com/fobcli/fob/internal/session"
)

// App is what every command works with: streams, environment, clock, and
// constructors of the packages below, called when a command needs one.
type App struct {
	*cli.IO
	Environ map[string]string
	Clock   session.Clock

	MakesConfig bool // this command may make the file that FOB_CONFIG names

	Hint   func(error) string // what to do next
	Status func(error) int    // the exit status

	Stores map[string]*credstore.Store // by backend: one passphrase, one deadline for all profiles
	Held   session.Held                // of the agent; nil elsewhere

	Removers []func(ctx context.Context, dryRun bool) // what a purge removes outside fob's own folders

	warned []string // of what was skipped
}

// New makes what a command works with. environ is what fob was started with.
func New(stdin io.Reader, stdout, stderr io.Writer, environ map[string]string) *App {
	a := &App{Environ: environ, Hint: cli.CarriedHint, Status: func(error) int { return cli.ExitFailed }, Clock: session.SystemClock(), Stores: map[string]*credstore.Store{}}
	a.IO = &cli.IO{
		In: stdin, Out: cli.NewStream(stdout), Err: cli.NewStream(stderr),
		Getenv: func(name string) string { return a.Environ[variableName(name)] },
		Now:    func() time.Time { return a.Clock.Now() },
	}
	return a
}

// variableName makes one of the spellings that Windows takes for the same.
func variableName(name string) string {
	if runtime.GOOS == "windows" {
		return strings.ToUpper(name)
	}
	return name
}

// TakeEnviron reads the environment and removes fob's secrets, and what can mint a CI job's
// identity, from the process's own, so that no child can inherit them.
func TakeEnviron() map[string]string {
	environ, withheld := make(map[string]string), false
	for _, entry := range os.Environ() {
		name, value, _ := strings.Cut(entry, "=")
		name = variableName(name)
		environ[name] = value
		if staysWithFob(name) {
			os.Unsetenv(name)
			withheld = true
		}
	}
	if withheld {
		process.HideVariables(environ, staysWithFob)
	}
	return environ
}

func staysWithFob(name string) bool { return HoldsSecret(name) || ci.MintsIdentity(name) }

// withholdIdentities does for the variables that hold a profile's identity what
// TakeEnviron does for those that are known without a configuration.
func (a *App) withholdIdentities(cfg *config.Config) {
	for _, p := range cfg.Profiles {
		name, ok := ci.Source(p.Identity).Variable()
		if !ok {
			continue
		}
		if _, set := os.LookupEnv(name); set {
			os.Unsetenv(name)
			process.HideVariables(a.Environ, func(other string) bool { return other == name })
		}
	}
}

// ChildEnviron is what a program inherits that the user runs with fob: this environment,
// and where the user says so what the identity of the CI job can be had with.
func (a *App) ChildEnviron(keepIdentity bool) ([]string, error) {
	cfg, err := a.Config() // which withholds the identities that it names
	if err != nil || !keepIdentity {
		return os.Environ(), err
	}
	kept := maps.Clone(a.Environ)
	maps.DeleteFunc(kept, func(name, _ string) bool { return !ci.MintsIdentity(name) })
	for _, p := range cfg.Profiles {
		name, ok := ci.Source(p.Identity).Variable()
		if value, set := a.Environ[variableName(name)]; ok && set && !HoldsSecret(name) {
			kept[name] = value
		}
	}
	return WithVariables(os.Environ(), kept), nil
}

// HoldsSecret reports whether a variable of the environment may hold a secret of fob's.
func HoldsSecret(name string) bool {
	return name == SealKeyVariable || name == "FOB_REGISTRY" ||
		strings.HasPrefix(name, "FOB_TOKEN") || name == ci.GitLabVariable ||
		strings.HasPrefix(name, "FOB_REFRESH_TOKEN_") || strings.HasPrefix(name, "FOB_SECRET_") ||
		strings.HasPrefix(name, "FOB_PASSPHRASE")
}

// Paths are the places of fob's files; FOB_HOME moves all of them.
func (a *App) Paths() (config.Paths, error) {
	paths, err := config.FindPaths(a.Getenv)
	if err != nil {
		return paths, cli.WithHint(cli.AsUsage(err), "set FOB_HOME to the absolute path of a folder for fob's files")
	}
	return paths, nil
}

// Config reads the configuration. One that FOB_CONFIG names must be there, but for the
// commands that make it: a slip would read as a machine without profiles.
func (a *App) Config() (*config.Config, error) {
	paths, err := a.Paths()
	if err != nil {
		return nil, err
	}
	if a.Getenv("FOB_CONFIG") != "" && !a.MakesConfig && !Exists(paths.Config) {
		return nil, cli.WithHint(cli.Usagef("FOB_CONFIG names %s, which does not exist", paths.Config), "mend or unset FOB_CONFIG; 'fob login' makes the file")
	}
	cfg, err := config.Load(paths.Config, a.Getenv)
	if err == nil {
		cfg.Paths = paths
		a.withholdIdentities(cfg)
	}
	return cfg, err
}

// SaveProfile writes the settings of a profile to config.toml.
func (a *App) SaveProfile(p config.Profile) error {
	paths, err := a.Paths()
	if err != nil {
		return err
	}
	return config.SaveProfile(paths.Config, p)
}

// Named is the profile that a call names. A .fob.toml that another user could have
// written is skipped with one warning.
func (a *App) Named(arg string) (config.Choice, error) {
	return config.Named(arg, a.Getenv, func(others *atomicfile.OthersError) {
		if line := "skipping " + config.ProjectFile + ": " + sanitize.Line(others.Error()) + "; 'fob doctor' says how to fix it"; !slices.Contains(a.warned, line) {
			a.warned = append(a.warned, line)
			a.Warn(line)
		}
	})
}

// Profile finds the profile that is meant: the argument, FOB_PROFILE, .fob.toml in
// the working directory or above, the configured default, or the only one.
func (a *App) Profile(args []string) (config.Profile, error) {
	cfg, err := a.Config()
	if err != nil {
		return config.Profile{}, err
	}
	named, err := a.Named(cli.First(args))
	if err != nil {
		return config.Profile{}, err
	}
	p, _, err := cfg.Select(named)
	if errors.As(err, new(*config.SelectError)) && len(cfg.Profiles) == 0 {
		return p, cli.WithHint(err, "run 'fob login github', or 'fob login NAME --issuer URL --client-id ID'")
	}
	return p, err
}

// Session opens the login of a profile. Nothing is read before it is used, but the
// certificates for its server.
func (a *App) Session(p config.Profile) (*session.Session, error) {
	cfg, err := a.Config()
	if err != nil {
		return nil, err
	}
	s, err := a.localSession(cfg, p)
	if err != nil {
		return nil, err
	}
	s.HTTP, err = a.httpClient(cfg, p)
	return s, err
}

// LocalSession is session for what asks no server. It needs no certificate.
func (a *App) LocalSession(p config.Profile) (*session.Session, error) {
	cfg, err := a.Config()
	if err != nil {
		return nil, err
	}
	return a.localSession(cfg, p)
}

func (a *App) localSession(cfg *config.Config, p config.Profile) (*session.Session, error) {
	store, err := a.Store(cfg, p)
	if err != nil {
		return nil, err
	}
	return &session.Session{
		Profile: p.WithProvider(),
		Paths:   cfg.Paths,
		Store:   store,
		Clock:   a.Clock,
		Warn:    a.Warn,
		Held:    a.Held,
	}, nil
}

// HTTPClient is the one for a profile's server: nothing is read, run or sent for a profile
// that the configuration is not trusted with. The zero Profile is for other servers.
func (a *App) HTTPClient(p config.Profile) (*http.Client, error) {
	cfg, err := a.Config()
	if err != nil {
		return nil, err
	}
	return a.httpClient(cfg, p)
}

func (a *App) httpClient(cfg *config.Config, p config.Profile) (*http.Client, error) {
	if p.Name != "" {
		if err := cfg.Vet(p); err != nil {
			return nil, err
		}
	}
	hc, err := httpclient.New(httpclient.Options{
		CAFile:             cmp.Or(p.CAFile, cfg.CAFile),
		CertificateFile:    p.CertificateFile,
		CertificateKeyFile: p.CertificateKeyFile,

		UserAgent: userAgent(),
	})
	return hc, WrongCertificates(err)
}

// WrongCertificates says what to do about files that no client could be made with.
func WrongCertificates(err error) error {
	if err == nil || errors.Is(err, atomicfile.ErrUnsafe) {
		return err
	}
	return cli.WithHint(cli.AsUsage(err), "--ca-file, --certificate-file and --certificate-key-file name files in PEM")
}

// The storage backends that a profile may name.
const (
	StorageKeyring = "keyring"
	StorageFile    = "file"
)

// StorageName is where a profile's login lies: as pinned in the profile, else
// FOB_STORAGE, else the configured default, else the OS keyring. Nothing is
// ever tried instead.
func (a *App) StorageName(cfg *config.Config, p config.Profile) (string, error) {
	name := cmp.Or(p.Storage, a.Getenv("FOB_STORAGE"), cfg.Storage, StorageKeyring)
	if !slices.Contains([]string{StorageKeyring, StorageFile, StorageEnv}, name) {
		return "", cli.WithHint(cli.Usagef("there is no storage %q", name), "choose 'keyring' or 'file', or 'env' where nothing is to be kept")
	}
	return name, nil
}

// Store opens the storage of a profile, once for each storage.
func (a *App) Store(cfg *config.Config, p config.Profile) (*credstore.Store, error) {
	name, err := a.StorageName(cfg, p)
	if err != nil {
		return nil, err
	}
	if name == StorageEnv {
		return nil, errNotGiven(p.Name)
	}
	if a.Stores[name] == nil {
		if name == StorageKeyring {
			a.Stores[name] = credstore.NewKeyring(credstore.KeyringOptions{
				DataDir: cfg.Paths.Data,
				Getenv:  a.Getenv,
				Notify:  func(line string) { a.Note("%s", line) },
			})
		} else {
			a.Stores[name] = credstore.NewFile(credstore.FileOptions{DataDir: cfg.Paths.Data, Key: a.heldKey(a.FileKey(cfg).Open)})
		}
	}
	return a.Stores[name], nil
}

// IsUsage reports an error in how fob was called or configured.
func IsUsage(err error) bool {
	var parse *config.ParseError
	var selection *config.SelectError
	var key *credstore.KeyError
	var others *atomicfile.OthersError
	var trust *config.TrustError
	return errors.As(err, &others) || errors.As(err, &trust) || errors.Is(err, config.ErrEditByHand) || errors.Is(err, secretstore.ErrValue) || cli.IsUsage(err) || errors.As(err, &parse) || errors.As(err, &selection) || errors.As(err, &key)
}

// OwnClient makes HTTP clients for platforms that have certificates of their own.
func OwnClient(caFile string) func(httpclient.Options) (*http.Client, error) {
	return func(o httpclient.Options) (*http.Client, error) {
		o.CAFile = cmp.Or(o.CAFile, caFile)
		o.UserAgent = userAgent()
		return httpclient.New(o)
	}
}

// RegistryFile is this machine's own registry, in fob's data folder.
const RegistryFile = "registry.db"
