package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// loginRounds are fewer: each is a whole login.
const loginRounds = 30

// benchLogins measures what fob itself adds to a login, from the callback to the
// success page: the test issuer says how much of that time was its own.
func benchLogins(b *testing.B) {
	for _, latency := range []string{"0s", "100ms"} {
		i := startIssuer(b, "-latency", latency)
		m := newMachineAt(b, sealed...)
		var added []float64
		for range loginRounds {
			whole, share := m.timeCallback(i)
			added = append(added, float64((whole-share).Microseconds())/1000)
		}
		slices.Sort(added)
		fmt.Printf("| callback to success page, beyond the server's own time (token endpoint %s) | %.1f ms | | | p90 %.1f ms, worst %.1f ms | ≤ 50 ms |\n",
			latency, added[len(added)/2], added[len(added)*9/10], added[len(added)-1])
	}
}

// timeCallback logs in once, as a browser, and times the last request; share is what
// the server spent on it.
func (m *machine) timeCallback(i *issuer) (whole, share time.Duration) {
	m.t.Helper()
	login := m.fobCommand("login", "work", "--issuer", i.url, "--client-id", "fob-test", "--no-browser")
	stdin, err := login.StdinPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	defer stdin.Close()
	stderr, err := login.StderrPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := login.Start(); err != nil {
		m.t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	var page string
	for page == "" && lines.Scan() {
		if line := strings.TrimSpace(lines.Text()); strings.HasPrefix(line, i.url) {
			page = line
		}
	}
	callback := i.consent(page)
	i.command("/test/share", nil)
	start := time.Now()
	text, err := read(http.Get(callback))
	whole = time.Since(start)
	if err != nil || !strings.Contains(text, "You are logged in") {
		m.t.Fatalf("%v: %.300s", err, text)
	}
	_, _ = io.Copy(io.Discard, stderr)
	if err := login.Wait(); err != nil {
		m.t.Fatal(err)
	}
	nanoseconds, err := read(http.Get(i.url + "/test/share"))
	if err != nil {
		m.t.Fatal(err)
	}
	n, err := strconv.ParseInt(strings.TrimSpace(nanoseconds), 10, 64)
	if err != nil {
		m.t.Fatal(err)
	}
	return whole, time.Duration(n)
}

// consent says yes and returns where the browser is sent.
func (i *issuer) consent(page string) string {
	i.t.Helper()
	u, err := url.Parse(page)
	if err != nil {
		i.t.Fatal(err)
	}
	form := u.Query()
	form.Set("answer", "yes")
	u.RawQuery = ""
	staying := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := staying.PostForm(u.String(), form)
	if err != nil {
		i.t.Fatal(err)
	}
	defer resp.Body.Close()
	location, err := resp.Location()
	if err != nil {
		i.t.Fatalf("%s: %v", resp.Status, err)
	}
	return location.String()
}

// compareTargets sets a cached token for another API beside the login's own.
func compareTargets(b *testing.B, token []string) {
	i := startIssuer(b)
	m := newMachineAt(b)
	m.startKeyring()
	api := i.url + "/api/two"
	m.ok("login", "work", "--issuer", i.url, "--client-id", "fob-test", "--resource", i.url+"/api/one", "--resource", api)
	forAPI := append(slices.Clone(token), "--resource", api)
	m.compare("`fob token --resource`, cached, keyring", m, forAPI, "`fob token`", m, token, "1")
}
