package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// daemon is a server that was started, and what it says.
type daemon struct {
	t   *testing.T
	cmd *exec.Cmd
	log string
}

// start starts a server of this machine; it is stopped with the test.
func startDaemon(t *testing.T, env []string, argv ...string) *daemon {
	t.Helper()
	r := &daemon{t: t, cmd: exec.Command(argv[0], argv[1:]...), log: filepath.Join(t.TempDir(), "log")}
	log, err := os.Create(r.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	r.cmd.Env, r.cmd.Stdout, r.cmd.Stderr = env, log, log
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.stop(syscall.SIGTERM) })
	return r
}

// stop ends it and waits; one that does not obey is killed.
func (r *daemon) stop(signal os.Signal) {
	if r.cmd.ProcessState != nil {
		return
	}
	_ = r.cmd.Process.Signal(signal)
	kill := time.AfterFunc(10*time.Second, func() { _ = r.cmd.Process.Kill() })
	defer kill.Stop()
	_ = r.cmd.Wait()
}

func (r *daemon) said() string {
	text, _ := os.ReadFile(r.log)
	return string(text)
}

// answering waits until a URL gives a status.
func (r *daemon) answering(url string, status int) {
	r.t.Helper()
	eventually(r.t, func() error {
		if got, err := statusOf(url); got != status {
			return fmt.Errorf("%s answers %d, not %d (%w)\n%s", url, got, status, err, r.said())
		}
		return nil
	})
}

func statusOf(url string) (int, error) {
	resp, err := http.Get(url)
	if err != nil {
		return 0, err
	}
	resp.Body.Close()
	return resp.StatusCode, nil
}

// startServe starts fob serve on a port.
func (k *keyMachine) startServe(t *testing.T, port int, flags ...string) *daemon {
	t.Helper()
	address := fmt.Sprintf("127.0.0.1:%d", port)
	r := startDaemon(t, k.env, append([]string{k.program[0], "serve", "--listen", address}, flags...)...)
	r.answering("http://"+address+"/readyz", http.StatusOK)
	return r
}

// upstream is a service that is called through a proxy, and remembers the last call.
type upstream struct {
	*httptest.Server
	mu     sync.Mutex
	calls  int
	header http.Header
	body   string
}

func newUpstream(t *testing.T) *upstream {
	t.Helper()
	u := &upstream{}
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		u.mu.Lock()
		defer u.mu.Unlock()
		u.calls++
		u.header, u.body = r.Header.Clone(), string(body)
		fmt.Fprint(w, "from the service")
	}))
	t.Cleanup(u.Close)
	return u
}

func (u *upstream) seen() (int, http.Header, string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.calls, u.header, u.body
}

// reverseProxy is one that asks fob.
type reverseProxy struct {
	name  string
	flags []string // of fob serve
	// run starts it in a folder with the printed configuration.
	run func(t *testing.T, dir, config string) *daemon
}

var reverseProxies = []reverseProxy{
	{"nginx", []string{"--proxy", "nginx"}, runNginx},
	{"caddy", nil, runCaddy},
	{"haproxy", nil, runHAProxy},
}

func writeFile(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// nginxConf is what stands around a server in nginx's configuration.
func nginxConf(dir, config string) string {
	user := ""
	if os.Getuid() == 0 {
		user = "user root;"
	}
	return fmt.Sprintf(`daemon off; %s worker_processes 1; pid %[2]s/pid; error_log %[2]s/error.log;
events {}
http {
access_log off;
client_body_temp_path %[2]s/body; proxy_temp_path %[2]s/proxy; fastcgi_temp_path %[2]s/fastcgi; uwsgi_temp_path %[2]s/uwsgi; scgi_temp_path %[2]s/scgi;
%[3]s}
`, user, dir, config)
}

func runNginx(t *testing.T, dir, config string) *daemon {
	config = strings.Replace(config, "location / {", "location / {\nclient_max_body_size 4m;", 1)
	path := writeFile(t, dir+"/nginx.conf", nginxConf(dir, config))
	return startDaemon(t, os.Environ(), "nginx", "-e", dir+"/error.log", "-p", dir, "-c", path)
}

func runCaddy(t *testing.T, dir, config string) *daemon {
	path := writeFile(t, dir+"/Caddyfile", "{\n\tadmin off\n}\n"+config)
	return startDaemon(t, append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir), "caddy", "run", "--config", path, "--adapter", "caddyfile")
}

func runHAProxy(t *testing.T, dir, config string) *daemon {
	cfg, lua, found := strings.Cut(config, "-- /etc/haproxy/fob.lua")
	if !found {
		t.Fatal("there is no Lua in the configuration")
	}
	writeFile(t, dir+"/fob.lua", "--"+lua)
	path := writeFile(t, dir+"/haproxy.cfg", strings.ReplaceAll(cfg, "/etc/haproxy/fob.lua", dir+"/fob.lua"))
	return startDaemon(t, os.Environ(), "haproxy", "-db", "-f", path)
}

