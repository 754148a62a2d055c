package destination

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/httpclient"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/secret"
)

// vaultField is a field of a secret in the KV engine, version 2, of HashiCorp Vault or
// OpenBao. Other fields are preserved.
type vaultField struct{ rest }

const (
	// maxVaultValue is the maximum size of an entry in Vault's integrated storage, in
	// bytes.
	maxVaultValue = 1 << 20
	// maxVaultTries bounds the attempts if other writers interfere.
	maxVaultTries     = 10
	maxVaultTokenFile = 64 << 10
)

func parseVault(m Machine, p location) (Destination, error) {
	base := cmp.Or(m.URLs["vault"], m.Getenv("VAULT_ADDR"), m.Getenv("BAO_ADDR"))
	if base == "" {
		return nil, p.lacking("no address of Vault is configured", "set VAULT_ADDR, or 'vault' under [destination.url] in config.toml")
	}
	segments := strings.Split(p.where, "/")
	for _, segment := range segments {
		if segment == "" || segment == "." || segment == ".." {
			return nil, p.refuse("a part of its path is empty, or is . or ..")
		}
	}
	if len(segments) < 2 {
		return nil, p.refuse("the part before the # is not MOUNT/PATH")
	}
	return &vaultField{rest{m, p, limits{platform: "Vault", most: maxVaultValue}, base}}, nil
}

// Deliver writes a new version if the one it read is still the latest, and otherwise reads
// again, so that no other writer's field is lost.
func (v *vaultField) Deliver(ctx context.Context, value secret.Secret) error {
	a, err := v.api(ctx)
	if err != nil {
		return err
	}
	a.conceal(value)
	path, err := v.path(ctx, a)
	if err != nil {
		return err
	}
	isLate := func(err error) bool {
		answer, ok := errors.AsType[*AnswerError](err)
		return ok && answer.Status == http.StatusBadRequest && bytes.Contains(answer.body, []byte("check-and-set"))
	}
	return unlessLate(ctx, maxVaultTries, isLate, func() error { return v.put(ctx, a, path, value) })
}

func (v *vaultField) api(ctx context.Context) (*api, error) {
	token, err := v.token(ctx)
	if err != nil {
		return nil, err
	}
	m := v.Machine
	if ca := cmp.Or(m.Getenv("VAULT_CACERT"), m.Getenv("BAO_CACERT")); ca != "" {
		if m.HTTP, err = m.Client(httpclient.Options{CAFile: ca}); err != nil {
			return nil, &SetupError{sanitize.Line(err.Error()), "VAULT_CACERT names a file of certificates in PEM"}
		}
	}
	a, err := newAPI(m, v.base)
	if err != nil {
		return nil, err
	}
	// Vault also accepts X-Vault-Token, but other programs do not know to hide that.
	a.authorize("Bearer ", token)
	a.header.Set("X-Vault-Request", "true") // required by some agents
	if namespace := cmp.Or(m.Getenv("VAULT_NAMESPACE"), m.Getenv("BAO_NAMESPACE")); namespace != "" {
		a.header.Set("X-Vault-Namespace", namespace)
	}
	return a, nil
}

// token returns the chosen token, or that of Vault's own login on this machine.
func (v *vaultField) token(ctx context.Context) (secret.Secret, error) {
	token, err := v.credential(ctx, "vault", "VAULT_TOKEN", "BAO_TOKEN")
	home := v.Getenv("HOME")
	if !errors.Is(err, ErrNoCredential) || home == "" {
		return token, err
	}
	kept, readErr := atomicfile.Read(filepath.Join(home, ".vault-token"), maxVaultTokenFile)
	if errors.Is(readErr, fs.ErrNotExist) {
		return token, err
	}
	if text := strings.TrimSpace(string(kept)); readErr == nil && text != "" {
		return secret.New(text), nil
	}
	return token, cmp.Or(readErr, err)
}

// path returns the path of the secret's versions in the API. The names of mounts may
// contain slashes, so the server is asked where this one ends, as Vault's own program does.
func (v *vaultField) path(ctx context.Context, a *api) (string, error) {
	var answer struct {
		Data struct {
			Path, Type string
			Options    struct{ Version string }
		}
	}
	err := a.do(ctx, http.MethodGet, "/v1/sys/internal/ui/mounts/"+escapePath(v.where), nil, &answer)
	mount, _, _ := strings.Cut(v.where, "/")
	switch {
	case isAnswer(err, http.StatusNotFound): // a proxy may only let requests for secrets through
	case err != nil:
		return "", err
	case answer.Data.Options.Version != "2":
		problem := fmt.Sprintf("%s is not the KV engine, version 2", sanitize.Line(answer.Data.Path))
		return "", &SetupError{problem, "name a mount of that engine; 'vault kv enable-versioning' makes one of version 1"}
	default:
		mount = strings.Trim(answer.Data.Path, "/")
	}
	path, found := strings.CutPrefix(v.where, mount+"/")
	if !found || mount == "" {
		return "", fmt.Errorf("%w: it calls the mount of %s %q", httpclient.ErrMalformed, sanitize.Line(v.where), sanitize.Line(mount))
	}
	return "/v1/" + escapePath(mount) + "/data/" + escapePath(path), nil
}

// vaultVersion is a version of a secret. The other fields are stored verbatim.
type vaultVersion struct {
	Data struct {
		Data     map[string]json.RawMessage
		Metadata struct{ Version int }
	}
	Errors []string
}

func (v *vaultField) put(ctx context.Context, a *api, path string, value secret.Secret) error {
	latest, err := readVault(ctx, a, path)
	if err != nil {
		return err
	}
	fields, changed := setField(latest.Data.Data, v.field, value)
	if !changed {
		return nil
	}
	in := map[string]any{"data": fields, "options": map[string]int{"cas": latest.Data.Metadata.Version}}
	var written struct{ Data struct{ Version int } }
	if err := a.do(ctx, http.MethodPost, path, in, &written); err != nil {
		return err
	}
	if written.Data.Version <= latest.Data.Metadata.Version {
		return fmt.Errorf("%w: the response names no new version", httpclient.ErrMalformed)
	}
	return nil
}

// readVault reads the latest version. A deleted or destroyed one is empty; its response is
// 404, like that for a missing one.
func readVault(ctx context.Context, a *api, path string) (vaultVersion, error) {
	var latest vaultVersion
	err := a.do(ctx, http.MethodGet, path, nil, &latest)
	answer, ok := errors.AsType[*AnswerError](err)
	if !ok || answer.Status != http.StatusNotFound {
		return latest, err
	}
	if json.Unmarshal(answer.body, &latest) != nil || len(latest.Errors) > 0 {
		return latest, err // there is no such mount
	}
	latest.Data.Data = nil
	return latest, nil
}

// escapePath escapes a path except for its slashes.
func escapePath(path string) string { return (&url.URL{Path: path}).EscapedPath() }
