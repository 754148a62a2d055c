package e2e

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// startCluster is a double for an API server with TLS: it answers whoever shows the
// token that it knows of, and says who that is.
func startCluster(t *testing.T, p *pki, known func(token string) bool) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, given := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		w.Header().Set("Content-Type", "application/json")
		if !given || !known(token) {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Unauthorized","code":401}`)
			return
		}
		fmt.Fprint(w, `{"kind":"ConfigMapList","apiVersion":"v1","items":[]}`)
	}))
	certificate, err := tls.LoadX509KeyPair(p.Cert, p.Key)
	if err != nil {
		t.Fatal(err)
	}
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// kubeconfigHead names a cluster; users follow.
const kubeconfigHead = `apiVersion: v1
kind: Config
current-context: work
contexts: [{name: work, context: {cluster: work, user: work}}]
clusters: [{name: work, cluster: {server: %q, certificate-authority: %q}}]
users:
`

// kubeconfig names fob as the plugin of a user at a cluster.
func kubeconfig(t *testing.T, version, server, ca string, args ...string) string {
	t.Helper()
	words, err := json.Marshal(append([]string{"helper", "kubectl", "work"}, args...))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "config")
	text := fmt.Sprintf(kubeconfigHead, server, ca) + fmt.Sprintf(`- name: work
  user:
    exec: {apiVersion: client.authentication.k8s.io/%s, command: %q, args: %s, provideClusterInfo: true, interactiveMode: Never}
`, version, fob, words)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// kubectlWithV1 is the installed kubectl, or one that is built where that is older than
// client.authentication.k8s.io/v1 (Debian 12's is 1.20, and v1 came with 1.22).
func kubectlWithV1(t *testing.T, m *machine) string {
	t.Helper()
	out, err := m.command("kubectl", "version", "--client", "-o", "json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var known struct{ ClientVersion struct{ Minor string } }
	if err := json.Unmarshal(out, &known); err != nil {
		t.Fatal(err)
	}
	if minor, err := strconv.Atoi(strings.TrimSuffix(known.ClientVersion.Minor, "+")); err == nil && minor >= 22 {
		return "kubectl"
	}
	built, _ := module{path: "k8s.io/kubernetes", version: "v1.34.2", program: "k8s.io/kubernetes/cmd/kubectl", staging: "v0.34.2"}.built(t)
	return built
}

// docsKubeconfig is the kubeconfig of the documentation, for a cluster of the test's.
func docsKubeconfig(t *testing.T, server, ca string) string {
	t.Helper()
	_, block, _ := strings.Cut(readText(t, "../../docs/git-docker-kubectl-aws.md"), "```yaml\nusers:\n")
	block, _, found := strings.Cut(block, "```")
	if !found || !strings.Contains(block, "command: fob\n") {
		t.Fatal("the documentation shows no plugin for kubectl")
	}
	text := fmt.Sprintf(kubeconfigHead, server, ca) + strings.NewReplacer("https://k8s.example.com:6443", server, "command: fob\n", "command: "+fob+"\n").Replace(block)
	path := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestKubectlAsksFob(t *testing.T) {
	t.Parallel()
	i := startIssuer(t)
	m := newMachineAt(t, sealed...)
	m.loginAt(i)
	id := strings.TrimSpace(m.ok("token", "work", "--id-token"))
	p := newPKI(t)
	cluster := startCluster(t, p, func(token string) bool { return token == id })
	takesAccess := startCluster(t, p, func(token string) bool {
		_, err := i.origin(token)
		return err == nil
	})
	other := startCluster(t, p, func(string) bool {
		t.Error("another cluster was shown a token")
		return true
	})
	kubectl := kubectlWithV1(t, m)
	get := func(config string) result {
		t.Helper()
		cmd := m.command(kubectl, "--kubeconfig", config, "get", "--raw", "/api/v1/namespaces/default/configmaps")
		out, err := cmd.CombinedOutput()
		if err != nil && cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return result{stdout: string(out), status: cmd.ProcessState.ExitCode()}
	}
	if r := get(docsKubeconfig(t, cluster.URL, p.CA)); r.status != 0 {
		t.Errorf("as documented: %d\n%s", r.status, r.stdout)
	}
	for _, version := range []string{"v1beta1", "v1"} {
		if r := get(kubeconfig(t, version, cluster.URL, p.CA)); r.status != 0 || !strings.Contains(r.stdout, "ConfigMapList") {
			t.Errorf("%s: %d\n%s", version, r.status, r.stdout)
		}
		if r := get(kubeconfig(t, version, cluster.URL, p.CA, "--server", cluster.URL)); r.status != 0 {
			t.Errorf("%s, for this cluster: %d\n%s", version, r.status, r.stdout)
		}
		if r := get(kubeconfig(t, version, takesAccess.URL, p.CA, "--token", "access")); r.status != 0 {
			t.Errorf("%s, with the access token: %d\n%s", version, r.status, r.stdout)
		}
		if r := get(kubeconfig(t, version, other.URL, p.CA, "--server", cluster.URL)); r.status == 0 || !strings.Contains(r.stdout, "the token of profile work is not for "+other.URL) {
			t.Errorf("%s, at another cluster: %d\n%s", version, r.status, r.stdout)
		}
	}

	// The profile's own word counts for more than a kubeconfig's.
	m.ok("profile", "set", "work", "--kubernetes-server", cluster.URL)
	if r := get(kubeconfig(t, "v1beta1", other.URL, p.CA)); r.status == 0 {
		t.Errorf("at a cluster that the profile does not name: %s", r.stdout)
	}
	if r := get(kubeconfig(t, "v1beta1", cluster.URL, p.CA)); r.status != 0 {
		t.Errorf("at the cluster that it names: %s", r.stdout)
	}
	m.ok("logout", "work")
	if r := get(kubeconfig(t, "v1beta1", cluster.URL, p.CA)); r.status == 0 || !strings.Contains(r.stdout, "hint: run 'fob login work'") {
		t.Errorf("without a login: %d\n%s", r.status, r.stdout)
	}
}
