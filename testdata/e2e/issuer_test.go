package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// issuer is a running test issuer (internal/authservertest): it answers in a
// tenth of the provider's time, and tells what a provider does not.
type issuer struct {
	t   testing.TB
	url string
}

// startIssuer runs one that rotates and detects reuse, unless flags say otherwise.
func startIssuer(t testing.TB, flags ...string) *issuer {
	t.Helper()
	server := exec.Command(authserver, flags...)
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal("the issuer did not start: ", err)
	}
	return &issuer{t, strings.TrimSpace(address)}
}

func (i *issuer) port() int {
	u, err := url.Parse(i.url)
	if err != nil {
		i.t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		i.t.Fatal(err)
	}
	return port
}

// count is how many requests an endpoint has seen (see authservertest.Count).
func (i *issuer) count(endpoint string) int {
	text, err := read(http.Get(i.url + "/test/count?endpoint=" + url.QueryEscape(endpoint)))
	if err != nil {
		i.t.Error(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		i.t.Error(err)
	}
	return n
}

// command tells the issuer to do something.
func (i *issuer) command(path string, form url.Values) {
	resp, err := http.PostForm(i.url+path, form)
	if err == nil {
		defer resp.Body.Close()
	}
	if err != nil || resp.StatusCode != http.StatusOK {
		i.t.Fatalf("%s: %v, %v", path, resp, err)
	}
}

// origin is where an access token came from: which login, by number, and how many
// rotations after it.
type origin struct{ Family, Generation int }

func (i *issuer) origin(token string) (origin, error) {
	var o origin
	resp, err := http.PostForm(i.url+"/test/origin", url.Values{"token": {strings.TrimSpace(token)}})
	if err != nil {
		return o, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return o, fmt.Errorf("the issuer does not know the token %q", token)
	}
	return o, json.NewDecoder(resp.Body).Decode(&o)
}

// sealed is the environment of a machine that keeps logins in files.
var sealed = []string{"FOB_STORAGE=file", "FOB_SEAL_KEY=" + strings.Repeat("5a", 32)}

// newMachineAt is a machine whose browser says yes at test issuers.
func newMachineAt(t testing.TB, env ...string) *machine {
	t.Helper()
	return newMachine(t, append([]string{"BROWSER=" + authserver + " approve"}, env...)...)
}

func (m *machine) loginAt(i *issuer) {
	m.t.Helper()
	m.ok("login", "work", "--issuer", i.url, "--client-id", "fob-test")
}
