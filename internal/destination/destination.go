// Package destination delivers credentials to CI systems, secret managers, clusters and
// files. Each platform is one small file with the few REST calls that it needs, without the
// platform's library.
package destination

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"

	"github.com/fobcli/fob/internal/httpclient"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/secret"
)

// Destination is where a credential is delivered.
type Destination interface {
	// Name returns the name for users and the registry, as parsed by Parse.
	Name() string
	// Check rejects values that the platform would reject, without network.
	Check(value secret.Secret) error
	// Deliver stores the credential, replacing any other. It must be idempotent. The error
	// contains no part of the value.
	Deliver(ctx context.Context, value secret.Secret) error
}

// Replacer is a destination where a key may be in other places than the named one.
type Replacer interface {
	// Replace is Deliver, and replaces the key that begins with old everywhere.
	Replace(ctx context.Context, old string, value secret.Secret) error
}

// Machine is what destinations use of the delivering machine.
type Machine struct {
	HTTP *http.Client
	// Client returns a client for a platform with its own certificates.
	Client func(httpclient.Options) (*http.Client, error)
	Getenv func(string) string
	Now    func() time.Time
	// Credential returns the credential that the user chose for a scheme, or the zero
	// Secret to use the platform's usual variables.
	Credential func(ctx context.Context, scheme string) (secret.Secret, error)
	// URLs are the URLs of self-hosted platforms, by scheme.
	URLs map[string]string
	// Commands are programs with their arguments, by their names in exec: destinations.
	Commands map[string][]string
	// Environ is the environment of those programs.
	Environ []string
	// DotenvRoots are the absolute paths of the folders in which dotenv: may write, unless
	// AnyFolder.
	DotenvRoots []string
	AnyFolder   bool // the user typed the destination
	// ReadOnly makes Deliver stop before changing anything: it only checks what it reads.
	ReadOnly bool
	// LockDir is a private folder for the locks of files.
	LockDir string
}

// NameError is an invalid name of a destination.
type NameError struct {
	Name   string // inert
	Reason string
	Usage  string // the syntax of such a destination; may be empty
	Hint   string // what to do if the syntax is valid, but not allowed; may be empty
	Folder string // set if the only error is that dotenv_roots does not allow it
}

func (e *NameError) Error() string {
	if e.Hint != "" || e.Folder != "" {
		return fmt.Sprintf("cannot deliver to %q: %s", e.Name, e.Reason)
	}
	return fmt.Sprintf("%q is not a destination: %s", e.Name, e.Reason)
}

// SetupError is what is missing in this machine's settings for a platform.
type SetupError struct {
	Problem, Hint string // inert
}

func (e *SetupError) Error() string { return e.Problem }

// Why nothing was delivered, besides responses of platforms.
var (
	// ErrNotDelivered matches every failed delivery, as *Error.
	ErrNotDelivered = errors.New("not delivered")
	// ErrNoCredential means that there is no credential for the platform.
	ErrNoCredential = errors.New("there is no credential for the platform")
	// errReadOnly is a delivery that stopped because of Machine.ReadOnly.
	errReadOnly = errors.New("nothing is written")
	// ErrValue is a value that a platform cannot store.
	ErrValue = errors.New("the value cannot be delivered")
)

type location struct {
	name, scheme, where, field string
}

func (p location) Name() string { return p.name }

// rest is a destination at a platform with a REST API.
type rest struct {
	Machine
	location
	limits
	base string // the URL of the API
}

// limits are what a platform takes as a value.
type limits struct {
	platform string
	most     int  // bytes
	isBytes  bool // else text, because JSON would change other bytes silently
	inJobs   bool // a job's variable, which cannot contain a NUL
}

// Check implements Destination.
func (l limits) Check(value secret.Secret) error {
	text := value.Reveal()
	switch n := len(text); {
	case n == 0 || n > l.most:
		return fmt.Errorf("%w: %s takes 1 to %d bytes, and it has %d", ErrValue, l.platform, l.most, n)
	case !l.isBytes && !utf8.ValidString(text):
		return fmt.Errorf("%w: %s takes text in UTF-8", ErrValue, l.platform)
	case l.inJobs && strings.ContainsRune(text, 0):
		return fmt.Errorf("%w: no job of %s can use a NUL", ErrValue, l.platform)
	}
	return nil
}

// Kind is a kind of destination, for help.
type Kind struct {
	scheme string
	Usage  string // its syntax
	About  string // what is set, and the permissions that this needs
	parse  func(Machine, location) (Destination, error)
}

var kinds = []Kind{
	{"dotenv", "dotenv:PATH#NAME", "a line of a .env file. A rotation writes only below dotenv_roots", parseDotenv},
	{"github", "github:OWNER/REPO[@ENVIRONMENT]#NAME", "a secret of GitHub Actions; an organization's: org:NAME. GH_TOKEN", parseGitHub},
	{"gitlab", "gitlab:GROUP/PROJECT[@SCOPE]#NAME", "a CI/CD variable, masked and hidden; a group's: group:NAME. GITLAB_TOKEN", parseGitLab},
	{"gitea", "gitea:OWNER/REPO#NAME", "a secret of Gitea's or Forgejo's actions. GITEA_URL, GITEA_TOKEN", parseGitea},
	{"vault", "vault:MOUNT/PATH#FIELD", "a field in Vault's or OpenBao's KV, version 2. VAULT_ADDR, VAULT_TOKEN", parseVault},
	{"kubernetes", "kubernetes:[CONTEXT@]NAMESPACE/NAME#KEY", "a key of a Secret; with your kubeconfig, or from inside the cluster", parseKubernetes},
	{awsScheme, awsScheme + ":SECRET#KEY", "a key of a secret that is a JSON object. AWS's own variables", parseAWS},
	{"exec", "exec:NAME", "a program under [commands] in config.toml, with the value on its stdin", parseCommand},
}