// proxied is a proxy with fob beside it and a service behind it.
type proxied struct {
	*keyMachine
	t    *testing.T
	url  string
	up   *upstream
	fob  *daemon
	port int
	rp   reverseProxy
}

func newProxied(t *testing.T, rp reverseProxy, registry keyRegistry) *proxied {
	t.Helper()
	p := &proxied{keyMachine: newKeyMachine(t, registry), t: t, up: newUpstream(t), port: freePort(t), rp: rp}
	p.newKey("first") // makes the registry
	p.startFob()
	listen := freePort(t)
	p.url = fmt.Sprintf("http://127.0.0.1:%d", listen)
	config := p.ok("serve", "--print-config", rp.name, "--listen", fmt.Sprintf("127.0.0.1:%d", p.port))
	config = strings.NewReplacer("127.0.0.1:8080", fmt.Sprintf("127.0.0.1:%d", listen), "127.0.0.1:9000", strings.TrimPrefix(p.up.URL, "http://")).Replace(config)
	proxy := rp.run(t, t.TempDir(), config)
	proxy.answering(p.url+"/", http.StatusUnauthorized)
	return p
}

func (p *proxied) startFob() {
	p.t.Helper()
	p.fob = p.startServe(p.t, p.port, append([]string{"--trusted-proxy", "127.0.0.1/32"}, p.rp.flags...)...)
}

// live makes a key of the environment that the configurations name.
func (p *proxied) live(flags ...string) string {
	p.t.Helper()
	return strings.TrimSpace(p.ok(append([]string{"key", "create", "--owner", "shop", "--env", "live", "--note", "x"}, flags...)...))
}

