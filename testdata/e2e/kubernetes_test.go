//go:build soak

package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// kubernetes is a real kube-apiserver with a real etcd, and no node: Secrets need none.
type kubernetes struct {
	*pki
	t   *testing.T
	url string
	hc  *http.Client
}

// Users are known by their tokens; the limited one may do nothing unless it is told.
const kubeUsers = `canary-admin,admin,1,"system:masters"
canary-limited,limited,2,""
canary-writer,writer,3,""
`

func newKubernetes(t *testing.T) *kubernetes {
	k := &kubernetes{pki: newPKI(t), t: t}
	apiserver, _ := module{path: "k8s.io/kubernetes", version: "v1.34.2", program: "k8s.io/kubernetes/cmd/kube-apiserver", staging: "v0.34.2"}.built(t)
	m := newMachine(t)
	client, peer := fmt.Sprintf("http://127.0.0.1:%d", freePort(t)), fmt.Sprintf("http://127.0.0.1:%d", freePort(t))
	m.env = append(m.env, "ETCD_UNSUPPORTED_ARCH=arm64")
	k.start(m, "etcd", "--data-dir", filepath.Join(k.dir, "etcd"), "--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer)
	users := filepath.Join(k.dir, "users.csv")
	if err := os.WriteFile(users, []byte(kubeUsers), 0o600); err != nil {
		t.Fatal(err)
	}
	signing := filepath.Join(k.dir, "signing.key") // it takes no PKCS #8
	der, err := x509.MarshalECPrivateKey(k.root.key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(signing, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	k.url = fmt.Sprintf("https://127.0.0.1:%d", port)
	k.start(m, apiserver, "--etcd-servers", client, "--bind-address", "127.0.0.1", "--secure-port", fmt.Sprint(port),
		"--tls-cert-file", k.Cert, "--tls-private-key-file", k.Key, "--client-ca-file", k.CA, "--token-auth-file", users,
		"--authorization-mode", "RBAC", "--service-account-issuer", "https://issuer.example", "--service-account-key-file", signing,
		"--service-account-signing-key-file", signing, "--service-cluster-ip-range", "10.0.0.0/24", "--disable-admission-plugins", "ServiceAccount")
	roots := x509.NewCertPool()
	roots.AddCert(k.root.cert)
	k.hc = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	until(t, http.StatusOK, func() (int, error) {
		status, _ := k.ask(http.MethodGet, "/api/v1/namespaces/default", "", "")
		return status, nil
	})
	return k
}

func (k *kubernetes) start(m *machine, program string, args ...string) {
	log, err := os.Create(filepath.Join(k.dir, filepath.Base(program)+".log"))
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() {
		log.Close()
		if k.t.Failed() {
			k.t.Logf("%s:\n%s", program, lastLines(readText(k.t, log.Name()), 15))
		}
	})
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = log, log
	m.startDaemon(cmd)
}

func lastLines(text string, n int) string {
	lines := strings.Split(text, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// ask speaks to the API as its administrator.
func (k *kubernetes) ask(method, path, contentType, body string) (status int, answer []byte) {
	req, err := http.NewRequest(method, k.url+path, strings.NewReader(body))
	if err != nil {
		k.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer canary-admin")
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := k.hc.Do(req)
	if err != nil {
		return 0, nil
	}
	defer resp.Body.Close()
	var raw json.RawMessage
	_ = json.NewDecoder(resp.Body).Decode(&raw)
	return resp.StatusCode, raw
}

func (k *kubernetes) must(method, path, body string) {
	k.t.Helper()
	if status, answer := k.ask(method, path, "application/json", body); status > 299 {
		k.t.Fatalf("%s %s: %d %s", method, path, status, answer)
	}
}

// held is what a Secret has: KEY=value of each key, and its type.
func (k *kubernetes) held(name string) (keys map[string]string, kind string) {
	k.t.Helper()
	_, answer := k.ask(http.MethodGet, "/api/v1/namespaces/default/secrets/"+name, "", "")
	var secret struct {
		Data map[string][]byte
		Type string
	}
	if err := json.Unmarshal(answer, &secret); err != nil {
		k.t.Fatal(err)
	}
	keys = make(map[string]string)
	for key, value := range secret.Data {
		keys[key] = string(value)
	}
	return keys, secret.Type
}

// config writes a kubeconfig, whose user is as the text says.
func (k *kubernetes) config(m *machine, user string) {
	k.t.Helper()
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: "it@here/a:b"
contexts:
- name: it@here/a:b
  context: {cluster: here, user: me, namespace: default}
clusters:
- name: here
  cluster:
    server: %s
    certificate-authority: %s
users:
- name: me
  user:
%s
`, k.url, k.CA, user)
	path := filepath.Join(m.home, "kubeconfig")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		k.t.Fatal(err)
	}
	m.env = append(m.env, "KUBECONFIG="+path)
}

func (k *kubernetes) machine(user, value string) *machine {
	m := newMachine(k.t, "FOB_SECRET_STRIPE_PROD="+value)
	m.program = []string{shipped}
	k.config(m, user)
	return m
}

// What a real Kubernetes does with what fob applies.
func TestRealKubernetes(t *testing.T) {
	k := newKubernetes(t)
	admin := k.machine("    token: canary-admin", "sk_canary")
	ok := func(m *machine, names ...string) {
		t.Helper()
		for i := range names {
			names[i] = "kubernetes:" + names[i]
		}
		if r := pushTo(m, names...); r.status != 0 {
			t.Errorf("%v: %d\n%s", names, r.status, r.stderr)
		}
	}
	want := func(name, keys, kind string) {
		t.Helper()
		if got, is := k.held(name); strings.TrimPrefix(fmt.Sprint(got), "map") != keys || is != kind {
			t.Errorf("%s: %v, %s", name, got, is)
		}
	}
	t.Run("keys beside keys", func(t *testing.T) {
		ok(admin, "default/app#A")
		ok(admin, "default/app#B.c-d_E")
		ok(k.machine("    token: canary-admin", "sk_2"), "default/app#A")
		ok(admin, "it@here/a:b@default/app#C")
		want("app", "[A:sk_2 B.c-d_E:sk_canary C:sk_canary]", "Opaque")
		cmd := admin.command("kubectl", "get", "secret", "app", "-o", "jsonpath={.data.A}")
		if out, err := cmd.Output(); err != nil || string(out) != base64.StdEncoding.EncodeToString([]byte("sk_2")) {
			t.Errorf("kubectl: %s, %v", out, err)
		}
	})
	t.Run("what others made", func(t *testing.T) {
		k.must(http.MethodPost, "/api/v1/namespaces/default/secrets?fieldManager=other",
			`{"metadata":{"name":"others","labels":{"a":"b"}},"type":"kubernetes.io/basic-auth","data":{"username":"dQ==","password":"cA=="}}`)
		ok(admin, "default/others#password", "default/others#more")
		want("others", "[more:sk_canary password:sk_canary username:u]", "kubernetes.io/basic-auth")
		k.must(http.MethodPost, "/api/v1/namespaces/default/secrets", `{"metadata":{"name":"fixed"},"immutable":true,"data":{"A":"dQ=="}}`)
		if r := pushTo(admin, "kubernetes:default/fixed#A"); r.status != 1 || !strings.Contains(r.stderr, "422") || !strings.Contains(r.stderr, "immutable") || !strings.Contains(r.stderr, "hint: mend what") {
			t.Errorf("an immutable one: %d\n%s", r.status, r.stderr)
		}
	})
	t.Run("names at their limits", func(t *testing.T) {
		key, name := strings.Repeat("k", 253), strings.Repeat("n", 200)
		ok(admin, "default/"+name+"#"+key, "default/"+name+"#"+key[1:])
		if keys, _ := k.held(name); len(keys) != 2 {
			t.Error(keys)
		}
	})
	t.Run("many at once", func(t *testing.T) {
		var running sync.WaitGroup
		for i := range 10 {
			running.Go(func() {
				ok(admin, fmt.Sprintf("default/crowd#A%d", i), fmt.Sprintf("default/crowd#B%d", i))
			})
		}
		running.Wait()
		if keys, _ := k.held("crowd"); len(keys) != 20 {
			t.Error(keys)
		}
	})
	t.Run("how much a Secret takes", func(t *testing.T) {
		large := `{"metadata":{"name":"large"},"data":{"L":"` + base64.StdEncoding.EncodeToString(make([]byte, 1000<<10)) + `"}}`
		k.must(http.MethodPost, "/api/v1/namespaces/default/secrets", large)
		ok(admin, "default/large#A")
		more := k.machine("    token: canary-admin", strings.Repeat("x", 30<<10))
		if r := pushTo(more, "kubernetes:default/large#B"); r.status != 1 || !strings.Contains(r.stderr, "422") || strings.Contains(r.stderr, "xxxx") {
			t.Errorf("more than a MiB: %d\n%.500s", r.status, r.stderr)
		}
	})
	addToReport("## Kubernetes\n\nkube-apiserver v1.34.2 with etcd took what fob applied, key by key, and kept all others.\n")
	t.Run("who may", func(t *testing.T) { kubernetesUsers(t, k) })
}

func kubernetesUsers(t *testing.T, k *kubernetes) {
	const rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/"
	k.must(http.MethodPost, rbac+"roles", `{"metadata":{"name":"put"},"rules":[{"apiGroups":[""],"resources":["secrets"],"verbs":["create","patch"]}]}`)
	k.must(http.MethodPost, rbac+"rolebindings", `{"metadata":{"name":"put"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"put"},
		"subjects":[{"kind":"User","name":"writer"}]}`)
	_, cert, key := k.certified(t, "writer", false)
	plugin := filepath.Join(t.TempDir(), "plugin")
	script := `#!/bin/sh
case "$KUBERNETES_EXEC_INFO" in *'"server":"https://127.0.0.1:'*) ;; *) exit 3 ;; esac
[ "$WHO $1" = "canary-writer it" ] || exit 4
echo '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"'$WHO'"}}'
`
	if err := os.WriteFile(plugin, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("canary-writer\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	exec := `    exec: {apiVersion: client.authentication.k8s.io/v1, command: %s, args: [%s], env: [{name: WHO, value: canary-writer}], interactiveMode: Never, provideClusterInfo: true}`
	for name, c := range map[string]struct{ user, to, want string }{
		"one who may write alone": {"    token: canary-writer", "default/who#A", ""},
		"a token in a file":       {"    tokenFile: " + token, "default/who#B", ""},
		"a client's certificate":  {"    client-certificate: " + cert + "\n    client-key: " + key, "default/who#C", ""},
		"a plugin":                {fmt.Sprintf(exec, plugin, "it"), "default/who#D", ""},
		"a plugin that fails":     {fmt.Sprintf(exec, plugin, "no"), "default/who#D", "ended with status 4"},
		"a wrong token":           {"    token: canary-wrong", "default/who#A", "answered 401 Unauthorized: Unauthorized"},
		"one who may not":         {"    token: canary-limited", "default/who#A", `answered 403 Forbidden: secrets "who" is forbidden: User "limited" cannot patch resource "secrets"`},
		"another namespace":       {"    token: canary-writer", "kube-system/who#A", "answered 403"},
		"no such namespace":       {"    token: canary-admin", "nowhere/who#A", `answered 404 Not Found: namespaces "nowhere" not found`},
		"nobody":                  {"    {}", "default/who#A", "there is no credential for the platform"},
	} {
		m := k.machine(c.user, "sk_canary")
		r := pushTo(m, "kubernetes:"+c.to)
		if (r.status == 0) != (c.want == "") || !strings.Contains(r.stderr, c.want) || strings.Contains(r.stderr, "canary") {
			t.Errorf("%s: %d\n%s", name, r.status, r.stderr)
		}
		if c.want != "" && !strings.Contains(r.stderr, "hint: ") {
			t.Errorf("%s: no hint\n%s", name, r.stderr)
		}
	}
	if keys, _ := k.held("who"); len(keys) != 4 {
		t.Error(keys)
	}
}
