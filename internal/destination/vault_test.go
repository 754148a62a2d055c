package destination

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/atomicfile"
)

// vaultDouble answers as Vault 1.20 does about one secret, team/kv/app/prod; the engine
// itself is asked in testdata/e2e.
type vaultDouble struct {
	version int
	data    string // JSON; empty: deleted
	mounts  string // what it says of mounts; empty: nothing
	ahead   int    // writers that get ahead of the next writes
	asked   []string
}

func (d *vaultDouble) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	d.asked = append(d.asked, r.Method+" "+r.URL.EscapedPath())
	refuse := func(status int, text string) {
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"errors":[%s]}`, text)
	}
	switch {
	case r.Header.Get("Authorization") != "Bearer canary-token" || r.Header.Get("X-Vault-Namespace") != "ns" || r.Header.Get("X-Vault-Request") != "true":
		refuse(403, `"permission denied"`)
	case strings.HasPrefix(r.URL.Path, "/v1/sys/internal/ui/mounts/"):
		if d.mounts == "" {
			refuse(404, "")
			return
		}
		_, _ = io.WriteString(w, d.mounts)
	case r.URL.Path != "/v1/team/kv/data/app/prod":
		refuse(404, `"no handler for route \"`+r.URL.Path+`\". route entry not found."`)
	case r.Method == http.MethodGet && d.version == 0:
		refuse(404, "")
	case r.Method == http.MethodGet:
		data := d.data
		if data == "" {
			w.WriteHeader(404)
			data = "null"
		}
		fmt.Fprintf(w, `{"data":{"data":%s,"metadata":{"deletion_time":"","destroyed":false,"version":%d}}}`, data, d.version)
	default:
		var in struct {
			Data    json.RawMessage
			Options struct{ CAS int }
		}
		_ = json.Unmarshal(body, &in)
		if d.ahead > 0 {
			d.ahead--
			d.version++
			d.data = fmt.Sprintf(`{"OTHER":%d}`, d.version)
		}
		if in.Options.CAS != d.version {
			refuse(400, `"check-and-set parameter did not match the current version"`)
			return
		}
		d.version++
		d.data = string(in.Data)
		fmt.Fprintf(w, `{"data":{"version":%d}}`, d.version)
	}
}

const vaultMount = `{"data":{"path":"team/kv/","type":"kv","options":{"version":"2"}}}`

func vaultMachine(t *testing.T, d http.Handler) Machine {
	return platform(t, "vault", map[string]string{"VAULT_TOKEN": "canary-token", "VAULT_NAMESPACE": "ns"}, d.ServeHTTP)
}

func TestVault(t *testing.T) {
	for name, c := range map[string]struct {
		double vaultDouble
		want   string // the data after it
	}{
		"none before":              {vaultDouble{}, `{"KEY":"v"}`},
		"beside others":            {vaultDouble{version: 3, data: `{"n":9007199254740993,"KEY":"old","z":{"a":[1.0]}}`}, `{"KEY":"v","n":9007199254740993,"z":{"a":[1.0]}}`},
		"a deleted version":        {vaultDouble{version: 2}, `{"KEY":"v"}`},
		"others write, too":        {vaultDouble{version: 1, data: `{}`, ahead: 4}, `{"KEY":"v","OTHER":5}`},
		"it is there already":      {vaultDouble{version: 1, data: `{"KEY":"v"}`}, `{"KEY":"v"}`},
		"a field of another type":  {vaultDouble{version: 1, data: `{"KEY":{"v":"v"}}`}, `{"KEY":"v"}`},
		"a secret without a field": {vaultDouble{version: 1, data: `null`}, `{"KEY":"v"}`},
	} {
		t.Run(name, func(t *testing.T) {
			d := c.double
			d.mounts = vaultMount
			if err := deliver(t, vaultMachine(t, &d), "vault:team/kv/app/prod#KEY", "v"); err != nil || d.data != c.want {
				t.Errorf("%v, %s", err, d.data)
			}
		})
	}
}

func TestVaultGivesUpInTheEnd(t *testing.T) {
	d := &vaultDouble{mounts: vaultMount, ahead: 1000}
	err := deliver(t, vaultMachine(t, d), "vault:team/kv/app/prod#KEY", "v")
	if err == nil || !strings.Contains(err.Error(), "check-and-set") || len(d.asked) != 1+2*maxVaultTries {
		t.Error(err, len(d.asked))
	}
}

func TestVaultMounts(t *testing.T) {
	for mounts, want := range map[string]string{
		"":         `answered 404 Not Found: ["no handler for route \"/v1/team/data/kv/app/prod\". route entry not found."]`,
		vaultMount: "",
		`{"data":{"path":"team/kv/","type":"kv","options":{"version":"1"}}}`:          "team/kv/ is not the KV engine, version 2",
		`{"data":{"path":"team/kv/","type":"kv","options":null}}`:                     "team/kv/ is not the KV engine, version 2",
		`{"data":{"path":"team/k/","type":"kv","options":{"version":"2"}}}`:           `malformed: it calls the mount of team/kv/app/prod "team/k"`,
		`{"data":{"path":"../sys/","type":"kv","options":{"version":"2"}}}`:           `malformed: it calls the mount of team/kv/app/prod "../sys"`,
		`{"data":{"path":"/","type":"kv","options":{"version":"2"}}}`:                 `malformed: it calls the mount of team/kv/app/prod ""`,
		`{"data":{"path":"team/kv/app/prod/","type":"kv","options":{"version":"2"}}}`: `malformed: it calls the mount of team/kv/app/prod "team/kv/app/prod"`,
		`[`: "did not answer with JSON",
	} {
		d := &vaultDouble{mounts: mounts}
		err := deliver(t, vaultMachine(t, d), "vault:team/kv/app/prod#KEY", "v")
		if (err == nil) != (want == "") || err != nil && !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: %v", mounts, err)
		}
		for _, asked := range d.asked {
			if want != "" && strings.HasPrefix(asked, http.MethodPost) {
				t.Errorf("%s: it was written by %s", mounts, asked)
			}
		}
	}
}

func TestVaultNames(t *testing.T) {
	d := &vaultDouble{}
	m := vaultMachine(t, d)
	for _, name := range []string{
		"vault:kv#A", "vault:kv/#A", "vault:/kv/a#A", "vault:kv//a#A", "vault:kv/../sys#A", "vault:./a#A", "vault:kv/a/..#A",
		"vault:kv/a", "vault:kv/a#", "vault:#A", "vault:kv/a\n#A", "vault:kv/a\x1b#A", "vault:kv/\u202ea#A",
	} {
		if _, err := Parse(name, m); err == nil {
			t.Errorf("%q was taken", name)
		}
	}
	_ = deliver(t, m, "vault:kv/a b?x=%2e%2e/c#A", "v")
	if asked := strings.Join(d.asked, " "); asked != "GET /v1/sys/internal/ui/mounts/kv/a%20b%3Fx=%252e%252e/c GET /v1/kv/data/a%20b%3Fx=%252e%252e/c" {
		t.Error(asked)
	}
	m.URLs = nil
	var wrong *NameError
	if _, err := Parse("vault:kv/a#A", m); !errors.As(err, &wrong) || !strings.HasPrefix(wrong.Hint, "set VAULT_ADDR") {
		t.Error(err)
	}
}

// The login of Vault's own program is used where nothing else is said, if it is private.
func TestVaultToken(t *testing.T) {
	d := &vaultDouble{mounts: vaultMount}
	environ := map[string]string{"BAO_NAMESPACE": "ns"}
	m := platform(t, "vault", environ, d.ServeHTTP)
	if err := deliver(t, m, "vault:team/kv/app/prod#KEY", "v"); !errors.Is(err, ErrNoCredential) {
		t.Error(err)
	}
	environ["HOME"] = t.TempDir()
	if err := deliver(t, m, "vault:team/kv/app/prod#KEY", "v"); !errors.Is(err, ErrNoCredential) {
		t.Error(err)
	}
	path := filepath.Join(environ["HOME"], ".vault-token")
	if err := os.WriteFile(path, []byte("canary-token\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := deliver(t, m, "vault:team/kv/app/prod#KEY", "v"); !errors.Is(err, atomicfile.ErrUnsafe) && os.PathSeparator == '/' {
		t.Error(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := deliver(t, m, "vault:team/kv/app/prod#KEY", "v"); err != nil {
		t.Error(err)
	}
	environ["VAULT_TOKEN"] = "another"
	if err := deliver(t, m, "vault:team/kv/app/prod#KEY", "v"); !isAnswer(err, http.StatusForbidden) {
		t.Error(err)
	}
}

// OpenBao's own variables do what Vault's do, which go before them.
func TestOpenBao(t *testing.T) {
	server := httptest.NewTLSServer(&vaultDouble{mounts: vaultMount})
	t.Cleanup(server.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	environ := map[string]string{"BAO_ADDR": server.URL, "BAO_TOKEN": "canary-token", "BAO_NAMESPACE": "ns", "BAO_CACERT": ca}
	m := platform(t, "gitea", environ, nil)
	if err := deliver(t, m, "vault:team/kv/app/prod#KEY", "v"); err != nil {
		t.Error(err)
	}
	environ["VAULT_TOKEN"] = "another"
	if err := deliver(t, m, "vault:team/kv/app/prod#KEY", "v"); !isAnswer(err, http.StatusForbidden) {
		t.Error(err)
	}
}

func TestVaultWithItsOwnCA(t *testing.T) {
	server := httptest.NewTLSServer(&vaultDouble{mounts: vaultMount})
	t.Cleanup(server.Close)
	environ := map[string]string{"VAULT_TOKEN": "canary-token", "VAULT_NAMESPACE": "ns", "VAULT_ADDR": server.URL}
	m := platform(t, "gitea", environ, nil)
	if err := deliver(t, m, "vault:team/kv/app/prod#KEY", "v"); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Error(err)
	}
	environ["VAULT_CACERT"] = filepath.Join(t.TempDir(), "ca.pem")
	var setup *SetupError
	if err := deliver(t, m, "vault:team/kv/app/prod#KEY", "v"); !errors.As(err, &setup) {
		t.Error(err)
	}
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(environ["VAULT_CACERT"], ca, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := deliver(t, m, "vault:team/kv/app/prod#KEY", "v"); err != nil {
		t.Error(err)
	}
}
