// Package destination delivers credentials to where machines need them: CI systems,
// secret managers, clusters, files. Each platform is one small file with the few REST
// calls that it takes; no platform's own library is linked.
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

// Destination is a place for one credential.
type Destination interface {
	// Name is how users and the registry write it; Parse reads it.
	Name() string
	// Check refuses a value that the platform would not take, without asking it.
	Check(value secret.Secret) error
	// Deliver puts the credential there, in place of what is there. Twice is as good
	// as once. The error has no part of the value in it.
	Deliver(ctx context.Context, value secret.Secret) error
}

// Machine is what destinations use of the machine that delivers.
type Machine struct {
	HTTP *http.Client
	// Client makes one for a platform that has certificates of its own; nil does, too.
	Client func(httpclient.Options) (*http.Client, error)
	Getenv func(string) string
	Now    func() time.Time
	// Credential returns what the user chose to show to the platforms of a scheme; a
	// zero Secret means that the platform's usual variables count.
	Credential func(ctx context.Context, scheme string) (secret.Secret, error)
	// URLs are the addresses of self-hosted platforms, by scheme.
	URLs map[string]string
	// Commands are programs with their arguments, by the name that exec: has for them.
	Commands map[string][]string
	// Environ is what those programs find in their environment.
	Environ []string
	// DotenvRoots are the folders, absolute, that dotenv: may write below, unless AnyFolder.
	DotenvRoots []string
	AnyFolder   bool // the user has typed the destination
	// ReadOnly has Deliver stop before it would change anything: it only checks what it reads.
	ReadOnly bool
	// LockDir is a private folder for the locks of files.
	LockDir string
}

// NameError is a destination whose name its platform could not have.
type NameError struct {
	Name   string // inert
	Reason string
	Usage  string // how such a destination is written; may be empty
	Hint   string // what to do where it is written well, and not allowed; may be empty
	Folder string // that dotenv_roots does not allow, and nothing else is wrong; may be empty
}

func (e *NameError) Error() string {
	return fmt.Sprintf("%q is not a destination: %s", e.Name, e.Reason)
}

// SetupError is what this machine's settings for a platform lack.
type SetupError struct {
	Problem, Hint string // inert
}

func (e *SetupError) Error() string { return e.Problem }

// Why nothing was delivered, beside what platforms answer.
var (
	// ErrNotDelivered is every failure of a delivery, as *Error.
	ErrNotDelivered = errors.New("not delivered")
	// ErrNoCredential means that nothing says who delivers.
	ErrNoCredential = errors.New("there is no credential for the platform")
	// errReadOnly is a delivery that would now write, where Machine.ReadOnly does not allow it.
	errReadOnly = errors.New("nothing is written")
	// ErrValue is a value that a platform does not take.
	ErrValue = errors.New("the value cannot be delivered")
)

type location struct {
	name, scheme, where, field string
}

func (p location) Name() string { return p.name }

// Kind is a kind of destination, for help.
type Kind struct {
	scheme string
	Usage  string // how it is written
	About  string // what is set, and who may set it
	parse  func(Machine, location) (Destination, error)
}

var kinds = []Kind{
	{"dotenv", "dotenv:PATH#NAME", "a line of a .env file. A rotation writes only below dotenv_roots", parseDotenv},
	{"github", "github:OWNER/REPO[@ENVIRONMENT]#NAME", "a secret of GitHub Actions; an organization's: org:NAME. GH_TOKEN", parseGitHub},
	{"gitlab", "gitlab:GROUP/PROJECT[@SCOPE]#NAME", "a CI/CD variable, masked and hidden; a group's: group:NAME. GITLAB_TOKEN", parseGitLab},
	{"gitea", "gitea:OWNER/REPO#NAME", "a secret of Gitea's or Forgejo's actions. GITEA_URL, GITEA_TOKEN", parseGitea},
	{"vault", "vault:MOUNT/PATH#FIELD", "a field in Vault's or OpenBao's KV, version 2. VAULT_ADDR, VAULT_TOKEN", parseVault},
	{"kubernetes", "kubernetes:[CONTEXT@]NAMESPACE/NAME#KEY", "a key of a Secret; by your kubeconfig, or inside of the cluster", parseKubernetes},
	{awsScheme, awsScheme + ":SECRET#KEY", "a key of a secret that is a JSON object. AWS's own variables", parseAWS},
	{"exec", "exec:NAME", "a program under [commands] in config.toml, with the value on its stdin", parseCommand},
}

