package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	kv "github.com/hashicorp/vault-plugin-secrets-kv"
	"github.com/hashicorp/vault/sdk/logical"
)

// vaultEngine is HashiCorp's own KV engine, version 2, in this process, at the mount
// team/kv. What is ours stands between it and HTTP: who may ask, and where it is mounted.
type vaultEngine struct {
	*httptest.Server
	t       *testing.T
	engine  logical.Backend
	storage logical.Storage
	late    atomic.Int32 // writes that the engine refused for their check-and-set
}

const vaultToken = "hvs.canary-of-vault"

func newVaultEngine(t *testing.T) *vaultEngine {
	v := &vaultEngine{t: t, storage: &logical.InmemStorage{}}
	var err error
	v.engine, err = kv.VersionedKVFactory(t.Context(), &logical.BackendConfig{System: &logical.StaticSystemView{}, StorageView: v.storage, BackendUUID: "test"})
	if err != nil {
		t.Fatal(err)
	}
	v.Server = httptest.NewServer(v)
	t.Cleanup(v.Close)
	return v
}

func (v *vaultEngine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	path, isKV := strings.CutPrefix(r.URL.Path, "/v1/team/kv/")
	switch {
	case r.Header.Get("Authorization") != "Bearer "+vaultToken:
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintln(w, `{"errors":["permission denied"]}`)
	case strings.HasPrefix(r.URL.Path, "/v1/sys/internal/ui/mounts/team/kv/"):
		fmt.Fprintln(w, `{"data":{"path":"team/kv/","type":"kv","options":{"version":"2"}}}`)
	case !isKV:
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintln(w, `{"errors":["preflight capability check returned 403, please ensure client's policies grant access to path \"x\""]}`)
	default:
		operation := logical.Operation(logical.ReadOperation)
		var data map[string]any
		if r.Method != http.MethodGet {
			operation = logical.UpdateOperation
			decoder := json.NewDecoder(r.Body)
			decoder.UseNumber()
			_ = decoder.Decode(&data)
		}
		status, body := v.ask(operation, path, data)
		if status == http.StatusBadRequest && strings.Contains(string(body), "did not match the current version") {
			v.late.Add(1)
		}
		w.WriteHeader(status)
		_, _ = w.Write(body)
	}
}

// ask lets the engine answer, as Vault's HTTP layer would pass it on.
func (v *vaultEngine) ask(operation logical.Operation, path string, data map[string]any) (status int, body []byte) {
	req := &logical.Request{Operation: operation, Path: path, Data: data, Storage: v.storage}
	resp, err := v.engine.HandleRequest(v.t.Context(), req)
	if status, err = logical.RespondErrorCommon(req, resp, err); status != 0 {
		failures := []string{}
		if err != nil {
			failures = append(failures, err.Error())
		}
		body, _ = json.Marshal(map[string]any{"errors": failures})
		return status, body
	}
	if resp == nil {
		return http.StatusNoContent, nil
	}
	if status, isRaw := resp.Data[logical.HTTPStatusCode].(int); isRaw {
		switch raw := resp.Data[logical.HTTPRawBody].(type) {
		case string:
			return status, []byte(raw)
		case []byte:
			return status, raw
		}
		return status, nil
	}
	if body, err = json.Marshal(logical.LogicalResponseToHTTPResponse(resp)); err != nil {
		v.t.Error(err)
	}
	return http.StatusOK, body
}

