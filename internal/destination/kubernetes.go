package destination

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/fobcli/fob/internal/httpclient"
	"github.com/fobcli/fob/internal/secret"
)

// kubernetesKey is one key of a Secret. The other keys are preserved.
type kubernetesKey struct {
	rest
	context       string // of the kubeconfig; empty: its current one
	namespace, of string
	account       string // the folder of the service account, in a cluster
}

const (
	// maxSecret is the maximum size of a Secret, in bytes.
	maxSecret = 1 << 20
	// serviceAccount is where a pod finds its credential.
	serviceAccount  = "/var/run/secrets/kubernetes.io/serviceaccount"
	maxFieldManager = 128 // characters
)

// parseKubernetes expects a context first, which may contain slashes, colons and @.
func parseKubernetes(m Machine, p location) (Destination, error) {
	k := &kubernetesKey{rest: rest{Machine: m, location: p, limits: limits{platform: "Kubernetes", most: maxSecret, isBytes: true}}, account: serviceAccount}
	where := p.where
	if i := strings.LastIndexByte(where, '@'); i >= 0 {
		k.context, where = where[:i], where[i+1:]
		if k.context == "" {
			return nil, p.refuse("it has no context before the @")
		}
	}
	k.namespace, k.of, _ = strings.Cut(where, "/")
	if len(k.namespace) > 63 || strings.Contains(k.namespace, ".") || !isSubdomain(k.namespace) {
		return nil, p.refuse("a namespace has at most 63 lower-case letters, digits and -, and does not start or end with -")
	}
	if !isSubdomain(k.of) {
		return nil, p.refuse("a Secret's name has lower-case letters, digits, - and ., and does not start or end with - or .")
	}
	if !isSlug(p.field) || len(p.field) > 253 || strings.HasPrefix(p.field, "..") {
		return nil, p.refuse("a key of a Secret has at most 253 letters, digits, -, _ and .")
	}
	return k, nil
}

// fieldManager returns a name for each key: the server deletes what a manager no longer
// applies, so a common name would delete all keys but the last.
func fieldManager(key string) string {
	if name := "fob-" + key; len(name) <= maxFieldManager {
		return name
	}
	return fmt.Sprintf("fob-%x", sha256.Sum256([]byte(key)))
}

// Deliver applies a Secret with only this key on the server, which creates a missing
// Secret. This needs no permission to read Secrets.
func (k *kubernetesKey) Deliver(ctx context.Context, value secret.Secret) error {
	a, err := k.api(ctx)
	if err != nil {
		return err
	}
	a.conceal(value)
	// The response would be the whole Secret, which may exceed the limit.
	a.header.Set("Accept", "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1")
	query := url.Values{"fieldManager": {fieldManager(k.field)}, "force": {"true"}, "fieldValidation": {"Strict"}}
	if k.ReadOnly {
		query.Set("dryRun", "All")
	}
	path := "/api/v1/namespaces/" + k.namespace + "/secrets/" + k.of + "?" + query.Encode()
	// JSON is YAML; namespace, name and base64 need no escaping.
	body := fmt.Sprintf(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"%s","namespace":"%s"},"data":{"%s":"%s"}}`,
		k.of, k.namespace, k.field, base64.StdEncoding.EncodeToString([]byte(value.Reveal())))
	var applied struct{ Metadata struct{ Name string } }
	isLate := func(err error) bool { return isAnswer(err, http.StatusConflict) }
	err = unlessLate(ctx, maxTries, isLate, func() error {
		return a.send(ctx, http.MethodPatch, path, "application/apply-patch+yaml", []byte(body), &applied)
	})
	if err == nil && applied.Metadata.Name != k.of {
		err = fmt.Errorf("%w: it does not name the Secret", httpclient.ErrMalformed)
	}
	return err
}

// api uses the chosen credential, else the kubeconfig's user, else the account of the pod
// that fob runs in.
func (k *kubernetesKey) api(ctx context.Context) (*api, error) {
	chosen, err := k.Credential(ctx, "kubernetes")
	if err != nil {
		return nil, err
	}
	access, err := k.access(ctx, chosen)
	if err != nil {
		return nil, err
	}
	m := k.Machine
	if m.HTTP, err = m.Client(access.options); err != nil {
		return nil, kubeProblem("the certificates that the kubeconfig names cannot be used: %v", err)
	}
	a, err := newAPI(m, access.server)
	if err != nil {
		return nil, err
	}
	switch {
	case !access.token.IsZero():
		a.authorize("Bearer ", access.token)
	case access.options.Certificate == nil:
		return nil, fmt.Errorf("%w: kubernetes needs --as PROFILE, or a user in the kubeconfig", ErrNoCredential)
	}
	return a, nil
}

// isSubdomain reports whether text is a subdomain name of RFC 1123.
func isSubdomain(text string) bool {
	for _, label := range strings.Split(text, ".") {
		if label == "" || strings.Trim(label, "-") != label || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return len(text) <= 253
}
