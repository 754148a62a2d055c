package credhelper

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/fobcli/fob/internal/sanitize"
)

// ExecInfo is the variable with kubectl's request.
const ExecInfo = "KUBERNETES_EXEC_INFO"

// Versions of the protocol, which do not differ in what fob prints.
const (
	execV1      = "client.authentication.k8s.io/v1"
	execV1beta1 = "client.authentication.k8s.io/v1beta1"
)

const maxExecInfo = 1 << 20 // it contains the cluster's certificates

// KubectlRequest is an ExecCredential with a spec, as written by client-go.
type KubectlRequest struct {
	Server     string // the cluster's URL; empty: unknown
	Unverified bool   // kubectl does not verify the cluster's certificate

	version string
}

// ReadExecInfo parses kubectl's request. Without one, the version is one that every kubectl
// since 1.22 supports.
func ReadExecInfo(text string) (*KubectlRequest, error) {
	if text == "" {
		return &KubectlRequest{version: execV1}, nil
	}
	var info struct {
		APIVersion string `json:"apiVersion"`
		Kind       string
		Spec       struct {
			Cluster struct {
				Server     string
				Unverified bool `json:"insecure-skip-tls-verify"`
			}
		}
	}
	if err := json.Unmarshal([]byte(text), &info); err != nil || len(text) > maxExecInfo || info.Kind != "ExecCredential" {
		return nil, fmt.Errorf("%w: %s is not an ExecCredential", ErrInput, ExecInfo)
	}
	if info.APIVersion != execV1 && info.APIVersion != execV1beta1 {
		return nil, fmt.Errorf("%w: %s is of the version %q", ErrInput, ExecInfo, sanitize.Line(info.APIVersion))
	}
	if strings.ContainsFunc(info.Spec.Cluster.Server, isControl) {
		return nil, fmt.Errorf("%w: the server in %s holds a control character", ErrInput, ExecInfo)
	}
	return &KubectlRequest{info.Spec.Cluster.Server, info.Spec.Cluster.Unverified, info.APIVersion}, nil
}

// WriteKubectl prints a token, in the requested version.
func (q *KubectlRequest) WriteKubectl(w io.Writer, c Credential) error {
	token := c.Token.Reveal()
	if !sanitize.IsVisibleASCII(token) {
		return errors.New("the token cannot be given to kubectl")
	}
	type status struct {
		ExpirationTimestamp time.Time `json:"expirationTimestamp,omitzero"`
		Token               string    `json:"token"`
	}
	return writeJSON(w, struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Status     status `json:"status"`
	}{q.version, "ExecCredential", status{c.ExpiresAt.UTC().Truncate(time.Second), token}})
}
