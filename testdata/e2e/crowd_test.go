package e2e

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// crowd is what many processes at once came to.
type crowd struct {
	tokens   map[string]bool
	failures int
	worst    string // of the failures, what one said
	slowest  time.Duration
	all      time.Duration
}

// askAtOnce runs `fob token work` so many times, so many at once.
func (m *machine) askAtOnce(times, atOnce int) crowd {
	m.t.Helper()
	c := crowd{tokens: map[string]bool{}}
	var mu sync.Mutex // guards c
	var wg sync.WaitGroup
	places := make(chan struct{}, atOnce)
	start := time.Now()
	for range times {
		places <- struct{}{}
		began := time.Now()
		wg.Go(func() {
			r := m.fob("", "token", "work")
			took := time.Since(began)
			<-places
			mu.Lock()
			defer mu.Unlock()
			c.tokens[r.stdout] = true
			c.slowest = max(c.slowest, took)
			if r.status != 0 {
				c.failures++
				c.worst = r.stderr
			}
		})
	}
	wg.Wait()
	c.all = time.Since(start)
	return c
}

// expiryRound is one time that a crowd finds an expired token, and then, at once,
// a valid one.
type expiryRound struct {
	expired, valid     crowd
	refreshes, refused int
}

func (r expiryRound) ratio() float64 { return float64(r.expired.all) / float64(r.valid.all) }

func (m *machine) roundAtExpiry(server *issuer, processes int) expiryRound {
	m.t.Helper()
	m.waitForExpiry()
	refreshes, refused := server.count("token/refresh"), server.count("token/refused")
	var r expiryRound
	r.expired = m.askAtOnce(processes, processes)
	r.valid = m.askAtOnce(processes, processes)
	r.refreshes, r.refused = server.count("token/refresh")-refreshes, server.count("token/refused")-refused
	for _, c := range []crowd{r.expired, r.valid} {
		if c.failures > 0 || len(c.tokens) != 1 {
			m.t.Errorf("%d of %d processes failed, %d tokens\n%s", c.failures, processes, len(c.tokens), c.worst)
		}
	}
	if r.refreshes != 1 || r.refused != 0 {
		m.t.Errorf("%d refreshes, %d refused", r.refreshes, r.refused)
	}
	return r
}

func TestF53FiveHundredProcessesAtExpiry(t *testing.T) {
	if soak == "" { // the program with the race detector is too large to run that often
		roundsAtExpiry(t, "file", "1s", 1, 60)
		return
	}
	var b strings.Builder
	b.WriteString("## 500 processes at expiry\n\n| storage | the issuer takes | rounds | refreshes | refused | failures | all done, median | with a valid token, median | ratio, median (worst) | wanted |\n|---|---|---|---|---|---|---|---|---|---|\n")
	for _, set := range []struct {
		storage, latency string
		rounds           int
	}{
		{"file", "0s", 20}, {"keyring", "0s", 20}, {"file", "1s", 5}, {"keyring", "1s", 5},
	} {
		fmt.Fprintf(&b, "| %s | %s %s", set.storage, set.latency, expiryRow(roundsAtExpiry(t, set.storage, set.latency, set.rounds, 500)))
	}
	addToReport(b.String())
}

func roundsAtExpiry(t testing.TB, storage, latency string, n, processes int) []expiryRound {
	t.Helper()
	server := startIssuer(t, "-token-lifetime", "8s", "-latency", latency)
	m := newMachineAt(t, "FOB_STORAGE="+storage, "FOB_SEAL_KEY="+strings.Repeat("5a", 32))
	if storage == "keyring" {
		m.startKeyring()
	}
	m.loginAt(server)
	var rounds []expiryRound
	for range n {
		rounds = append(rounds, m.roundAtExpiry(server, processes))
	}
	return rounds
}

// expiryRow is a row of the report, without its beginning.
func expiryRow(rounds []expiryRound) string {
	var expired, valid, ratios []float64
	refreshes, refused, failures := 0, 0, 0
	for _, r := range rounds {
		expired = append(expired, r.expired.all.Seconds())
		valid = append(valid, r.valid.all.Seconds())
		ratios = append(ratios, r.ratio())
		refreshes += r.refreshes
		refused += r.refused
		failures += r.expired.failures + r.valid.failures
	}
	return fmt.Sprintf("| %d | %d | %d | %d | %.2f s | %.2f s | **%.2f** (%.2f) | 1 refresh a round, 0 failures, ratio ≤ 2 |\n", len(rounds),
		refreshes, refused, failures, median(expired), median(valid), median(ratios), slices.Max(ratios))
}
