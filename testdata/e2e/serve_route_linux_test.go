package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

const (
	guardedPage = "guarded page"
	publicPage  = "public page"
)

// routeRules guard pages of the services, and open all others to keys that read.
const routeRules = `
[[serve.rule]]
path = "/admin"
env = "live"
scopes = ["admin:all"]

[[serve.rule]]
path = "/secret/*"
scopes = ["admin:all"]

[[serve.rule]]
path = "/pages/admin"
scopes = ["admin:all"]

[[serve.rule]]
path = "/items/*"
methods = ["POST"]
scopes = ["admin:all"]

[[serve.rule]]
path = "/cors"
methods = ["PUT"]
preflight = true

[[serve.rule]]
path = "/*"
scopes = ["orders:read"]
`

// plainRule is how the guards would match without any care: the path as it is written.
func plainRule(uri string) bool {
	path, _, _ := strings.Cut(uri, "?")
	return path == "/admin" || path == "/pages/admin" || strings.HasPrefix(path, "/secret/")
}

// spellings are what a client may try to reach a guarded page.
var spellings = []string{
	"/admin", "/admin/", "/admin?", "/admin?x=/orders", "/admin/?x", "/Admin", "/ADMIN", "/admiN/", "/aDMIN?x", "/secret", "/secret/", "/secret?x", "/Secret", "/SECRET/", "/SeCrEt/x", "/secret/x",
	"/admin#", "/admin#x", "/admin#/../orders", "/admin/#x", "/secret#x", "/secret/#x", "/pages/admin#x", "/#/admin", "/orders#/../admin", "/admin#?x", "/admin%23", "/admin%23x", "/secret%23/x",
	"/admin;", "/admin;x", "/admin;x=y", "/secret;x/y", "/;/admin", "/admin%3b", "/admin%3Bx", "/admin%3f", "/admin%3fx", "/secret%3Fx",
	"//admin", "///admin", "/admin//", "//secret/x", "/secret//x", "//x/admin", "/./admin", "/admin/.", "/admin/./", "/x/../admin", "/x/../../admin", "/secret/.", "/orders/../secret/x", "/x/..",
	"/%2e/admin", "/x/%2e%2e/admin", "/x/.%2e/admin", "/x/%2E./admin", "/admin/%2e", "/x/..%2fadmin", "/x%2f..%2fadmin", "/%2fadmin", "/%2Fsecret%2Fx", "/secret%2fx", "/pages%2fadmin",
	"/x/..;/admin", "/x/%2e%2e;/secret/x", "/%2561dmin", "/x/%252e%252e/admin", "/admin%252f", "/%61dmin", "/%41dmin", "/adm%69n", "/%73ecret/x", "/pages/%61dmin", "/pages/admi%6e", "/Pages/%61dmin",
	"/pages/admin/", "/Pages/admin", "/PAGES/admin/", "/pages/admin?x", "/pages/./admin", "/pages//admin", "/pages/x/../admin",
	`\admin`, `/\admin`, `/x\..\admin`, `/secret\x`, `/secret\..\admin`, "/secret%5cx", "/x%5c..%5cadmin",
	"/admin.", "/admin..", "/admin...", "/admin./", "/admin%2e", "/secret./x", "/admin%20", "/admin%20%20", "/admin%20/", "/%20admin", "/secret%20/x", "/admin%09", "/admin%0a", "/admin%0d%0a", "/admin%00", "/admin%00x",
	"/admin%c2%a0", "/admin%ef%bb%bf", "/admin\xa0", "/admin\xc2\xa0", "/admin\x01", "/admin\t", "/admin ", "/admin x", "/admin%", "/admin%zz", "/admin%u002f", "/admin%c0%af", "/%c0%ae%c0%ae/admin", "/admin%ff",
	"/%ef%bd%81dmin", "/secret%ef%bc%8fx", "/admin%ef%bc%83x", "/%C5%BFecret/x", "/adm%C4%B1n", "/ad%E2%80%8Bmin", "/a%CC%88dmin", "/admin::$DATA", "/admin,x", "/admin&x", "/admin~", "/admin*", "/admin|", "/admin^", `/admin"`, "/admin<", "/{admin}",
	"http://127.0.0.1/admin", "http://127.0.0.1/Admin", "http://127.0.0.1/admin#x", "http://127.0.0.1//admin", "http://127.0.0.1/x/../admin", "HTTP://127.0.0.1/secret", "http://x@127.0.0.1/admin", "http://127.0.0.1/admin/", "*",
}

