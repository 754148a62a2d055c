package destination

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/httpclient"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/secret"
)

type kubeAccess struct {
	server  string
	options httpclient.Options
	token   secret.Secret
}

type kubeconfig struct {
	CurrentContext            string `yaml:"current-context"`
	Clusters, Contexts, Users []kubeEntry
}

// kubeEntry is an element of each list, with its name and one of the other fields.
type kubeEntry struct {
	Name    string
	Cluster kubeCluster
	Context struct{ Cluster, User string }
	User    kubeUser
}

// entryOf returns the first entry of a name, or an empty one.
func entryOf(list []kubeEntry, name string) kubeEntry {
	if i := slices.IndexFunc(list, func(e kubeEntry) bool { return e.Name == name }); i >= 0 {
		return list[i]
	}
	return kubeEntry{}
}

type kubeCluster struct {
	dir        string // base of relative paths
	Server     string
	ServerName string `yaml:"tls-server-name"`
	CAData     string `yaml:"certificate-authority-data"`
	CAFile     string `yaml:"certificate-authority"`
	Insecure   bool   `yaml:"insecure-skip-tls-verify"`
	ProxyURL   string `yaml:"proxy-url"`
}

type kubeUser struct {
	dir             string
	Token           string
	TokenFile       string `yaml:"tokenFile"`
	CertificateData string `yaml:"client-certificate-data"`
	CertificateFile string `yaml:"client-certificate"`
	KeyData         string `yaml:"client-key-data"`
	KeyFile         string `yaml:"client-key"`
	Username        string
	As              string
	AuthProvider    *struct{ Name string } `yaml:"auth-provider"`
	Exec            *kubeExec
}

// maxKubeFile exceeds the size of any kubeconfig, token or certificate, in bytes.
const maxKubeFile = 1 << 20

func kubeProblem(format string, args ...any) *SetupError {
	return &SetupError{sanitize.Line(fmt.Sprintf(format, args...)), "check it with 'kubectl config view --minify', or set KUBECONFIG to another file"}
}

// kubeconfigPaths returns the files that kubectl reads, in its order.
func kubeconfigPaths(m Machine) []string {
	if list := m.Getenv("KUBECONFIG"); list != "" {
		return slices.DeleteFunc(filepath.SplitList(list), func(path string) bool { return path == "" })
	}
	if home := cmp.Or(m.Getenv("HOME"), m.Getenv("USERPROFILE")); home != "" {
		return []string{filepath.Join(home, ".kube", "config")}
	}
	return nil
}

// access returns how to access the cluster. With a chosen token, the kubeconfig's user is
// ignored.
func (k *kubernetesKey) access(ctx context.Context, chosen secret.Secret) (kubeAccess, error) {
	config, err := readKubeconfig(kubeconfigPaths(k.Machine))
	if errors.Is(err, fs.ErrNotExist) && k.context == "" && k.Getenv("KUBERNETES_SERVICE_HOST") != "" {
		return k.inCluster(chosen)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return kubeAccess{}, kubeProblem("there is no kubeconfig")
	}
	if err != nil {
		return kubeAccess{}, err
	}
	cluster, user, err := config.choose(cmp.Or(k.context, config.CurrentContext))
	if err != nil {
		return kubeAccess{}, err
	}
	access := kubeAccess{server: cluster.Server, token: chosen}
	if access.options, err = cluster.options(); err != nil || !chosen.IsZero() {
		return access, err
	}
	if user.Exec != nil && user.Token == "" && user.TokenFile == "" {
		as := user.As
		if user, err = user.Exec.run(ctx, k.Environ, user.dir, cluster); err != nil {
			return access, err
		}
		user.As = as
	}
	return access, user.show(&access)
}

// inCluster returns the access of the pod that fob runs in.
func (k *kubernetesKey) inCluster(chosen secret.Secret) (kubeAccess, error) {
	access := kubeAccess{server: "https://" + net.JoinHostPort(k.Getenv("KUBERNETES_SERVICE_HOST"), cmp.Or(k.Getenv("KUBERNETES_SERVICE_PORT"), "443")), token: chosen}
	var err error
	if access.options.Roots, err = readKubeFile(filepath.Join(k.account, "ca.crt")); err != nil || !chosen.IsZero() {
		return access, err
	}
	access.token, err = readKubeToken(filepath.Join(k.account, "token"))
	return access, err
}

