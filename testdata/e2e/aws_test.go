package e2e

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	awsID     = "AKIDCANARYOFAWS"
	awsSecret = "canary/of+aws"
)

// newSecretsManager is moto's Secrets Manager behind a guard that checks signatures,
// which moto does not.
func newSecretsManager(t *testing.T) *httptest.Server {
	t.Helper()
	moto := "../../bin/moto/bin/python3"
	if _, err := os.Stat(moto); err != nil {
		t.Fatal("there is no moto: run 'sh testdata/setup.sh aws'")
	}
	behind := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	host, port, _ := strings.Cut(behind, ":")
	newMachine(t).startDaemon(exec.Command(moto, "-m", "moto.server", "-H", host, "-p", port))
	until(t, http.StatusOK, func() (int, error) {
		resp, err := http.Get("http://" + behind + "/moto-api/")
		if err != nil {
			return 0, err
		}
		resp.Body.Close()
		return resp.StatusCode, nil
	})
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: behind})
	guard := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if code := wrongSignature(r, body); code != "" {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `{"__type":"%s","message":"The security token included in the request is invalid."}`, code)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(guard.Close)
	return guard
}

// wrongSignature checks Signature Version 4 as the receiving side does, and is AWS's
// name for what is wrong. It shares no code with fob.
func wrongSignature(r *http.Request, body []byte) string {
	given, found := strings.CutPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 ")
	part := make(map[string]string)
	for _, p := range strings.Split(given, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		part[name] = value
	}
	scope := strings.Split(part["Credential"], "/")
	if !found || len(scope) != 5 {
		return "IncompleteSignatureException"
	}
	if scope[0] != awsID {
		return "UnrecognizedClientException"
	}
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil || time.Since(at).Abs() > 5*time.Minute || at.Format("20060102") != scope[1] || scope[3] != "secretsmanager" {
		return "InvalidSignatureException"
	}
	names := strings.Split(part["SignedHeaders"], ";")
	covered := " " + strings.Join(names, " ") + " "
	if !sort.StringsAreSorted(names) || !strings.Contains(covered, " host ") || !strings.Contains(covered, " x-amz-target ") {
		return "InvalidSignatureException"
	}
	canonical := r.Method + "\n" + r.URL.EscapedPath() + "\n" + r.URL.RawQuery + "\n"
	for _, name := range names {
		value := r.Header.Get(name)
		if name == "host" {
			value = r.Host
		}
		canonical += name + ":" + strings.TrimSpace(value) + "\n"
	}
	canonical += "\n" + part["SignedHeaders"] + "\n" + fmt.Sprintf("%x", sha256.Sum256(body))
	key := []byte("AWS4" + awsSecret)
	toSign := "AWS4-HMAC-SHA256\n" + r.Header.Get("X-Amz-Date") + "\n" + strings.Join(scope[1:], "/") + "\n" + fmt.Sprintf("%x", sha256.Sum256([]byte(canonical)))
	for _, text := range append(scope[1:], toSign) {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(text))
		key = mac.Sum(nil)
	}
	if fmt.Sprintf("%x", key) != part["Signature"] {
		return "InvalidSignatureException"
	}
	return ""
}

func newAWSMachine(t *testing.T, server *httptest.Server, env ...string) *machine {
	m := newMachine(t, append([]string{
		"AWS_ENDPOINT_URL=" + server.URL, "AWS_DEFAULT_REGION=eu-west-1", "AWS_ACCESS_KEY_ID=" + awsID, "AWS_SECRET_ACCESS_KEY=" + awsSecret,
		"FOB_SECRET_STRIPE_PROD=sk_canary \"<&>\"",
	}, env...)...)
	m.program = []string{shipped}
	return m
}

