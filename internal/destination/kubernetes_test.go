package destination

import (
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/secret"
)

// What kube-apiserver 1.34.2 answered, in testdata/e2e.
var kubeAnswers = map[int]string{
	200: `{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"name":"app","namespace":"shop"}}`,
	401: `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Unauthorized","reason":"Unauthorized","code":401}`,
	403: `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"secrets \"app\" is forbidden: User \"limited\" cannot patch resource \"secrets\" in API group \"\" in the namespace \"shop\"","reason":"Forbidden","details":{"name":"app","kind":"secrets"},"code":403}`,
	404: `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"namespaces \"shop\" not found","reason":"NotFound","details":{"name":"shop","kind":"namespaces"},"code":404}`,
	422: "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\"message\":\"Secret \\\"app\\\" is invalid: data: Forbidden: field is immutable when `immutable` is set\",\"reason\":\"Invalid\",\"code\":422}",
}

// kubeDouble is an apiserver, and the machine that has a kubeconfig for it. In the
// text, SERVER and CA stand for its own, and DIR for the folder of the kubeconfig.
type kubeDouble struct {
	Machine
	environ map[string]string
	dir     string
	server  *httptest.Server
	status  int
	asked   []string
}

func newKubeDouble(t *testing.T, text string) *kubeDouble {
	d := &kubeDouble{environ: make(map[string]string), dir: t.TempDir(), status: 200}
	d.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		d.asked = append(d.asked, strings.Join([]string{r.Method, r.URL.RequestURI(), r.Header.Get("Authorization"), r.Header.Get("Content-Type"), r.Header.Get("Accept"), string(body)}, "\n"))
		w.WriteHeader(d.status)
		_, _ = io.WriteString(w, kubeAnswers[d.status])
	}))
	d.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	d.server.StartTLS()
	t.Cleanup(d.server.Close)
	d.Machine = machine(t)
	d.Getenv = func(name string) string { return d.environ[name] }
	d.Environ = os.Environ()
	if text != "" {
		d.write(t, "config", d.filled(text))
		d.environ["KUBECONFIG"] = filepath.Join(d.dir, "config")
	}
	return d
}

func (d *kubeDouble) ca() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: d.server.Certificate().Raw}))
}

func (d *kubeDouble) filled(text string) string {
	return strings.NewReplacer("SERVER", d.server.URL, "CA", base64.StdEncoding.EncodeToString([]byte(d.ca())), "DIR", d.dir).Replace(text)
}

func (d *kubeDouble) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(d.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

const kubeText = `
current-context: it
contexts: [{name: it, context: {cluster: here, user: me}}, {name: "a@b/c:d", context: {cluster: here, user: other}}]
clusters: [{name: here, cluster: {server: SERVER, certificate-authority-data: CA}}]
users: [{name: me, user: {token: canary-me}}, {name: other, user: {tokenFile: token}}]
`

func TestKubernetes(t *testing.T) {
	d := newKubeDouble(t, kubeText)
	d.write(t, "token", "canary-other\n")
	for name, want := range map[string][2]string{
		"kubernetes:shop/app#API_KEY":         {"Bearer canary-me", "API_KEY"},
		"kubernetes:a@b/c:d@shop/app#a.b-c_D": {"Bearer canary-other", "a.b-c_D"},
	} {
		d.asked = nil
		if err := deliver(t, d.Machine, name, "v\xff"); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		key := want[1]
		if asked := strings.Join(d.asked, "\n\n"); asked != strings.Join([]string{
			"PATCH", "/api/v1/namespaces/shop/secrets/app?fieldManager=fob-" + key + "&fieldValidation=Strict&force=true", want[0],
			"application/apply-patch+yaml", "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
			`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"app","namespace":"shop"},"data":{"` + key + `":"dv8="}}`,
		}, "\n") {
			t.Errorf("%s: %s", name, asked)
		}
	}
	for status, want := range map[int]string{
		401: "answered 401 Unauthorized: Unauthorized",
		403: `answered 403 Forbidden: secrets "app" is forbidden: User "limited" cannot patch resource "secrets" in API group "" in the namespace "shop"`,
		404: `answered 404 Not Found: namespaces "shop" not found`,
		422: "answered 422 Unprocessable Entity: Secret \"app\" is invalid: data: Forbidden: field is immutable when `immutable` is set",
	} {
		d.status = status
		if err := deliver(t, d.Machine, "kubernetes:shop/app#A", "canary-value"); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%d: %v", status, err)
		}
	}
	d.status, d.asked = 409, nil
	if err := deliver(t, d.Machine, "kubernetes:shop/app#A", "v"); !isAnswer(err, 409) || len(d.asked) != maxTries {
		t.Error(err, len(d.asked))
	}
}

