package cmd

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
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/httpclient"
	"github.com/fobcli/fob/internal/process"
	"github.com/fobcli/fob/internal/safetext"
	"github.com/fobcli/fob/internal/session"
	"github.com/fobcli/fob/internal/vault"
)

// app is what every command works with: streams, environment, clock, and
// constructors of the rooms below, called when a command needs one.
type app struct {
	*streams
	environ map[string]string
	clock   session.Clock

	makesConfig bool // this command may make the file that FOB_CONFIG names

	hint   func(error) string // what to do next
	status func(error) int    // the exit status

	stores map[string]*credstore.Store // by backend: one passphrase, one deadline for all profiles
	held   session.Held                // of the agent; nil elsewhere

	removers []func(ctx context.Context, dryRun bool) // what a purge removes outside fob's own folders

	warned []string // of what was skipped
}

func newApp(stdin io.Reader, stdout, stderr io.Writer, environ map[string]string) *app {
	a := &app{environ: environ, hint: carriedHint, status: func(error) int { return exitFailed }, clock: session.SystemClock(), stores: map[string]*credstore.Store{}}
	a.streams = &streams{
		stdin: stdin, stdout: newStream(stdout), stderr: newStream(stderr),
		getenv: func(name string) string { return a.environ[variableName(name)] },
		now:    func() time.Time { return a.clock.Now() },
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

// takeEnviron reads the environment and removes fob's secrets, and what can mint a CI job's
// identity, from the process's own, so that no child can inherit them.
func takeEnviron() map[string]string {
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

func staysWithFob(name string) bool { return holdsSecret(name) || ci.MintsIdentity(name) }

// withholdIdentities does for the variables that hold a profile's identity what
// takeEnviron does for those that are known without a configuration.
func (a *app) withholdIdentities(cfg *config.Config) {
	for _, p := range cfg.Profiles {
		name, ok := ci.Source(p.Identity).Variable()
		if !ok {
			continue
		}
		if _, set := os.LookupEnv(name); set {
			os.Unsetenv(name)
			process.HideVariables(a.environ, func(other string) bool { return other == name })
		}
	}
}

// childEnviron is what a program inherits that the user runs with fob: this environment,
// and where the user says so what the identity of the CI job can be had with.
func (a *app) childEnviron(keepIdentity bool) ([]string, error) {
	cfg, err := a.config() // which withholds the identities that it names
	if err != nil || !keepIdentity {
		return os.Environ(), err
	}
	kept := maps.Clone(a.environ)
	maps.DeleteFunc(kept, func(name, _ string) bool { return !ci.MintsIdentity(name) })
	for _, p := range cfg.Profiles {
		name, ok := ci.Source(p.Identity).Variable()
		if value, set := a.environ[variableName(name)]; ok && set && !holdsSecret(name) {
			kept[name] = value
		}
	}
	return withVariables(os.Environ(), kept), nil
}

func holdsSecret(name string) bool {
	return name == sealKeyVariable || name == "FOB_REGISTRY" ||
		strings.HasPrefix(name, "FOB_TOKEN") || name == ci.GitLabVariable ||
		strings.HasPrefix(name, "FOB_REFRESH_TOKEN_") || strings.HasPrefix(name, "FOB_SECRET_") ||
		strings.HasPrefix(name, "FOB_PASSPHRASE")
}

func (a *app) paths() (config.Paths, error) {
	paths, err := config.FindPaths(a.getenv)
	if err != nil {
		return paths, withHint(usageOf(err), "set FOB_HOME to the absolute path of a folder for fob's files")
	}
	return paths, nil
}

// config reads the configuration. One that FOB_CONFIG names must be there, but for the
// commands that make it: a slip would read as a machine without profiles.
func (a *app) config() (*config.Config, error) {
	paths, err := a.paths()
	if err != nil {
		return nil, err
	}
	if a.getenv("FOB_CONFIG") != "" && !a.makesConfig && !exists(paths.Config) {
		return nil, withHint(usagef("FOB_CONFIG names %s, which does not exist", paths.Config), "mend or unset FOB_CONFIG; 'fob login' makes the file")
	}
	cfg, err := config.Load(paths.Config, a.getenv)
	if err == nil {
		cfg.Paths = paths
		a.withholdIdentities(cfg)
	}
	return cfg, err
}

func (a *app) saveProfile(p config.Profile) error {
	paths, err := a.paths()
	if err != nil {
		return err
	}
	return config.SaveProfile(paths.Config, p)
}

// named is the profile that a call names. A .fob.toml that another user could have
// written is skipped with one warning.
func (a *app) named(arg string) (config.Choice, error) {
	return config.Named(arg, a.getenv, func(others *atomicfile.OthersError) {
		if line := "skipping " + config.ProjectFile + ": " + safetext.Line(others.Error()) + "; 'fob doctor' says how to fix it"; !slices.Contains(a.warned, line) {
			a.warned = append(a.warned, line)
			a.warn(line)
		}
	})
}

// profile finds the profile that is meant: the argument, FOB_PROFILE, .fob.toml in
// the working directory or above, the configured default, or the only one.
func (a *app) profile(args []string) (config.Profile, error) {
	cfg, err := a.config()
	if err != nil {
		return config.Profile{}, err
	}
	named, err := a.named(first(args))
	if err != nil {
		return config.Profile{}, err
	}
	p, _, err := cfg.Select(named)
	if errors.As(err, new(*config.SelectError)) && len(cfg.Profiles) == 0 {
		return p, withHint(err, "run 'fob login github', or 'fob login NAME --issuer URL --client-id ID'")
	}
	return p, err
}

func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// session opens the login of a profile. Nothing is read before it is used, but the
// certificates for its server.
func (a *app) session(p config.Profile) (*session.Session, error) {
	s, err := a.localSession(p)
	if err != nil {
		return nil, err
	}
	s.HTTP, err = a.httpClient(p)
	return s, err
}

// localSession is session for what asks no server. It needs no certificate.
func (a *app) localSession(p config.Profile) (*session.Session, error) {
	cfg, err := a.config()
	if err != nil {
		return nil, err
	}
	store, err := a.store(cfg, p)
	if err != nil {
		return nil, err
	}
	return &session.Session{
		Profile: p.WithProvider(),
		Paths:   cfg.Paths,
		Store:   store,
		Clock:   a.clock,
		Warn:    a.warn,
		Held:    a.held,
	}, nil
}

// httpClient is the one for a profile's server: nothing is read, run or sent for a profile
// that the configuration is not trusted with. The zero Profile is for other servers.
func (a *app) httpClient(p config.Profile) (*http.Client, error) {
	cfg, err := a.config()
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
	return hc, wrongCertificates(err)
}

// wrongCertificates says what to do about files that no client could be made with.
func wrongCertificates(err error) error {
	if err == nil || errors.Is(err, atomicfile.ErrUnsafe) {
		return err
	}
	return withHint(usageOf(err), "--ca-file, --certificate-file and --certificate-key-file name files in PEM")
}

func userAgent() string { return "fob/" + version() }

// The storage backends that a profile may name.
const (
	storageKeyring = "keyring"
	storageFile    = "file"
)

// storageName is where a profile's login lies: as pinned in the profile, else
// FOB_STORAGE, else the configured default, else the OS keyring. Nothing is
// ever tried instead.
func (a *app) storageName(cfg *config.Config, p config.Profile) (string, error) {
	name := cmp.Or(p.Storage, a.getenv("FOB_STORAGE"), cfg.Storage, storageKeyring)
	if !slices.Contains([]string{storageKeyring, storageFile, storageEnv}, name) {
		return "", withHint(usagef("there is no storage %q", name), "choose 'keyring' or 'file', or 'env' where nothing is to be kept")
	}
	return name, nil
}

func (a *app) store(cfg *config.Config, p config.Profile) (*credstore.Store, error) {
	name, err := a.storageName(cfg, p)
	if err != nil {
		return nil, err
	}
	if name == storageEnv {
		return nil, errNotGiven(p.Name)
	}
	if a.stores[name] == nil {
		if name == storageKeyring {
			a.stores[name] = credstore.NewKeyring(credstore.KeyringOptions{
				DataDir: cfg.Paths.Data,
				Getenv:  a.getenv,
				Notify:  func(line string) { a.note("%s", line) },
			})
		} else {
			a.stores[name] = credstore.NewFile(credstore.FileOptions{DataDir: cfg.Paths.Data, Key: a.heldKey(a.fileKey(cfg).open)})
		}
	}
	return a.stores[name], nil
}

// isUsage reports an error in how fob was called or configured.
func isUsage(err error) bool {
	var parse *config.ParseError
	var selection *config.SelectError
	var key *credstore.KeyError
	var others *atomicfile.OthersError
	var trust *config.TrustError
	return errors.As(err, &others) || errors.As(err, &trust) || errors.Is(err, config.ErrEditByHand) || errors.Is(err, vault.ErrValue) || isUsageError(err) || errors.As(err, &parse) || errors.As(err, &selection) || errors.As(err, &key)
}

// fail shows what failed and what to do next, and returns the exit status.
func (a *app) fail(ctx context.Context, err error) int {
	if child, ok := errors.AsType[*childStatus](err); ok {
		return child.status
	}
	var several failures
	if !errors.As(err, &several) {
		several = failures{err}
	}
	if ctx.Err() != nil {
		a.note("interrupted")
		for _, one := range several {
			if errors.Is(one, errLeft) { // what the interrupted command leaves behind
				a.showError(one, a.hint(one))
			}
		}
		return exitInterrupted
	}
	if found, ok := errors.AsType[*findingsError](err); ok {
		a.note("%s", found)
		return exitFindings
	}
	for _, one := range several {
		a.showError(one, a.hint(one))
	}
	return exitOf(err)
}
