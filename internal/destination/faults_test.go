package destination

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/httpclient"
	"github.com/fobcli/fob/internal/secret"
)

// The platforms, each with a name that it knows. Their credentials have canary in them.
var faultyNames = map[string]string{
	"github":     "github:acme/web#KEY",
	"gitlab":     "gitlab:acme/web#KEY",
	"gitea":      "gitea:acme/web#KEY",
	"vault":      "vault:kv/app#KEY",
	"kubernetes": "kubernetes:shop/app#KEY",
	awsScheme:    "aws-secretsmanager:shop/prod#KEY",
}

// faulty is a machine that knows all platforms, at one server that answers them alike.
func faulty(t *testing.T, server *httptest.Server) Machine {
	kubeconfig := filepath.Join(t.TempDir(), "config")
	text := strings.ReplaceAll(kubeText, "SERVER, certificate-authority-data: CA", `"`+server.URL+`"`)
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	environ := map[string]string{
		"GH_TOKEN": "canary-github", "GITLAB_TOKEN": "canary-gitlab", "GITEA_TOKEN": "canary-gitea", "VAULT_TOKEN": "canary-vault", "KUBECONFIG": kubeconfig,
		"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "canary-aws", "AWS_SESSION_TOKEN": "canary-session", "AWS_REGION": "eu-west-1",
	}
	m := machine(t)
	client, err := httpclient.New(httpclient.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m.HTTP, m.Now, m.URLs = client, time.Now, make(map[string]string)
	m.Getenv = func(name string) string { return environ[name] }
	for platform := range faultyNames {
		m.URLs[platform] = server.URL
	}
	return m
}

// A platform may answer anything at all: nothing of it counts as a delivery, nothing of
// ours is shown, and it is not asked for ever.
func TestNoPlatformIsTrusted(t *testing.T) {
	const value = "canary-of-the-value"
	echo := func(r *http.Request) string { // all that it was told, in every spelling
		body, _ := io.ReadAll(r.Body)
		all := strings.Join(r.Header["Authorization"], " ") + strings.Join(r.Header["X-Amz-Security-Token"], " ") + string(body) + value
		return fmt.Sprintf("%q", all+" "+base64.StdEncoding.EncodeToString([]byte(value))+" \x1b[2J")
	}
	status := func(status int, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			for i := 0; i+1 < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"message":%s,"error":%[1]s,"errors":[%[1]s],"__type":"Odd%[2]d"}`, echo(r), status)
		}
	}
	text := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	var running sync.WaitGroup
	for fault, c := range map[string]struct {
		answer http.HandlerFunc
		most   int32 // requests
	}{
		"400":               {status(400), 2},
		"401":               {status(401), 2},
		"403":               {status(403), 2},
		"404":               {status(404), 4},
		"409":               {status(409), 3},
		"422":               {status(422), 2},
		"429 for an hour":   {status(429, "Retry-After", "3600"), 1},
		"429":               {status(429), 3},
		"500":               {status(500), 3},
		"a redirect":        {status(307, "Location", "/next"), 1},
		"a page":            {text(502, "<html>"+strings.Repeat("canary", 1000)), 3},
		"a page with 403":   {text(403, "<html>canary</html>"), 2},
		"too much":          {text(500, strings.Repeat("x", 2<<20)), 3},
		"an odd status":     {status(999), 3},
		"a list for errors": {text(400, `{"errors":{"a":[{"b":null}]},"message":[[[]]]}`), 2},
		"a long message":    {text(400, `{"message":"`+strings.Repeat("canary-of-the-value ", 40000)+`"}`), 2},
		"deep":              {text(400, strings.Repeat("[", 20000)), 2},
		"half an answer": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			w.WriteHeader(500)
			_, _ = io.WriteString(w, `{"message":"`)
		}, 3},
		"no answer": {func(w http.ResponseWriter, _ *http.Request) {
			panic(http.ErrAbortHandler)
		}, 3},
	} {
		for platform, name := range faultyNames {
			running.Go(func() {
				var asked atomic.Int32
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					asked.Add(1)
					if r.URL.Path == "/next" {
						t.Errorf("%s: %s was followed", fault, platform)
					}
					c.answer(w, r)
				}))
				defer server.Close()
				err := deliver(t, faulty(t, server), name, value)
				if err == nil || asked.Load() > c.most || asked.Load() == 0 {
					t.Errorf("%s: %s: %v after %d requests", fault, platform, err, asked.Load())
					return
				}
				encoded := base64.StdEncoding.EncodeToString([]byte(value))
				if shown := err.Error(); strings.Contains(shown, "canary") || strings.Contains(shown, encoded) || strings.Contains(shown, "\x1b") || len(shown) > 1000 {
					t.Errorf("%s: %s shows %s", fault, platform, shown)
				}
			})
		}
	}
	running.Wait()
}