// Kinds are the kinds that there are.
func Kinds() []Kind { return slices.Clone(kinds) }

func usages() string {
	all := make([]string, len(kinds))
	for i, kind := range kinds {
		all[i] = kind.Usage
	}
	return strings.Join(all, ", ")
}

// maxName is how many bytes a name has at most.
const maxName = 512

// Parse reads a destination's name. What its platform would refuse is refused here
// (*NameError), before anything is minted for it; nothing is asked of the network.
func Parse(name string, m Machine) (Destination, error) {
	p := location{name: name}
	refused := func(reason, usage string) error {
		return &NameError{Name: sanitize.Line(name), Reason: reason, Usage: usage}
	}
	if len(name) > maxName || name != sanitize.Lines(name) || strings.Contains(name, "\n") {
		return nil, refused("it is too long, or has characters that no name has", "")
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
			return nil, refused("write "+kind.Usage, kind.Usage)
		}
		d, err := kind.parse(m, p)
		if wrong, ok := errors.AsType[*NameError](err); ok && wrong.Usage == "" {
			wrong.Usage = kind.Usage
		}
		return d, err
	}
	return nil, refused("there is no platform of that name", "one of "+usages())
}

func (p location) refuse(format string, args ...any) error {
	return &NameError{Name: sanitize.Line(p.name), Reason: fmt.Sprintf(format, args...)}
}

// lacking is a *NameError about a place that has all but what the hint tells to set up.
func (p location) lacking(reason, hint string) error {
	return &NameError{Name: sanitize.Line(p.name), Reason: reason, Hint: hint}
}

// chosenCredential returns the credential that the user chose for a platform, if any.
func (m Machine) chosenCredential(ctx context.Context, scheme string) (secret.Secret, error) {
	if m.Credential == nil {
		return secret.Secret{}, nil
	}
	return m.Credential(ctx, scheme)
}

// credential is what the user chose for a platform, else the first of the platform's
// usual variables that is set.
func (m Machine) credential(ctx context.Context, scheme string, variables ...string) (secret.Secret, error) {
	if chosen, err := m.chosenCredential(ctx, scheme); err != nil || !chosen.IsZero() {
		return chosen, err
	}
	for _, name := range variables {
		if value := m.Getenv(name); value != "" {
			return secret.New(value), nil
		}
	}
	return secret.Secret{}, fmt.Errorf("%w: %s needs --as PROFILE, or %s", ErrNoCredential, scheme, strings.Join(variables, " or "))
}

// client is the machine's, unless the platform has certificates of its own.
func (m Machine) client(o httpclient.Options) (*http.Client, error) {
	if m.Client == nil {
		return httpclient.New(o)
	}
	return m.Client(o)
}

// checkText refuses what JSON cannot hold: it would be changed without a word.
func checkText(value secret.Secret, most int, platform string) error {
	if n := len(value.Reveal()); n == 0 || n > most {
		return fmt.Errorf("%w: %s takes 1 to %d bytes, and it has %d", ErrValue, platform, most, n)
	}
	if !utf8.ValidString(value.Reveal()) {
		return fmt.Errorf("%w: %s takes text in UTF-8", ErrValue, platform)
	}
	return nil
}

const wordCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"

const (
	// maxDeliveries is how many are under way at once.
	maxDeliveries = 10
	// deliveryWait is how long one may take.
	deliveryWait = 20 * time.Second
)

// CheckAll refuses a value that one of the destinations would not take.
func CheckAll(to []Destination, value secret.Secret) error {
	for _, d := range to {
		if err := d.Check(value); err != nil {
			return &Error{d.Name(), err}
		}
	}
	return nil
}

// DeliverAll delivers a value to all destinations, several at a time, and returns what
// became of each, in their order. All are tried, whatever fails.
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
			return nil // the others go on
		})
	}
	_ = group.Wait()
	return failed
}

// Error is a destination that does not have the value, as far as is known.
type Error struct {
	Destination string
	Err         error
}

func (e *Error) Error() string { return "not delivered to " + e.Destination + ": " + e.Err.Error() }

// Unwrap lets every such error be ErrNotDelivered.
func (e *Error) Unwrap() []error { return []error{ErrNotDelivered, e.Err} }