func TestKubernetesNames(t *testing.T) {
	long := strings.Repeat("n", 64)
	for _, name := range []string{
		"app#A", "/app#A", "shop/#A", "shop/app#", "shop/app", "Shop/app#A", "shop.x/app#A", "-shop/app#A", "shop-/app#A", "shop/app-#A", "shop/.app#A",
		"shop/a..b#A", "shop/App#A", "shop/app/b#A", "shop/../x#A", "shop/app?x=1#A", "shop/app%2f#A", "shop/app#a b", "shop/app#a/b", "shop/app#..", "shop/app#..a",
		"shop/app#.", "shop/app#" + strings.Repeat("k", 254), long + "/app#A", "shop/" + strings.Repeat("n", 254) + "#A", "@shop/app#A", "it@shop#A", `shop/app#a"b`,
	} {
		if _, err := Parse("kubernetes:"+name, machine(t)); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if a, b := fieldManager(strings.Repeat("k", 253)), fieldManager(strings.Repeat("k", 252)); a == b || len(a) > maxFieldManager || fieldManager("A") != "fob-A" {
		t.Error(a, b)
	}
	d := newKubeDouble(t, kubeText)
	for _, value := range []string{"", strings.Repeat("x", maxSecret+1)} {
		if err := deliver(t, d.Machine, "kubernetes:shop/app#A", value); !errors.Is(err, ErrValue) {
			t.Errorf("%d bytes: %v", len(value), err)
		}
	}
}

func TestKubeconfig(t *testing.T) {
	user := func(text string) string {
		return strings.Replace(kubeText, "{token: canary-me}", text, 1)
	}
	cluster := func(text string) string {
		return strings.Replace(kubeText, "{server: SERVER, certificate-authority-data: CA}", text, 1)
	}
	for name, c := range map[string]struct{ config, want string }{
		"a CA in a file":                 {cluster("{server: SERVER, certificate-authority: ca.pem}"), ""},
		"another name":                   {cluster("{server: SERVER, certificate-authority-data: CA, tls-server-name: example.com}"), ""},
		"the wrong name":                 {cluster("{server: SERVER, certificate-authority-data: CA, tls-server-name: evil.test}"), "certificate is valid for example.com"},
		"the system's CAs":               {cluster("{server: SERVER}"), "certificate signed by unknown authority"},
		"no checks":                      {cluster("{server: SERVER, insecure-skip-tls-verify: true}"), "insecure-skip-tls-verify"},
		"a proxy":                        {cluster(`{server: SERVER, proxy-url: "http://p.example"}`), "proxy-url"},
		"a CA that is none":              {cluster("{server: SERVER, certificate-authority-data: Y2FuYXJ5}"), "certificates that the kubeconfig names cannot be used"},
		"no base64":                      {cluster("{server: SERVER, certificate-authority-data: canary!}"), "is not in base64"},
		"a missing CA":                   {cluster("{server: SERVER, certificate-authority: none.pem}"), "none.pem"},
		"in the clear":                   {cluster("{server: http://cluster.example}"), "is not an https address"},
		"a password":                     {user("{username: me, password: canary}"), "has a password"},
		"an auth-provider":               {user("{auth-provider: {name: gcp}}"), "auth-provider"},
		"acting for another":             {user("{token: canary, as: root}"), "does not act for others"},
		"nobody":                         {user("{}"), "there is no credential for the platform"},
		"a token of two lines":           {user(`{token: "canary\nX: y"}`), "has a line break in it"},
		"a certificate without a key":    {user("{client-certificate-data: CA}"), "has no certificate with its key"},
		"an old plugin":                  {user("{exec: {apiVersion: client.authentication.k8s.io/v1alpha1, command: x}}"), "v1alpha1"},
		"a plugin that asks":             {user("{exec: {apiVersion: client.authentication.k8s.io/v1, command: x, interactiveMode: Always}}"), "asks a person"},
		"no such plugin":                 {user(`{exec: {apiVersion: client.authentication.k8s.io/v1, command: fob-no-such, installHint: "get it\e[2J"}}`), "plugin failed"},
		"acting for another by a plugin": {user(`{as: root, exec: {apiVersion: client.authentication.k8s.io/v1, command: echo, args: ['{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"t"}}']}}`), "does not act for others"},
		"no YAML":                        {"canary: [", "is not a kubeconfig"},
		"another type":                   {"users: canary", "is not a kubeconfig"},
		"aliases that grow":              {"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nusers: &d [*c,*c,*c,*c,*c,*c,*c,*c]\n", "is not a kubeconfig"},
		"no context":                     {"users: []", "no current context"},
		"an unknown context":             {"current-context: canar", `no context "canar"`},
		"no cluster":                     {strings.Replace(kubeText, "name: here", "name: there", 1), `no cluster "here"`},
	} {
		d := newKubeDouble(t, c.config)
		d.write(t, "ca.pem", d.ca())
		err := deliver(t, d.Machine, "kubernetes:shop/app#A", "v")
		if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "canary")) {
			t.Errorf("%s: %v", name, err)
		}
		var setup *SetupError
		if errors.As(err, &setup) && (setup.Hint == "" || strings.Contains(setup.Hint, "\x1b")) {
			t.Errorf("%s: %q", name, setup.Hint)
		}
		if c.want != "" && len(d.asked) != 0 {
			t.Errorf("%s: it was asked all the same", name)
		}
	}
}

