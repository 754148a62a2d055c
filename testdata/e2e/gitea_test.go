//go:build soak

package e2e

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
)

// gitea is a real one, with a database in a file.
type gitea struct {
	t               *testing.T
	url, dir, token string // the latter is its administrator's
}

const giteaKey = "key-of-the-test's-gitea"

func newGitea(t *testing.T) *gitea {
	program, source := module{path: "code.gitea.io/gitea", version: "v1.26.0", program: "code.gitea.io/gitea", tags: "sqlite sqlite_unlock_notify"}.built(t)
	g := &gitea{t: t, dir: t.TempDir()}
	port := freePort(t)
	g.url = fmt.Sprintf("http://127.0.0.1:%d", port)
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(g.dir, "app.ini")
	text := fmt.Sprintf(`RUN_USER = %s
WORK_PATH = %s
I_AM_BEING_UNSAFE_RUNNING_AS_ROOT = true
[server]
HTTP_ADDR = 127.0.0.1
HTTP_PORT = %d
ROOT_URL = %s/
STATIC_ROOT_PATH = %s
DISABLE_SSH = true
OFFLINE_MODE = true
[database]
DB_TYPE = sqlite3
PATH = %s
[security]
INSTALL_LOCK = true
SECRET_KEY = %s
[log]
LEVEL = Warn
`, me.Username, g.dir, port, g.url, source, g.database(), giteaKey)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	m := newMachine(t)
	run := func(args ...string) string {
		out, err := m.command(append([]string{program, "--config", config}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("gitea %v: %v\n%s", args, err, lastLines(string(out), 20))
		}
		return string(out)
	}
	run("migrate")
	out := run("admin", "user", "create", "--admin", "--username", "alice", "--password", "canary-Pass-1", "--email", "a@example.test",
		"--must-change-password=false", "--access-token", "--access-token-scopes", "all")
	for _, word := range strings.Fields(out) {
		if len(word) == 40 {
			g.token = word
		}
	}
	log, err := os.Create(filepath.Join(g.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	cmd := exec.Command(program, "--config", config, "web")
	cmd.Stdout, cmd.Stderr = log, log
	m.startDaemon(cmd)
	eventually(t, func() error {
		if status, _ := g.ask(http.MethodGet, "/version", nil); status != http.StatusOK {
			return fmt.Errorf("gitea answers %d:\n%s", status, lastLines(readText(t, log.Name()), 20))
		}
		return nil
	})
	return g
}

func (g *gitea) database() string { return filepath.Join(g.dir, "gitea.db") }

// ask speaks to the API as its administrator.
func (g *gitea) ask(method, path string, in any) (status int, answer json.RawMessage) {
	body, err := json.Marshal(in)
	if err != nil {
		g.t.Fatal(err)
	}
	req, err := http.NewRequest(method, g.url+"/api/v1"+path, bytes.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Authorization", "token "+g.token)
	req.Header.Set("Content-Type", "application/json")
	if strings.HasSuffix(path, "/tokens") {
		req.SetBasicAuth("alice", "canary-Pass-1")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil
	}
	defer resp.Body.Close()
	_ = json.NewDecoder(resp.Body).Decode(&answer)
	return resp.StatusCode, answer
}

func (g *gitea) must(method, path string, in any) json.RawMessage {
	g.t.Helper()
	status, answer := g.ask(method, path, in)
	if status > 299 {
		g.t.Fatalf("%s %s: %d %s", method, path, status, answer)
	}
	return answer
}

// limited makes a token that may do only some things.
func (g *gitea) limited(scopes ...string) string {
	var token struct{ SHA1 string }
	answer := g.must(http.MethodPost, "/users/alice/tokens", map[string]any{"name": strings.Join(scopes, " "), "scopes": scopes})
	if err := json.Unmarshal(answer, &token); err != nil {
		g.t.Fatal(err)
	}
	return token.SHA1
}

// held reads a secret from the database and opens it as Gitea does for a runner: its
// API shows no value.
func (g *gitea) held(name string) string {
	g.t.Helper()
	db, err := sql.Open("sqlite", "file:"+g.database()+"?mode=ro")
	if err != nil {
		g.t.Fatal(err)
	}
	defer db.Close()
	var sealed string
	if err := db.QueryRowContext(g.t.Context(), "SELECT data FROM secret WHERE name = ?", name).Scan(&sealed); err != nil {
		return err.Error()
	}
	text, err := hex.DecodeString(sealed)
	key := sha256.Sum256([]byte(giteaKey))
	block, blockErr := aes.NewCipher(key[:])
	if err != nil || blockErr != nil || len(text) < aes.BlockSize {
		g.t.Fatal(err, blockErr)
	}
	//nolint:staticcheck // it is what Gitea uses
	cipher.NewCFBDecrypter(block, text[:aes.BlockSize]).XORKeyStream(text[aes.BlockSize:], text[aes.BlockSize:])
	value, err := base64.StdEncoding.DecodeString(string(text[aes.BlockSize:]))
	if err != nil {
		g.t.Fatal(err)
	}
	return string(value)
}

func (g *gitea) machine(token, value string) *machine {
	m := newMachine(g.t, "GITEA_URL="+g.url, "GITEA_TOKEN="+token, "FOB_SECRET_STRIPE_PROD="+value)
	m.program = []string{shipped}
	return m
}

// What a real Gitea does with what fob puts.
func TestRealGitea(t *testing.T) {
	g := newGitea(t)
	g.must(http.MethodPost, "/orgs", map[string]any{"username": "acme"})
	g.must(http.MethodPost, "/orgs/acme/repos", map[string]any{"name": "web.site"})
	writer := g.limited("write:repository", "write:organization")
	const odd = "sk_canary \"<&>\"\\ ü\n\tand more\r\nto the end \n"
	for _, step := range []struct{ to, value, name, list string }{
		{"acme/web.site#API_KEY", "sk_canary_1", "API_KEY", "/repos/acme/web.site/actions/secrets"},
		{"acme/web.site#api_key", "sk_canary_2", "API_KEY", "/repos/acme/web.site/actions/secrets"},
		{"org:acme#ORG_KEY", "sk_canary_3", "ORG_KEY", "/orgs/acme/actions/secrets"},
		{"acme/web.site#_odd", odd, "_ODD", "/repos/acme/web.site/actions/secrets"},
		{"acme/web.site#LONG", strings.Repeat("x", 65536), "LONG", "/repos/acme/web.site/actions/secrets"},
	} {
		if r := pushTo(g.machine(writer, step.value), "gitea:"+step.to); r.status != 0 || g.held(step.name) != step.value {
			t.Errorf("%s: %d %.300s\n%.100q", step.to, r.status, r.stderr, g.held(step.name))
		}
		if list := string(g.must(http.MethodGet, step.list, nil)); strings.Count(list, `"name":"`+step.name+`"`) != 1 {
			t.Errorf("%s: listed as %s", step.to, list)
		}
	}
	g.must(http.MethodPut, "/repos/acme/web.site/actions/secrets/TOLD", map[string]any{"data": "old", "description": "who made it"})
	if r := pushTo(g.machine(writer, "sk_canary"), "gitea:acme/web.site#TOLD"); r.status != 0 || g.held("TOLD") != "sk_canary" {
		t.Errorf("%d %s", r.status, r.stderr)
	}
	if list := string(g.must(http.MethodGet, "/repos/acme/web.site/actions/secrets", nil)); !strings.Contains(list, "who made it") {
		t.Errorf("the description is lost: %s", list)
	}
	for name, c := range map[string]struct{ token, to, want string }{
		"a wrong token":          {"canary", "acme/web.site#A", "answered 401 Unauthorized"},
		"one who may only read":  {g.limited("read:repository"), "acme/web.site#A", "answered 403 Forbidden"},
		"one for other things":   {g.limited("write:issue"), "acme/web.site#A", "answered 403 Forbidden"},
		"an unknown repository":  {writer, "acme/none#A", "answered 404 Not Found"},
		"an unknown owner":       {writer, "nobody/web#A", "answered 404 Not Found"},
		"an unknown org":         {writer, "org:none#A", "answered 404 Not Found"},
		"a name that is Gitea's": {writer, "acme/web.site#GitHub_X", "is not a destination"},
		"a name that is set":     {writer, "acme/web.site#ci", "is not a destination"},
	} {
		r := pushTo(g.machine(c.token, "sk_canary"), "gitea:"+c.to)
		if r.status == 0 || !strings.Contains(r.stderr, c.want) || !strings.Contains(r.stderr, "hint: ") || strings.Contains(r.stderr, "canary") {
			t.Errorf("%s: %d\n%s", name, r.status, r.stderr)
		}
	}
	addToReport("## Gitea\n\nv1.26.0 kept each value to the byte, under the name and with the description that it has.\n")
}
