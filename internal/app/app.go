// Package app is what all commands use: streams, environment, clock, configuration, and
// constructors for sessions, stores, secrets and HTTP clients.
package app

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/httpclient"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/seal"
	"github.com/fobcli/fob/internal/secretstore"
	"github.com/fobcli/fob/internal/session"
)

// App is shared by all commands of a process: streams, environment, clock, and constructors
// of the packages below, called when a command needs one.
type App struct {
	*cli.IO
	Environ map[string]string
	Clock   session.Clock

	Called      string // the subcommand that is called, if any: no other is needed
	MakesConfig bool   // this command may create the file in FOB_CONFIG
	OnlyProfile string // the only profile that this command needs; "": all

	Hint   func(error) string // what to do next
	Status func(error) int    // the exit status

	AgentCache session.AgentCache // of a running agent; nil elsewhere

	Removers []func(ctx context.Context, dryRun bool) // further cleanups of a purge, outside fob's own folders

	opened *resources
}

// resources is what an App has read and opened. It may be used concurrently.
type resources struct {
	mu         sync.Mutex
	config     *config.Config
	configFile fs.FileInfo                 // when it was read; nil: missing
	stores     map[string]*credstore.Store // by name, so that all profiles share a passphrase and a deadline
	warned     sync.Map                    // warnings already printed

	agentSilent atomic.Bool // NamedAgentToken got no response: asking again would take as long
}

func newResources() *resources { return &resources{stores: make(map[string]*credstore.Store)} }

// New returns an App. environ is the environment that fob was started with.
func New(stdin io.Reader, stdout, stderr io.Writer, environ map[string]string) *App {
	a := &App{Environ: environ, Hint: cli.CarriedHint, Status: func(error) int { return cli.ExitFailed }, Clock: session.SystemClock(), opened: newResources()}
	a.IO = &cli.IO{
		In: stdin, Out: cli.NewStream(stdout), Err: cli.NewStream(stderr),
		Getenv: func(name string) string { return a.Environ[variableName(name)] },
		Now:    func() time.Time { return a.Clock.Now() },
	}
	return a
}

// Paths returns the paths of fob's files; FOB_HOME moves all of them.
func (a *App) Paths() (config.Paths, error) {
	paths, err := config.FindPaths(a.Getenv)
	return paths, cli.WithHint(cli.AsUsage(err), "set FOB_HOME to the absolute path of a folder for fob's files")
}

// Config returns the configuration, reading it again only if the file has changed. A file
// in FOB_CONFIG must exist, except for commands that create it: otherwise a typo would look
// like a machine without profiles.
func (a *App) Config() (*config.Config, error) {
	paths, err := a.Paths()
	if err != nil {
		return nil, err
	}
	if a.Getenv("FOB_CONFIG") != "" && !a.MakesConfig && !PathExists(paths.Config) {
		return nil, cli.WithHint(cli.Usagef("FOB_CONFIG names %s, which does not exist", paths.Config), "correct or unset FOB_CONFIG; 'fob login' creates the file")
	}
	a.opened.mu.Lock()
	defer a.opened.mu.Unlock()
	file, _ := os.Stat(paths.Config)
	if a.opened.config != nil && isUnchanged(a.opened.configFile, file) {
		return a.opened.config, nil
	}
	cfg, err := config.Load(a.OnlyProfile, paths.Config, a.Getenv)
	if err != nil {
		return nil, err
	}
	if err := cfg.Unknown(""); err != nil {
		a.warnOnce(sanitize.Line(err.Error()) + ": skipped; was it written by a newer fob?")
	}
	cfg.Paths = paths
	withholdIdentities(a.Environ, cfg)
	a.opened.config, a.opened.configFile = cfg, file
	return cfg, nil
}

// isUnchanged compares a file's metadata; nil is a missing file. fob replaces the file, and
// editors change its time.
func isUnchanged(before, now fs.FileInfo) bool {
	if before == nil || now == nil {
		return before == nil && now == nil
	}
	return os.SameFile(before, now) && before.ModTime().Equal(now.ModTime()) && before.Size() == now.Size()
}

// SaveProfile writes a profile's settings to config.toml. When a second profile is added,
// the first one becomes the default, so that 'fob token' in scripts keeps working.
func (a *App) SaveProfile(p config.Profile) error {
	cfg, err := a.Config()
	if err != nil {
		return err
	}
	if err := config.SaveProfile(cfg.Paths.Config, p); err != nil {
		return err
	}
	if _, known := cfg.Profiles[p.Name]; known || cfg.Default != "" || len(cfg.Profiles) != 1 {
		return nil
	}
	first := cfg.Names()[0]
	a.Note("%s stays the default profile; to change that: fob profile set %s --default", first, p.Name)
	return config.Edit(cfg.Paths.Config, func(c *config.Config) { c.Default = first })
}

// Choice returns the profile selected by an argument or the environment. A .fob.toml that
// another user could have written is skipped with a warning.
func (a *App) Choice(args []string) (config.Choice, error) {
	return config.Named(cli.FirstArg(args), a.Getenv, func(others *atomicfile.OthersError) {
		a.warnOnce("skipping " + config.ProjectFile + ": " + sanitize.Line(others.Error()) + "; 'fob doctor' shows how to fix it")
	})
}

func (a *App) warnOnce(line string) {
	if _, before := a.opened.warned.LoadOrStore(line, true); !before {
		a.Warn(line)
	}
}