// readKubeconfig merges files like kubectl: the first one with a setting applies. If there
// are none, it returns fs.ErrNotExist.
func readKubeconfig(paths []string) (*kubeconfig, error) {
	var all kubeconfig
	missing := fs.ErrNotExist
	for _, path := range paths {
		text, err := atomicfile.ReadRegular(path, maxKubeFile)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, kubeProblem("%v", err)
		}
		var one kubeconfig
		if yaml.Unmarshal(text, &one) != nil { // the parser's error may contain a token
			return nil, kubeProblem("%s is not a kubeconfig", path)
		}
		dir, err := filepath.Abs(filepath.Dir(path))
		if err != nil {
			return nil, kubeProblem("%v", err)
		}
		for i := range one.Clusters {
			one.Clusters[i].Cluster.dir = dir
		}
		for i := range one.Users {
			one.Users[i].User.dir = dir
		}
		missing = nil
		all.CurrentContext = cmp.Or(all.CurrentContext, one.CurrentContext)
		all.Clusters = append(all.Clusters, one.Clusters...)
		all.Contexts = append(all.Contexts, one.Contexts...)
		all.Users = append(all.Users, one.Users...)
	}
	return &all, missing
}

func (c *kubeconfig) choose(context string) (kubeCluster, kubeUser, error) {
	entry := entryOf(c.Contexts, context)
	cluster, user := entryOf(c.Clusters, entry.Context.Cluster).Cluster, entryOf(c.Users, entry.Context.User).User
	switch {
	case context == "":
		return cluster, user, kubeProblem("the kubeconfig has no current context")
	case entry.Name == "":
		return cluster, user, kubeProblem("the kubeconfig has no context %q", context)
	case cluster.Server == "":
		return cluster, user, kubeProblem("the kubeconfig has no cluster %q with its server", entry.Context.Cluster)
	}
	return cluster, user, nil
}

// options trust the cluster's own CA, without settings for another server.
func (c *kubeCluster) options() (httpclient.Options, error) {
	o := httpclient.Options{ServerName: c.ServerName}
	switch {
	case c.Insecure:
		return o, &SetupError{"the kubeconfig has insecure-skip-tls-verify: anybody on the way could read the credential", "give the cluster's certificate-authority instead"}
	case c.ProxyURL != "":
		return o, &SetupError{"fob does not use a kubeconfig's proxy-url", "set HTTPS_PROXY"}
	}
	var err error
	o.Roots, err = readPEM(c.CAData, c.CAFile, c.dir, readKubeFile)
	return o, err
}

// show adds the user's credential to the access.
func (u *kubeUser) show(access *kubeAccess) error {
	switch {
	case u.AuthProvider != nil:
		return &SetupError{"the kubeconfig's user has an auth-provider, which kubectl has given up, too", "give it a plugin under exec, or fob's own login: --as kubernetes=PROFILE"}
	case u.Username != "":
		return &SetupError{"the kubeconfig's user has a password, which no Kubernetes takes any more", "give it a token or a certificate, or fob's own login: --as kubernetes=PROFILE"}
	case u.As != "":
		return &SetupError{"fob does not act for others, as the kubeconfig's user has it under as", "name another context: kubernetes:CONTEXT@NAMESPACE/NAME#KEY"}
	}
	certificate, err := readPEM(u.CertificateData, u.CertificateFile, u.dir, readKubeFile)
	if err != nil {
		return err
	}
	key, err := readPEM(u.KeyData, u.KeyFile, u.dir, func(path string) ([]byte, error) { return atomicfile.ReadCredential(path, maxKubeFile) })
	if err != nil {
		return err
	}
	if certificate != nil || key != nil {
		pair, err := tls.X509KeyPair(certificate, key)
		if err != nil {
			return kubeProblem("the kubeconfig's user has no certificate with its key in PEM")
		}
		access.options.Certificate = &pair
	}
	if u.TokenFile != "" { // takes precedence over the token
		access.token, err = readKubeToken(resolveIn(u.dir, u.TokenFile))
		return err
	}
	access.token = secret.New(u.Token)
	return nil
}