// held is the latest version, as JSON, and its number.
func (v *vaultEngine) held(path string) (fields string, version int) {
	v.t.Helper()
	_, body := v.ask(logical.ReadOperation, "data/"+path, nil)
	var answer struct {
		Data struct {
			Data     json.RawMessage
			Metadata struct{ Version int }
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		v.t.Fatal(err)
	}
	return string(answer.Data.Data), answer.Data.Metadata.Version
}

func newVaultMachine(t *testing.T, v *vaultEngine, env ...string) *machine {
	m := newMachine(t, append([]string{"VAULT_ADDR=" + v.URL, "VAULT_TOKEN=" + vaultToken, "FOB_SECRET_STRIPE_PROD=sk_canary"}, env...)...)
	m.program = []string{shipped}
	return m
}

func TestVaultsOwnEngine(t *testing.T) {
	t.Parallel()
	v := newVaultEngine(t)
	m := newVaultMachine(t, v)
	push := func(name string) result { return m.fob("", "secret", "push", "stripe/prod", "--to", "vault:"+name) }
	want := func(what, path, fields string, version int) {
		t.Helper()
		if got, is := v.held(path); got != fields || is != version {
			t.Errorf("%s: version %d, %s", what, is, got)
		}
	}
	ok := func(name string) {
		t.Helper()
		if r := push(name); r.status != 0 {
			t.Errorf("%s: %d\n%s", name, r.status, r.stderr)
		}
	}
	ok("team/kv/app/prod#KEY")
	want("a new secret", "app/prod", `{"KEY":"sk_canary"}`, 1)
	ok("team/kv/app/prod#KEY")
	want("the same again", "app/prod", `{"KEY":"sk_canary"}`, 1)
	ok("team/kv/app/prod#other.key / x")
	want("a second field", "app/prod", `{"KEY":"sk_canary","other.key / x":"sk_canary"}`, 2)

	v.ask(logical.UpdateOperation, "data/app/mixed", map[string]any{"data": map[string]any{"n": json.Number("42"), "in": map[string]any{"a": true}}})
	ok("team/kv/app/mixed#KEY")
	want("what others wrote", "app/mixed", `{"KEY":"sk_canary","in":{"a":true},"n":42}`, 2)

	v.ask(logical.DeleteOperation, "data/app/mixed", nil)
	ok("team/kv/app/mixed#KEY")
	want("after a deleted version", "app/mixed", `{"KEY":"sk_canary"}`, 3)
	v.ask(logical.UpdateOperation, "destroy/app/mixed", map[string]any{"versions": []int{3}})
	ok("team/kv/app/mixed#KEY")
	want("after a destroyed version", "app/mixed", `{"KEY":"sk_canary"}`, 4)
	v.ask(logical.DeleteOperation, "metadata/app/mixed", nil)
	ok("team/kv/app/mixed#KEY")
	want("after its metadata is deleted, too", "app/mixed", `{"KEY":"sk_canary"}`, 1)
	v.ask(logical.UpdateOperation, "config", map[string]any{"cas_required": true})
	ok("team/kv/app/required#KEY")
	ok("team/kv/app/required#B")
	want("where check-and-set is required", "app/required", `{"B":"sk_canary","KEY":"sk_canary"}`, 2)

	for _, name := range []string{"team/kv/a b/ü?x=1#KEY", "team/kv/data/app#KEY", "team/kv/app/50%25#KEY"} {
		ok(name)
		path, _, _ := strings.Cut(strings.TrimPrefix(name, "team/kv/"), "#")
		want(name, path, `{"KEY":"sk_canary"}`, 1)
	}
}

func TestVaultRefuses(t *testing.T) {
	t.Parallel()
	v := newVaultEngine(t)
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>canary") }))
	t.Cleanup(page.Close)
	full := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusRequestEntityTooLarge) }))
	t.Cleanup(full.Close)
	for name, c := range map[string]struct {
		env, to, want, hint string
	}{
		"a wrong token":    {"VAULT_TOKEN=hvs.canary-wrong", "team/kv/app#KEY", `answered 403 Forbidden: ["permission denied"]`, "ask for the permission or the scope that the credential lacks"},
		"another mount":    {"A=b", "secret/app#KEY", "answered 403 Forbidden", "ask for the permission or the scope that the credential lacks"},
		"no mount's path":  {"A=b", "team#KEY", "is not a destination", "write vault:MOUNT/PATH#FIELD"},
		"no token":         {"VAULT_TOKEN=", "team/kv/app#KEY", "there is no credential", "set the variable"},
		"in the clear":     {"VAULT_ADDR=http://vault.example", "team/kv/app#KEY", "is not an https address", "use its https address"},
		"a login between":  {"VAULT_ADDR=" + page.URL, "team/kv/app#KEY", "a page for people", "check the platform's address"},
		"too large for it": {"VAULT_ADDR=" + full.URL, "team/kv/app#KEY", "answered 413", "fix what the platform reports"},
		"no address":       {"VAULT_ADDR=", "team/kv/app#KEY", "no address of Vault is configured", "set VAULT_ADDR"},
	} {
		m := newVaultMachine(t, v, c.env)
		r := m.fob("", "secret", "push", "stripe/prod", "--to", "vault:"+c.to)
		if r.status == 0 || !strings.Contains(r.stderr, c.want) || !strings.Contains(r.stderr, "hint: "+c.hint) || strings.Contains(r.stderr, "canary") {
			t.Errorf("%s: %d\n%s", name, r.status, r.stderr)
		}
	}
}

// Writers of other fields of the same secret lose nothing of each other's.
func TestVaultTakesConcurrentWriters(t *testing.T) {
	t.Parallel()
	v := newVaultEngine(t)
	m := newVaultMachine(t, v)
	const writers = 10
	var running sync.WaitGroup
	for i := range writers {
		running.Go(func() {
			if r := m.fob("", "secret", "push", "stripe/prod", "--to", fmt.Sprintf("vault:team/kv/app#A%d", i), "--to", fmt.Sprintf("vault:team/kv/app#B%d", i)); r.status != 0 {
				t.Errorf("%d\n%s", r.status, r.stderr)
			}
		})
	}
	running.Wait()
	if fields, version := v.held("app"); strings.Count(fields, "sk_canary") != 2*writers || version != 2*writers {
		t.Errorf("version %d: %s", version, fields)
	}
	if v.late.Load() == 0 {
		t.Error("no write came too late: this proves nothing")
	}
	t.Logf("%d writes came too late", v.late.Load())
}