// Of several files the first that says something counts, and a missing one nothing.
func TestKubeconfigsInAList(t *testing.T) {
	d := newKubeDouble(t, kubeText)
	d.write(t, "first", "current-context: a@b/c:d\nusers: [{name: other, user: {token: canary-first}}]\n")
	d.environ["KUBECONFIG"] = strings.Join([]string{"", filepath.Join(d.dir, "none"), filepath.Join(d.dir, "first"), filepath.Join(d.dir, "config")}, string(filepath.ListSeparator))
	if err := deliver(t, d.Machine, "kubernetes:shop/app#A", "v"); err != nil || !strings.Contains(d.asked[0], "Bearer canary-first") {
		t.Error(err, d.asked)
	}
	d.environ["KUBECONFIG"], d.environ["HOME"] = "", d.dir
	var setup *SetupError
	if err := deliver(t, d.Machine, "kubernetes:shop/app#A", "v"); !errors.As(err, &setup) || !strings.Contains(err.Error(), "there is no kubeconfig") {
		t.Error(err)
	}
	if err := os.Mkdir(filepath.Join(d.dir, ".kube"), 0o700); err != nil {
		t.Fatal(err)
	}
	d.write(t, ".kube/config", d.filled(kubeText))
	if err := deliver(t, d.Machine, "kubernetes:shop/app#A", "v"); err != nil {
		t.Error(err)
	}
}

// A chosen login stands in for the user of the kubeconfig, whose plugin is not run.
func TestKubernetesAs(t *testing.T) {
	d := newKubeDouble(t, strings.Replace(kubeText, "{token: canary-me}", "{exec: {apiVersion: x, command: x}}", 1))
	d.Credential = chooses("kubernetes", "canary-chosen")
	if err := deliver(t, d.Machine, "kubernetes:shop/app#A", "v"); err != nil || !strings.Contains(d.asked[0], "Bearer canary-chosen") {
		t.Error(err, d.asked)
	}
}

func TestKubernetesInACluster(t *testing.T) {
	d := newKubeDouble(t, "")
	u, err := url.Parse(d.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	d.environ["KUBERNETES_SERVICE_HOST"], d.environ["KUBERNETES_SERVICE_PORT"] = u.Hostname(), u.Port()
	d.write(t, "ca.crt", d.ca())
	d.write(t, "token", "canary-pod\n")
	for _, name := range []string{"kubernetes:shop/app#A", "kubernetes:it@shop/app#A"} {
		p, err := Parse(name, d.Machine)
		if err != nil {
			t.Fatal(err)
		}
		p.(*kubernetesKey).account = d.dir
		err = p.Deliver(t.Context(), secret.New("v"))
		if inside := !strings.Contains(name, "@"); (err == nil) != inside {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(d.asked) != 1 || !strings.Contains(d.asked[0], "Bearer canary-pod") {
		t.Error(d.asked)
	}
}

// A plugin is told what Kubernetes says that it is told, and no terminal is there.
func TestKubernetesPlugin(t *testing.T) {
	if os.PathSeparator != '/' {
		t.Skip("a shell script")
	}
	const config = "{exec: {apiVersion: client.authentication.k8s.io/v1beta1, command: ./plugin, args: [an arg], env: [{name: WHO, value: canary-it}]}}"
	d := newKubeDouble(t, strings.Replace(kubeText, "{token: canary-me}", config, 1))
	for print, want := range map[string]string{
		`{"apiVersion":"client.authentication.k8s.io/v1beta1","kind":"ExecCredential","status":{"token":"'$WHO'"}}`: "",
		`{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"canary"}}`:      "did not print an ExecCredential",
		`{"apiVersion":"client.authentication.k8s.io/v1beta1","kind":"ExecCredential"}`:                             "did not print an ExecCredential",
		`{"apiVersion":"client.authentication.k8s.io/v1beta1","kind":"ExecCredential","status":{}}`:                 "there is no credential",
		`canary`: "did not print an ExecCredential",
	} {
		d.asked = nil
		d.write(t, "plugin", "#!/bin/sh\necho \"$1 $KUBERNETES_EXEC_INFO\" >'"+d.dir+"/told'\ncat >>'"+d.dir+"/told'\necho '"+print+"'\n")
		if err := os.Chmod(filepath.Join(d.dir, "plugin"), 0o700); err != nil {
			t.Fatal(err)
		}
		err := deliver(t, d.Machine, "kubernetes:shop/app#A", "v")
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "canary")) {
			t.Errorf("%s: %v", print, err)
		}
		if err == nil && !strings.Contains(d.asked[0], "Bearer canary-it") {
			t.Error(d.asked)
		}
	}
	told, err := os.ReadFile(filepath.Join(d.dir, "told"))
	if want := fmt.Sprintln(`an arg {"apiVersion":"client.authentication.k8s.io/v1beta1","kind":"ExecCredential","spec":{"interactive":false}}`); err != nil || string(told) != want {
		t.Errorf("%v: %s", err, told)
	}
}