// Profile returns the selected profile: by the argument, FOB_PROFILE, .fob.toml in the
// working directory or above, the configured default, or the only one.
func (a *App) Profile(args []string) (config.Profile, error) {
	cfg, err := a.Config()
	if err != nil {
		return config.Profile{}, err
	}
	named, err := a.Choice(args)
	if err != nil {
		return config.Profile{}, err
	}
	p, _, err := cfg.Select(named)
	if errors.As(err, new(*config.SelectError)) && len(cfg.Profiles) == 0 {
		return p, cli.WithHint(err, "run 'fob login github', or name a server: 'fob login work --issuer https://sso.example.com'")
	}
	return p, err
}

// Session returns a profile's session. It only reads the server's CA file; the login is
// read on use.
func (a *App) Session(p config.Profile) (*session.Session, error) {
	s, err := a.LocalSession(p)
	if err == nil {
		s.HTTP, err = a.HTTPClient(p)
		s.Assert = assertVia(a, p.Via)
	}
	return s, err
}

// LocalSession is Session for operations without a server. It needs no CA file.
func (a *App) LocalSession(p config.Profile) (*session.Session, error) {
	store, err := a.ProfileStore(p)
	if err != nil {
		return nil, err
	}
	s, err := a.sessionWithoutStore(p)
	if err == nil {
		s.Store, s.AgentCache = store, a.AgentCache
	}
	return s, err
}

// sessionWithoutStore returns a session without a store, for credentials from elsewhere.
func (a *App) sessionWithoutStore(p config.Profile) (*session.Session, error) {
	paths, err := a.Paths()
	return &session.Session{Profile: p.WithProvider(), Paths: paths, Clock: a.Clock, Warn: a.Warn}, err
}

// HTTPClient returns a client for a profile's server, unless the configuration is not
// trusted with the profile (config.Vet). The zero Profile is for other servers.
func (a *App) HTTPClient(p config.Profile) (*http.Client, error) {
	cfg, err := a.Config()
	if err != nil {
		return nil, err
	}
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

// WrongCertificates adds a hint to errors about certificate files.
func WrongCertificates(err error) error {
	if err == nil || errors.Is(err, atomicfile.ErrUnsafe) {
		return err
	}
	return cli.WithHint(cli.AsUsage(err), "--ca-file, --certificate-file and --certificate-key-file name files in PEM")
}

// ProfileStore opens the storage of a profile's login.
func (a *App) ProfileStore(p config.Profile) (*credstore.Store, error) {
	cfg, err := a.Config()
	if err != nil {
		return nil, err
	}
	name, err := cfg.StorageFor(p.Storage)
	if err != nil {
		return nil, err
	}
	if name == config.StorageNone {
		return nil, errNotInEnviron(p.Name)
	}
	return a.store(cfg, name), nil
}

// Store opens a storage by its name, once per process.
func (a *App) Store(name string) (*credstore.Store, error) {
	cfg, err := a.Config()
	if err != nil {
		return nil, err
	}
	return a.store(cfg, name), nil
}

func (a *App) store(cfg *config.Config, name string) *credstore.Store {
	a.opened.mu.Lock()
	defer a.opened.mu.Unlock()
	store := a.opened.stores[name]
	switch {
	case store != nil:
		return store
	case name == config.StorageKeyring:
		store = credstore.NewKeyring(credstore.KeyringOptions{
			DataDir: cfg.Paths.Data,
			Getenv:  a.Getenv,
			Notify:  func(line string) { a.Note("%s", line) },
			Named:   func() []string { return recordNames(cfg) },
		})
	default:
		store = credstore.NewFile(credstore.FileOptions{DataDir: cfg.Paths.Data, Key: cachedKey(a.AgentCache, a.FileKey(cfg).Open)})
	}
	a.opened.stores[name] = store
	return store
}

// recordNames returns the names of the records in config.toml, wherever they are stored.
func recordNames(cfg *config.Config) []string {
	names := []string{"pepper/peppers"}
	for _, name := range cfg.Names() {
		names = append(names, "login/"+name)
	}
	for _, name := range cfg.SecretNames() {
		names = append(names, "secret/"+(&secretstore.Secret{Name: name}).Entry().Context.Profile)
	}
	return names
}

// Rekeyed closes the stores after a change of a storage's key.
func (a *App) Rekeyed(storage, dataDir string, key seal.Key) {
	a.opened.stores = make(map[string]*credstore.Store)
	if storage == config.StorageFile { // so that the key is not asked for again
		known := func(context.Context, bool) (seal.Key, error) { return key, nil }
		a.opened.stores[storage] = credstore.NewFile(credstore.FileOptions{DataDir: dataDir, Key: known})
	}
}

// IsUsage reports an error in how fob was called or configured.
func IsUsage(err error) bool {
	for _, target := range []any{
		new(*config.ParseError), new(*config.SelectError), new(*config.StorageError), new(*config.TrustError), new(*credstore.KeyError), new(*atomicfile.OthersError),
	} {
		if errors.As(err, target) {
			return true
		}
	}
	return cli.IsUsage(err) || errors.Is(err, config.ErrEditByHand) || errors.Is(err, secretstore.ErrValue) || errors.Is(err, sanitize.ErrUTF16)
}

// OwnClient returns a constructor of HTTP clients for platforms with certificates of their
// own.
func OwnClient(caFile string) func(httpclient.Options) (*http.Client, error) {
	return func(o httpclient.Options) (*http.Client, error) {
		o.CAFile = cmp.Or(o.CAFile, caFile)
		o.UserAgent = userAgent()
		return httpclient.New(o)
	}
}

// RegistryFile is the name of this machine's registry in the data folder.
const RegistryFile = "registry.db"
