package destination

import (
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/httpclient"
	"github.com/fobcli/fob/internal/secret"
)

// ready delivers with a machine that writes nothing.
func ready(t *testing.T, m Machine, name string) error {
	t.Helper()
	m.ReadOnly = true
	d, err := Parse(name, m)
	if err != nil {
		t.Fatal(err)
	}
	return DeliverAll(t.Context(), []Destination{d}, secret.New("canary-of-the-value"))[0]
}

// reads answers the reads of each platform, and fails the test if anything would be changed.
func reads(t *testing.T) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		isRead := r.Method == http.MethodGet || r.URL.Query().Get("dryRun") == "All" || r.Header.Get("X-Amz-Target") == "secretsmanager.GetSecretValue"
		if !isRead || r.Header.Get("Authorization") == "" {
			t.Errorf("%s %s %s", r.Method, r.URL, r.Header.Get("X-Amz-Target"))
		}
		answer := `[]`
		switch path := r.URL.Path; {
		case strings.HasSuffix(path, "/public-key"):
			answer = `{"key_id":"1","key":"` + base64.StdEncoding.EncodeToString(make([]byte, 32)) + `"}`
		case strings.Contains(path, "/ui/mounts/"):
			answer = `{"data":{"path":"kv/","options":{"version":"2"}}}`
		case strings.HasPrefix(path, "/v1/"):
			answer = `{"data":{"data":{"OTHER":"x"},"metadata":{"version":1}}}`
		case r.Method == http.MethodPatch:
			answer = `{"metadata":{"name":"app"}}`
		case r.Method == http.MethodPost:
			answer = `{"VersionId":"1","SecretString":"{}"}`
		}
		_, _ = io.WriteString(w, answer)
	}
}

// What would stop a delivery is found without changing anything.
func TestReadOnly(t *testing.T) {
	good := httptest.NewServer(reads(t))
	defer good.Close()
	forbidding := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	defer forbidding.Close()
	down := httptest.NewServer(nil)
	down.Close()
	for platform, name := range faultyNames {
		t.Run(platform, func(t *testing.T) {
			if err := ready(t, faulty(t, good), name); err != nil {
				t.Errorf("ready: %v", err)
			}
			var answer *AnswerError
			if err := ready(t, faulty(t, forbidding), name); !errors.As(err, &answer) && !strings.Contains(err.Error(), "403") {
				t.Errorf("without permission: %v", err)
			}
			if err := ready(t, faulty(t, down), name); !errors.Is(err, httpclient.ErrUnavailable) {
				t.Errorf("unreachable: %v", err)
			}
			m := faulty(t, good)
			known := m.Getenv
			m.Getenv = func(name string) string {
				if strings.HasPrefix(known(name), "canary-") || strings.HasPrefix(known(name), "AKID") {
					return ""
				}
				return known(name)
			}
			if platform == "kubernetes" {
				text := strings.ReplaceAll(strings.ReplaceAll(kubeText, "SERVER, certificate-authority-data: CA", `"`+good.URL+`"`), "token:", "ignored:")
				if err := os.WriteFile(m.Getenv("KUBECONFIG"), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := ready(t, m, name); !errors.Is(err, ErrNoCredential) {
				t.Errorf("without a credential: %v", err)
			}
		})
	}
}

func TestReadOnly_Dotenv(t *testing.T) {
	m := machine(t)
	dir := m.DotenvRoots[0]
	write := func(text string) {
		if err := os.WriteFile(filepath.Join(dir, ".env"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for text, want := range map[string]bool{"": true, "A=1\n": true, "A='x": false, strings.Repeat("A=1\n", maxDotenv/4): false} {
		write(text)
		if err := ready(t, m, "dotenv:"+dir+"/.env#KEY"); (err == nil) != want {
			t.Errorf("%.20q: %v", text, err)
		}
		if got, _ := os.ReadFile(filepath.Join(dir, ".env")); string(got) != text {
			t.Errorf("%.20q was changed", text)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
	if runtime.GOOS == "linux" { // where root cannot write either
		m.AnyFolder = true
		if err := ready(t, m, "dotenv:/proc/.env#KEY"); err == nil {
			t.Error("a folder that cannot be written to")
		}
	}
}

func TestReadOnly_Command(t *testing.T) {
	m := machine(t)
	m.Commands = map[string][]string{"good": {os.Args[0], "-test.no-such-flag"}, "absent": {"fob-no-such-program"}}
	if err := ready(t, m, "exec:good"); err != nil {
		t.Error(err)
	}
	if err := ready(t, m, "exec:absent"); err == nil {
		t.Error("a program that is not there")
	}
}