// readPEM returns PEM from base64 in the kubeconfig, or from a file.
func readPEM(data, file, dir string, read func(string) ([]byte, error)) ([]byte, error) {
	if data != "" {
		text, err := base64.StdEncoding.DecodeString(data)
		if err != nil {
			return nil, kubeProblem("a certificate or key in the kubeconfig is not in base64")
		}
		return text, nil
	}
	if file == "" {
		return nil, nil
	}
	return read(resolveIn(dir, file))
}

func resolveIn(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

func readKubeFile(path string) ([]byte, error) {
	text, err := atomicfile.ReadRegular(path, maxKubeFile)
	if err != nil {
		return nil, kubeProblem("%v", err)
	}
	return text, nil
}

func readKubeToken(path string) (secret.Secret, error) {
	text, err := readKubeFile(path)
	return secret.New(strings.TrimSpace(string(text))), err
}

// kubeExec is a program in the user's kubeconfig that prints a credential.
type kubeExec struct {
	APIVersion         string `yaml:"apiVersion"`
	Command            string
	Args               []string
	Env                []struct{ Name, Value string }
	InstallHint        string `yaml:"installHint"`
	InteractiveMode    string `yaml:"interactiveMode"`
	ProvideClusterInfo bool   `yaml:"provideClusterInfo"`
}

// execCredential is the program's input and output:
// https://kubernetes.io/docs/reference/config-api/client-authentication.v1/.
type execCredential struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Spec       struct {
		Interactive bool           `json:"interactive"`
		Cluster     map[string]any `json:"cluster,omitempty"`
	} `json:"spec"`
	Status *struct {
		Token           string `json:"token"`
		CertificateData string `json:"clientCertificateData"`
		KeyData         string `json:"clientKeyData"`
	} `json:"status,omitempty"`
}

// run runs the program, without a terminal for questions.
func (e *kubeExec) run(ctx context.Context, environ []string, dir string, cluster kubeCluster) (kubeUser, error) {
	var user kubeUser
	question := execCredential{APIVersion: e.APIVersion, Kind: "ExecCredential"}
	switch version, isKnown := strings.CutPrefix(e.APIVersion, "client.authentication.k8s.io/"); {
	case !isKnown || version != "v1" && version != "v1beta1":
		return user, kubeProblem("the kubeconfig's plugin speaks %q, and not client.authentication.k8s.io/v1", e.APIVersion)
	case e.Command == "" || e.InteractiveMode == "Always":
		return user, kubeProblem("the kubeconfig's plugin names no program, or one that asks a person")
	}
	if e.ProvideClusterInfo {
		options, err := cluster.options()
		if err != nil {
			return user, err
		}
		question.Spec.Cluster = map[string]any{"server": cluster.Server, "tls-server-name": cluster.ServerName, "certificate-authority-data": options.Roots}
	}
	info, _ := json.Marshal(question) // cannot fail for texts
	environ = slices.Clone(environ)
	for _, variable := range e.Env {
		environ = append(environ, variable.Name+"="+variable.Value)
	}
	program := e.Command
	if filepath.Base(program) != program { // only a name is looked up in PATH
		program = resolveIn(dir, program)
	}
	out, err := Run(ctx, append([]string{program}, e.Args...), append(environ, "KUBERNETES_EXEC_INFO="+string(info)), secret.Secret{})
	if err != nil {
		hint := cmp.Or(sanitize.Line(e.InstallHint), "run it by hand; it is the kubeconfig's, as in 'kubectl auth whoami'")
		return user, &SetupError{"the kubeconfig's plugin failed: " + sanitize.Line(err.Error()), hint}
	}
	var answer execCredential
	if json.Unmarshal(out, &answer) != nil || answer.Kind != question.Kind || answer.APIVersion != e.APIVersion || answer.Status == nil {
		return user, kubeProblem("the kubeconfig's plugin did not print an ExecCredential of %s", e.APIVersion)
	}
	user.Token = answer.Status.Token
	// The program prints PEM, a kubeconfig contains base64 of it.
	user.CertificateData = base64.StdEncoding.EncodeToString([]byte(answer.Status.CertificateData))
	user.KeyData = base64.StdEncoding.EncodeToString([]byte(answer.Status.KeyData))
	return user, nil
}