// honest are paths that a proxy, fob and both services must let through.
var honest = []string{
	"/", "/orders/1", "/orders/1/", "/Orders/ABC", "/orders?next=/admin", "/orders?a=%2f..;b&c=http://x/../", "/administrator", "/gr%C3%B6%C3%9Fe", "/%E6%97%A5%E6%9C%AC", "/a%20b", "/c++", "/~user", "/@me", "/me%40example",
	"/v1/orders:cancel", "/a,b", "/a=b&c", "/$count", "/.well-known/x", "/a..b", "/%7B%22id%22%7D", "/secrets", "/pages/about", "/items/1",
}

// sendRaw sends a request as it is written, which no client would, and returns the answer.
func sendRaw(t *testing.T, address, method, uri, key string, headers ...string) string {
	t.Helper()
	c, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	lines := append([]string{method + " " + uri + " HTTP/1.1", "Host: 127.0.0.1", "Authorization: Bearer " + key, "Content-Length: 0", "Connection: close"}, headers...)
	if _, err := io.WriteString(c, strings.Join(lines, "\r\n")+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if len(answer) == 0 { // a proxy may reset the connection behind its answer
		t.Fatalf("%q: no answer: %v", uri, err)
	}
	return string(answer)
}

// startExpress starts the service in Express, and returns its address.
func startExpress(t *testing.T) string {
	t.Helper()
	node := exec.Command("node", "express.mjs")
	node.Stderr = os.Stderr
	out, err := node.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = node.Process.Kill(); _ = node.Wait() })
	port, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal("Express did not start: ", err)
	}
	return "127.0.0.1:" + strings.TrimSpace(port)
}

// startServeMux starts the same service in Go.
func startServeMux(t *testing.T) string {
	t.Helper()
	page := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }
	}
	mux := http.NewServeMux()
	for _, pattern := range []string{"/admin", "/admin/{$}", "/secret", "/secret/", "POST /items/{id}"} {
		mux.Handle(pattern, page(guardedPage))
	}
	mux.HandleFunc("/pages/{name}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("name") == "admin" {
			fmt.Fprint(w, guardedPage)
			return
		}
		fmt.Fprint(w, publicPage)
	})
	mux.Handle("/", page(publicPage))
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// startProxy starts a proxy before a service with the printed configuration, and returns
// its address.
func (k *keyMachine) startProxy(t *testing.T, rp reverseProxy, fobPort int, service string) string {
	t.Helper()
	address := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	config := k.ok("serve", "--print-config", rp.name, "--listen", fmt.Sprintf("127.0.0.1:%d", fobPort))
	config = strings.NewReplacer("127.0.0.1:8080", address, "127.0.0.1:9000", service).Replace(config)
	rp.run(t, t.TempDir(), config).answering("http://"+address+"/", http.StatusUnauthorized)
	return address
}

// TestI72_SpellingsOfGuardedPaths sends spellings of guarded paths through the real proxies
// to services of two makes. The same stacks with a fob that asks for the key alone show
// which of the spellings reach the guarded page, so which an uncareful rule would open.
func TestI72_SpellingsOfGuardedPaths(t *testing.T) {
	t.Parallel()
	services := map[string]string{"Express": startExpress(t), "ServeMux": startServeMux(t)}
	k := newKeyMachine(t, keyRegistries[0])
	create := []string{"key", "create", "--owner", "shop", "--env", "live", "--note", "x", "--scope"}
	read := strings.TrimSpace(k.ok(append(create, "orders:read")...))
	admin := strings.TrimSpace(k.ok(append(create, "admin:all", "--scope", "orders:read")...))
	ruled := *k
	m := *k.machine
	m.env = append(append([]string{}, k.env...), "FOB_CONFIG="+writeFile(t, t.TempDir()+"/rules.toml", routeRules))
	ruled.machine = &m
	for _, rp := range reverseProxies {
		flags := append([]string{"--trusted-proxy", "127.0.0.1/32"}, rp.flags...)
		ruledPort, controlPort := freePort(t), freePort(t)
		log := ruled.startServe(t, ruledPort, flags...)
		k.startServe(t, controlPort, flags...)
		for name, service := range services {
			t.Run(rp.name+"/"+name, func(t *testing.T) {
				s := &routeStack{t, rp, k.startProxy(t, rp, ruledPort, service), k.startProxy(t, rp, controlPort, service), read, admin}
				s.checkReachable()
				s.checkSpellings()
				s.checkHeaders()
				s.checkPreflight()
				if t.Failed() {
					t.Log(log.said())
				}
			})
		}
	}
}

// routeStack is a proxy before a service, with and without rules.
type routeStack struct {
	t              *testing.T
	rp             reverseProxy
	ruled, control string // addresses
	read, admin    string // keys
}