// AWS's own program reads what fob has written, and is refused where fob is: the guard
// asks of both what AWS does.
func TestAWSSecretsManager(t *testing.T) {
	t.Parallel()
	server := newSecretsManager(t)
	m := newAWSMachine(t, server)
	aws := func(m *machine, args ...string) string {
		t.Helper()
		out, err := m.command(append([]string{"aws", "secretsmanager", "--output", "text"}, args...)...).CombinedOutput()
		if err != nil {
			return "failed: " + string(out)
		}
		return strings.TrimSpace(string(out))
	}
	held := func(id string) string { // moto forgets what is current unless it is told
		t.Helper()
		return aws(m, "get-secret-value", "--secret-id", id, "--version-stage", "AWSCURRENT", "--query", "SecretString")
	}
	const escaped = `"sk_canary \"\u003c\u0026\u003e\""`
	for _, step := range []struct{ to, want string }{
		{"shop/prod#KEY", `{"KEY":` + escaped + `}`},
		{"shop/prod#KEY", `{"KEY":` + escaped + `}`},
		{"shop/prod#other.key", `{"KEY":` + escaped + `,"other.key":` + escaped + `}`},
	} {
		if r := pushTo(m, "aws-secretsmanager:"+step.to); r.status != 0 || held("shop/prod") != step.want {
			t.Errorf("%s: %d %s\n%s", step.to, r.status, r.stderr, held("shop/prod"))
		}
	}
	if out := aws(m, "create-secret", "--name", "others", "--secret-string", `{"A": "1", "n": 1.50}`); strings.HasPrefix(out, "failed") {
		t.Fatal(out)
	}
	if r := pushTo(m, "aws-secretsmanager:others#KEY"); r.status != 0 || held("others") != `{"A":"1","KEY":`+escaped+`,"n":1.50}` {
		t.Errorf("beside another's: %d %s\n%s", r.status, r.stderr, held("others"))
	}
	if out := aws(m, "create-secret", "--name", "plain", "--secret-string", "canary"); strings.HasPrefix(out, "failed") {
		t.Fatal(out)
	}
	for name, c := range map[string]struct {
		env, to, want, hint string
		both                bool // AWS's program is refused, too
	}{
		"a value that is no object": {"A=b", "plain#KEY", "not a JSON object", "name another secret", false},
		"a wrong secret key":        {"AWS_SECRET_ACCESS_KEY=canary", "shop/prod#KEY", "answered 400", "give a key that is good", true},
		"an unknown key":            {"AWS_ACCESS_KEY_ID=AKIDOTHER", "shop/prod#KEY", "answered 400", "give a key that is good", true},
		"no key":                    {"AWS_ACCESS_KEY_ID=", "shop/prod#KEY", "there is no credential", "set the variable", true},
	} {
		other := newAWSMachine(t, server, c.env)
		r := pushTo(other, "aws-secretsmanager:"+c.to)
		if r.status == 0 || !strings.Contains(r.stderr, c.want) || !strings.Contains(r.stderr, "hint: "+c.hint) && c.hint != "" || strings.Contains(r.stderr, "canary") {
			t.Errorf("%s: %d\n%s", name, r.status, r.stderr)
		}
		name, _, _ := strings.Cut(c.to, "#")
		if out := aws(other, "get-secret-value", "--secret-id", name); c.both != strings.HasPrefix(out, "failed") {
			t.Errorf("%s: AWS's own program: %s", name, out)
		}
	}
	if r := m.fob("", "secret", "push", "stripe/prod", "--as", "work", "--to", "aws-secretsmanager:shop/prod#KEY"); r.status == 0 {
		t.Error("--as was taken")
	}
}

// Writers of other keys of the same secret: what is current moves from the version that
// was read, or not at all.
func TestAWSTakesConcurrentWriters(t *testing.T) {
	t.Parallel()
	m := newAWSMachine(t, newSecretsManager(t))
	if r := pushTo(m, "aws-secretsmanager:crowd#FIRST"); r.status != 0 {
		t.Fatal(r.stderr)
	}
	var running sync.WaitGroup
	for i := range 6 {
		running.Go(func() {
			if r := pushTo(m, fmt.Sprintf("aws-secretsmanager:crowd#K%d", i)); r.status != 0 {
				t.Errorf("%d\n%s", r.status, r.stderr)
			}
		})
	}
	running.Wait()
	out, err := m.command("aws", "secretsmanager", "get-secret-value", "--secret-id", "crowd", "--version-stage", "AWSCURRENT", "--query", "SecretString", "--output", "text").CombinedOutput()
	if err != nil || strings.Count(string(out), "sk_canary") != 7 {
		t.Errorf("%v: %s", err, out)
	}
}

func pushTo(m *machine, names ...string) result {
	args := []string{"secret", "push", "stripe/prod"}
	for _, name := range names {
		args = append(args, "--to", name)
	}
	return m.fob("", args...)
}