// call calls the service; each header is NAME: VALUE.
func (p *proxied) call(method, path, body string, headers ...string) (*http.Response, string) {
	p.t.Helper()
	r, err := http.NewRequest(method, p.url+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		r.Header[name] = append(r.Header[name], value)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Fatalf("%v\n%s", err, p.fob.said())
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp, string(said)
}

// refused fails unless a call is answered with a status and does not reach the service.
func (p *proxied) refused(what string, status int, resp *http.Response, calls int) {
	p.t.Helper()
	now, _, _ := p.up.seen()
	if resp.StatusCode != status || now != calls {
		p.t.Errorf("%s: %d, not %d; the service was called %d times\n%v", what, resp.StatusCode, status, now-calls, resp.Header)
	}
}

func TestServeBehindProxies(t *testing.T) {
	t.Parallel()
	for _, rp := range reverseProxies {
		for _, registry := range keyRegistries {
			t.Run(rp.name+"/"+registry.name, func(t *testing.T) {
				t.Parallel()
				p := newProxied(t, rp, registry)
				p.checkAllowed()
				p.checkRefused()
				p.checkRevoked()
				p.checkWithoutFob()
			})
		}
	}
}

func (p *proxied) checkAllowed() {
	p.t.Helper()
	key := p.live("--scope", "orders:read", "--scope", "a:b", "--meta", "plan=pro", "--rate", "50/d", "--rate", "40/h")
	id := strings.Split(key, "_")[2]
	body := strings.Repeat("3 MB of uploads", 200_000)
	resp, said := p.call("POST", "/orders?x=y", body, "Authorization: Bearer "+key,
		"X-Fob-Owner: eve", "X_Fob_Owner: eve", "x-fob-key-id: eve", "X-Fob_Scopes: *:*", "X-Fob-Metadata: {\"plan\":\"eve\"}")
	_, header, got := p.up.seen()
	if resp.StatusCode != 200 || said != "from the service" || got != body {
		p.t.Fatalf("%d %q, %d bytes arrived\n%s", resp.StatusCode, said, len(got), p.fob.said())
	}
	for name, want := range map[string]string{"X-Fob-Key-Id": id, "X-Fob-Owner": "shop", "X-Fob-Env": "live", "X-Fob-Scopes": "orders:read a:b", "X-Fob-Metadata": `{"plan":"pro"}`} {
		if got := header[name]; len(got) != 1 || got[0] != want {
			p.t.Errorf("%s: %q, not %q", name, got, want)
		}
	}
	if limit := resp.Header.Get("RateLimit"); p.rp.name != "caddy" && limit != `"50/d";r=49;t=1728, "40/h";r=39;t=90` {
		p.t.Errorf("RateLimit: %q", limit)
	}
	for name, values := range header {
		if strings.Contains(strings.Join(values, " "), key) || strings.Contains(strings.Join(values, " "), "eve") {
			p.t.Errorf("the service sees %s: %s", name, values)
		}
	}
	if resp, _ := p.call("GET", "/", "", "Authorization: Basic "+base64.StdEncoding.EncodeToString([]byte(key+":"))); resp.StatusCode != 200 {
		p.t.Errorf("Basic: %d", resp.StatusCode)
	}
	if resp, _ := p.call("GET", "/", "", "X-Api-Key: "+key); resp.StatusCode != 200 {
		p.t.Errorf("X-API-Key: %d", resp.StatusCode)
	}
	if _, header, _ := p.up.seen(); header.Get("X-Api-Key") != "" || header.Get("Authorization") != "" {
		p.t.Error("the service sees the key")
	}
}

func (p *proxied) checkRefused() {
	p.t.Helper()
	calls, _, _ := p.up.seen()
	resp, said := p.call("GET", "/", "")
	p.refused("no key", 401, resp, calls)
	if challenge := resp.Header["Www-Authenticate"]; len(challenge) != 1 || !strings.HasPrefix(challenge[0], "Bearer") {
		p.t.Errorf("no key: %q", challenge)
	}
	resp, _ = p.call("GET", "/", "", "Authorization: Bearer acme_live_1OOivdDZfQCU_bt6gO89NcUzYEW1pIKnvsU7LGdgMmGxA18PCV4")
	p.refused("unknown key", 401, resp, calls)
	resp, said = p.call("GET", "/", "", "Authorization: Bearer "+p.live("--scope", "other:thing"))
	p.refused("scope", 403, resp, calls)
	p.inJSON("scope", "insufficient_scope", resp, said)
	if challenge := resp.Header["Www-Authenticate"]; len(challenge) != 1 || !strings.Contains(challenge[0], `scope="orders:read"`) {
		p.t.Errorf("scope: %q", challenge)
	}
	key := p.live("--scope", "orders:read")
	resp, said = p.call("GET", "/orders?api_key="+key, "", "Authorization: Bearer "+key)
	p.refused("key in the URL", 400, resp, calls)
	p.inJSON("key in the URL", "invalid_request", resp, said)
	limited := p.live("--scope", "orders:read", "--rate", "1/h")
	if resp, _ := p.call("GET", "/", "", "Authorization: Bearer "+limited); resp.StatusCode != 200 {
		p.t.Errorf("the first use of a limited key: %d", resp.StatusCode)
	}
	resp, said = p.call("GET", "/", "", "Authorization: Bearer "+limited)
	p.refused("too often", 429, resp, calls+1)
	p.inJSON("too often", "rate_limited", resp, said)
	if resp.Header.Get("Retry-After") == "" || !strings.HasPrefix(resp.Header.Get("RateLimit"), `"1/h";r=0;t=`) || resp.Header.Get("RateLimit-Policy") != `"1/h";q=1;w=3600` {
		p.t.Errorf("too often: %v", resp.Header)
	}
}

// inJSON fails unless a refusal is a JSON object with an error.
func (p *proxied) inJSON(what, want string, resp *http.Response, body string) {
	p.t.Helper()
	var refusal struct{ Error string }
	if err := json.Unmarshal([]byte(body), &refusal); err != nil || refusal.Error != want || resp.Header.Get("Content-Type") != "application/json" {
		p.t.Errorf("%s: %s %q (%v)", what, resp.Header.Get("Content-Type"), body, err)
	}
}

func (p *proxied) checkRevoked() {
	p.t.Helper()
	key := p.live("--scope", "orders:read")
	if resp, _ := p.call("GET", "/", "", "Authorization: Bearer "+key); resp.StatusCode != 200 {
		p.t.Fatal(resp.StatusCode)
	}
	p.ok("key", "revoke", strings.Split(key, "_")[2])
	begin := time.Now()
	for {
		resp, _ := p.call("GET", "/", "", "Authorization: Bearer "+key)
		if resp.StatusCode == 401 {
			break
		}
		if time.Since(begin) > 5*time.Second {
			p.t.Fatal("a revoked key is let through")
		}
	}
	p.t.Logf("the revocation was seen after %s", time.Since(begin).Round(time.Millisecond))
}

func (p *proxied) checkWithoutFob() {
	p.t.Helper()
	key := p.live("--scope", "orders:read")
	p.fob.stop(syscall.SIGKILL)
	calls, _, _ := p.up.seen()
	resp, _ := p.call("GET", "/", "", "Authorization: Bearer "+key)
	if now, _, _ := p.up.seen(); resp.StatusCode < 400 || now != calls {
		p.t.Errorf("without fob: %d, the service was called %d times", resp.StatusCode, now-calls)
	}
	p.startFob()
	eventually(p.t, func() error {
		if resp, _ := p.call("GET", "/", "", "Authorization: Bearer "+key); resp.StatusCode != 200 {
			return fmt.Errorf("fob is back: %d\n%s", resp.StatusCode, p.fob.said())
		}
		return nil
	})
}