// What is no answer of the platform's own kind, with a good status.
func TestNoOddAnswerIsADelivery(t *testing.T) {
	for _, body := range []string{"", "<html>", "null", "[]", "{}", `"x"`, `{"data":`, `{"data":null}`, `{"data":[],"key":"?","SecretString":"{}"}`} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }))
		m := faulty(t, server)
		for platform, name := range faultyNames {
			if !strings.HasPrefix(body, "<") && (platform == "gitea" || platform == "gitlab") {
				continue // nothing in their answers counts
			}
			if err := deliver(t, m, name, "canary-of-the-value"); err == nil || strings.Contains(err.Error(), "canary") {
				t.Errorf("%s: %q: %v", platform, body, err)
			}
		}
		server.Close()
	}
}

func TestNoPlatformIsWaitedForInVain(t *testing.T) {
	end := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, " ")
		_ = http.NewResponseController(w).Flush()
		<-end
	}))
	defer server.Close()
	defer close(end)
	m := faulty(t, server)
	for platform, name := range faultyNames {
		d, err := Parse(name, m)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		err = d.Deliver(ctx, secret.New("canary-of-the-value"))
		cancel()
		if !errors.Is(err, httpclient.ErrUnavailable) {
			t.Errorf("%s: %v", platform, err)
		}
	}
}

// When to come again, as the platforms say it.
func TestRetryAfter(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for headers, want := range map[[4]string]time.Duration{
		{}:                                      0,
		{"Retry-After", "7"}:                    7 * time.Second,
		{"Retry-After", "-7"}:                   0,
		{"Retry-After", "99999999999999999999"}: 0,
		{"Retry-After", now.Add(time.Minute).UTC().Format(http.TimeFormat)}:        time.Minute,
		{"Retry-After", now.Add(-time.Minute).UTC().Format(http.TimeFormat)}:       0,
		{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "1800000090"}:          90 * time.Second, // GitHub
		{"RateLimit-Remaining", "0", "RateLimit-Reset", "1800000090"}:              90 * time.Second, // GitLab
		{"X-RateLimit-Remaining", "12", "X-RateLimit-Reset", "1800000090"}:         0,
		{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "1799999990"}:          0,
		{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "9999999999999999999"}: 0,
	} {
		h := make(http.Header)
		h.Set(headers[0], headers[1])
		h.Set(headers[2], headers[3])
		a := &api{now: func() time.Time { return now }}
		if got := a.retryAfter(h); got != want {
			t.Errorf("%v: %v, not %v", headers, got, want)
		}
	}
}

// What each kind of destination takes of values that are hard to keep. What it does not
// take is refused before anything is asked.
func TestWhatEachTakes(t *testing.T) {
	values := map[string]string{
		"nothing": "", "CRLF": "canary-one\r\ncanary-two", "a NUL": "canary\x00value", "no UTF-8": "canary-value\xff", "lines": "canary-one\ncanary-two",
		"64 KiB and more": strings.Repeat("c", 64<<10+1), "1 MiB and more": strings.Repeat("c", 1<<20+1),
	}
	takes := map[string][]string{
		"github":     {"CRLF", "lines"},
		"gitlab":     nil, // it could mask none of them
		"gitea":      {"CRLF", "lines"},
		"vault":      {"CRLF", "lines", "a NUL", "64 KiB and more"},
		"kubernetes": {"CRLF", "lines", "a NUL", "no UTF-8", "64 KiB and more"},
		awsScheme:    {"CRLF", "lines", "a NUL"},
		"dotenv":     {"nothing", "no UTF-8", "lines", "64 KiB and more"},
		"exec":       slices.Collect(maps.Keys(values)),
	}
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("something was asked") }))
	defer server.Close()
	m := faulty(t, server)
	m.Commands = map[string][]string{"put": {"cat"}}
	names := maps.Clone(faultyNames)
	names["dotenv"], names["exec"] = "dotenv:"+m.DotenvRoots[0]+"/.env#KEY", "exec:put"
	for platform, name := range names {
		d, err := Parse(name, m)
		if err != nil {
			t.Fatal(err)
		}
		for what, value := range values {
			err := d.Check(secret.New(value))
			if slices.Contains(takes[platform], what) != (err == nil) || err != nil && (!errors.Is(err, ErrValue) || strings.Contains(err.Error(), "canary")) {
				t.Errorf("%s, %s: %v", platform, what, err)
			}
		}
	}
}
