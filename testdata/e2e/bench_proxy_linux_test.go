package e2e

import (
	"bufio"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// BenchmarkProxy measures fob proxy on one core, with wrk and the host on the other,
// beside a bare httputil.ReverseProxy.
func BenchmarkProxy(b *testing.B) {
	t, began := newTable(b, "Proxy"), time.Now()
	bare := buildBare(b)
	at, _ := pinned(b, "1", nil, bare, "%s")
	host := "http://" + at
	at, _ = pinned(b, "0", nil, bare, "%s", host)
	reverse := "http://" + at
	m := newMachineAt(b, "FOB_STORAGE=file", "FOB_SEAL_KEY="+strings.Repeat("5a", 32))
	m.loginAt(startIssuer(b))
	proxied := startProxy(b, m, host)
	var ours, bares samples
	var added []float64
	for i := range serveRounds + 1 {
		a, z := wrk(b, proxied+"/x", 64, wrkTime), wrk(b, reverse+"/x", 64, wrkTime)
		one, other := wrk(b, proxied+"/x", 1, "2s"), wrk(b, host+"/x", 1, "2s")
		if i > 0 {
			ours.wall, bares.wall, added = append(ours.wall, a.rate), append(bares.wall, z.rate), append(added, one.p50-other.p50)
		}
	}
	t.addPair(ours, bares, "", "")
	t.add(cells{measured: fmt.Sprintf("%.3f ms", median(added)), value: median(added), spread: fmt.Sprintf("%.3f–%.3f ms", slices.Min(added), slices.Max(added))})
	t.finish(began)
}

// startProxy runs fob proxy with a program that tells its base URL and waits.
func startProxy(b *testing.B, m *machine, host string) string {
	b.Helper()
	c := m.command("taskset", "-c", "0", fob, "proxy", "work", "--quiet", "--allow", host, "--base-url", "API="+host, "--", "sh", "-c", "echo $API; exec cat")
	in, err := c.StdinPipe()
	out, err2 := c.StdoutPipe()
	if err != nil || err2 != nil {
		b.Fatal(err, err2)
	}
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = in.Close(); _ = c.Wait() }) // then the program ends, and the proxy with it
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(line)
}
