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

// BenchmarkLogin measures what fob itself adds to a login, from the callback to the
// success page: the test issuer reports how much of that time was its own.
func BenchmarkLogin(b *testing.B) {
	t, began := newTable(b, "Login"), time.Now()
	for _, latency := range []string{"0s", "100ms"} {
		i := startIssuer(b, "-latency", latency)
		m := newMachineAt(b, sealed...)
		var added []float64
		for range loginRounds {
			whole, share := m.timeCallback(i)
			added = append(added, milliseconds(whole-share))
		}
		slices.Sort(added)
		t.add(cells{measured: fmt.Sprintf("%.1f ms, worst %.1f ms", median(added), added[len(added)-1]), value: added[len(added)-1]})
	}
	t.finish(began)
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