// Kinds returns all kinds of destinations.
func Kinds() []Kind { return slices.Clone(kinds) }

func usages() string {
	all := make([]string, len(kinds))
	for i, kind := range kinds {
		all[i] = kind.Usage
	}
	return strings.Join(all, ", ")
}

// maxName bounds a name, in bytes.
const maxName = 512

// Parse parses a destination's name. It rejects what the platform would reject
// (*NameError), before a key is created for it, and uses no network.
func Parse(name string, m Machine) (Destination, error) {
	p := location{name: name}
	refused := func(reason, usage string) error {
		return &NameError{Name: sanitize.Line(name), Reason: reason, Usage: usage}
	}
	if len(name) > maxName || name != sanitize.Lines(name) || strings.Contains(name, "\n") {
		return nil, refused("it is too long, or contains invalid characters", "")
	}
	var found bool
	if p.scheme, p.where, found = strings.Cut(name, ":"); !found {
		return nil, refused("it names no platform", "one of "+usages())
	}
	if i := strings.LastIndexByte(p.where, '#'); i >= 0 {
		p.where, p.field = p.where[:i], p.where[i+1:]
	}
	for _, kind := range kinds {
		if kind.scheme != p.scheme {
			continue
		}
		if strings.Contains(kind.Usage, "#") == (p.field == "") || p.where == "" {
			return nil, refused("it has too few or too many parts", kind.Usage)
		}
		d, err := kind.parse(m, p)
		if wrong, ok := errors.AsType[*NameError](err); ok && wrong.Usage == "" {
			wrong.Usage = kind.Usage
		}
		return d, err
	}
	return nil, refused("unknown platform", "one of "+usages())
}

func (p location) refuse(format string, args ...any) error {
	return &NameError{Name: sanitize.Line(p.name), Reason: fmt.Sprintf(format, args...)}
}

// lacking returns a *NameError about a place that only needs the setup in the hint.
func (p location) lacking(reason, hint string) error {
	return &NameError{Name: sanitize.Line(p.name), Reason: reason, Hint: hint}
}

// credential returns what the user chose for a platform, else the first of the platform's
// usual variables that is set.
func (m Machine) credential(ctx context.Context, scheme string, variables ...string) (secret.Secret, error) {
	if chosen, err := m.Credential(ctx, scheme); err != nil || !chosen.IsZero() {
		return chosen, err
	}
	for _, name := range variables {
		if value := m.Getenv(name); value != "" {
			return secret.New(value), nil
		}
	}
	return secret.Secret{}, fmt.Errorf("%w: %s needs --as PROFILE, or %s", ErrNoCredential, scheme, strings.Join(variables, " or "))
}

// repository returns the path of OWNER/REPO or org:NAME in the APIs of GitHub and Gitea.
func repository(name string) (path string, ok bool) {
	if org, isOrg := strings.CutPrefix(name, "org:"); isOrg {
		return "/orgs/" + org, isSlug(org)
	}
	owner, repo, _ := strings.Cut(name, "/")
	return "/repos/" + owner + "/" + repo, isSlug(owner) && isSlug(repo)
}

// isSlug reports whether text can be one segment of a path, as the names of owners,
// repositories and projects.
func isSlug(text string) bool {
	return text != "" && text != "." && text != ".." && strings.Trim(text, wordCharacters+"-.") == ""
}

const wordCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"

const (
	// maxDeliveries bounds concurrent deliveries.
	maxDeliveries = 10
	// deliveryWait is the timeout of one delivery.
	deliveryWait = 20 * time.Second
)

// CheckAll rejects a value that one of the destinations would reject.
func CheckAll(to []Destination, value secret.Secret) error {
	for _, d := range to {
		if err := d.Check(value); err != nil {
			return &Error{d.Name(), err}
		}
	}
	return nil
}

// DeliverAll delivers a value to all destinations, several at a time, and returns their
// results in order. A failure does not stop the others.
func DeliverAll(ctx context.Context, to []Destination, value secret.Secret) []error {
	failed := make([]error, len(to))
	var group errgroup.Group
	group.SetLimit(maxDeliveries)
	for i, d := range to {
		group.Go(func() error {
			bounded, cancel := context.WithTimeout(ctx, deliveryWait)
			defer cancel()
			err := ctx.Err()
			if err == nil {
				err = d.Deliver(bounded, value)
			}
			if err != nil && !errors.Is(err, errReadOnly) {
				failed[i] = &Error{d.Name(), err}
			}
			return nil // do not stop the others
		})
	}
	_ = group.Wait()
	return failed
}

// Error is a destination that does not have the value, as far as known.
type Error struct {
	Destination string
	Err         error
}

func (e *Error) Error() string { return "not delivered to " + e.Destination + ": " + e.Err.Error() }

// Unwrap makes every such error match ErrNotDelivered.
func (e *Error) Unwrap() []error { return []error{ErrNotDelivered, e.Err} }