// checkReachable: the right key reaches what is guarded, and any key what is not.
func (s *routeStack) checkReachable() {
	s.t.Helper()
	for _, uri := range []string{"/admin", "/admin/", "/admin?x=y", "/secret/", "/secret/x", "/pages/admin"} {
		if answer := sendRaw(s.t, s.ruled, "GET", uri, s.admin); !strings.Contains(answer, guardedPage) {
			s.t.Errorf("%q is out of reach of the right key:\n%s", uri, answer)
		}
		if answer := sendRaw(s.t, s.ruled, "GET", uri, s.read); !strings.HasPrefix(answer, "HTTP/1.1 403 ") {
			s.t.Errorf("%q, with the wrong key:\n%s", uri, answer)
		}
	}
	for _, uri := range honest {
		if answer := sendRaw(s.t, s.ruled, "GET", uri, s.read); !strings.HasPrefix(answer, "HTTP/1.1 200 ") || !strings.Contains(answer, publicPage) {
			s.t.Errorf("the public %q:\n%s", uri, answer)
		}
	}
}

func (s *routeStack) checkSpellings() {
	s.t.Helper()
	answer := sendRaw(s.t, s.ruled, "GET", "/Admin", s.admin)
	if reason := "X-Fob-Reason: unclear_path"; !strings.HasPrefix(answer, "HTTP/1.1 400 ") || s.rp.name == "nginx" && !strings.Contains(answer, reason) {
		s.t.Errorf("another case is not answered as it should be:\n%s", answer)
	}
	if len(spellings) < 60 {
		s.t.Fatalf("%d spellings", len(spellings))
	}
	var reached, leaks []string
	for _, uri := range spellings {
		if answer := sendRaw(s.t, s.ruled, "GET", uri, s.read); strings.Contains(answer, guardedPage) {
			s.t.Errorf("I72: %q reaches a guarded page:\n%s", uri, answer)
		}
		if !strings.Contains(sendRaw(s.t, s.control, "GET", uri, s.read), guardedPage) {
			continue
		}
		reached = append(reached, uri)
		if !plainRule(uri) {
			leaks = append(leaks, uri)
		}
	}
	s.t.Logf("of %d spellings %d reach a guarded page, %d of them past plain rules: %q", len(spellings), len(reached), len(leaks), leaks)
	if len(leaks) == 0 {
		s.t.Error("no spelling would get past plain rules: the test proves nothing")
	}
}

// checkHeaders: what a client says of its path and method counts for nothing.
func (s *routeStack) checkHeaders() {
	s.t.Helper()
	if answer := sendRaw(s.t, s.ruled, "POST", "/items/1", s.admin); !strings.Contains(answer, guardedPage) {
		s.t.Errorf("POST is out of reach of the right key:\n%s", answer)
	}
	for _, header := range []string{"X-Forwarded-Uri: /orders", "X-Original-Uri: /orders", "X-Original-URI: ", "X-Original-Url: http://127.0.0.1/orders", "x-original-url: /orders"} {
		if answer := sendRaw(s.t, s.ruled, "GET", "/admin", s.read, header); strings.Contains(answer, guardedPage) {
			s.t.Errorf("I72: %s reaches a guarded page:\n%s", header, answer)
		}
	}
	for _, header := range []string{"X-Forwarded-Method: GET", "X-Original-Method: GET", "X-Original-Method: ", "x-forwarded-method: get"} {
		if answer := sendRaw(s.t, s.ruled, "POST", "/items/1", s.read, header); strings.Contains(answer, guardedPage) {
			s.t.Errorf("I72: POST with %s reaches a guarded page:\n%s", header, answer)
		}
	}
}

// checkPreflight: a browser's question passes without a key where the rule allows it.
func (s *routeStack) checkPreflight() {
	s.t.Helper()
	for _, test := range []struct {
		method, path, wanted string
		refused              bool
	}{
		{"OPTIONS", "/cors", "PUT", false},
		{"OPTIONS", "/cors", "DELETE", true},
		{"OPTIONS", "/admin", "PUT", true},
		{"OPTIONS", "/cors", "", true},
		{"PUT", "/cors", "PUT", true},
	} {
		r, err := http.NewRequest(test.method, "http://"+s.ruled+test.path, nil)
		if err != nil {
			s.t.Fatal(err)
		}
		r.Header.Set("Origin", "https://shop.example")
		if test.wanted != "" {
			r.Header.Set("Access-Control-Request-Method", test.wanted)
		}
		r.Header.Set("X-Forwarded-Method", "OPTIONS")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			s.t.Fatal(err)
		}
		resp.Body.Close()
		if got := resp.StatusCode; test.refused != (got == http.StatusUnauthorized || got == http.StatusForbidden) || !test.refused && got != http.StatusOK {
			s.t.Errorf("%s %s for %q: %d", test.method, test.path, test.wanted, got)
		}
	}
}
