package e2e

import (
	"encoding/base64"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// BenchmarkHelpers measures what a call of git's takes longer that asks fob for its token,
// over one that has it in a header from the start and is spared a round trip too.
func BenchmarkHelpers(b *testing.B) {
	if fob = os.Getenv("FOB_BENCH"); fob == "" {
		b.Fatal("FOB_BENCH does not name the program: run 'make bench'")
	}
	fmt.Printf("\n%s, %d rounds each, interleaved; medians\n\n", machineName(), rounds)
	fmt.Println("| what | measured | beside | more | spread (p10–p90) | wanted |")
	fmt.Println("|---|---|---|---|---|---|")
	i := startIssuer(b)
	server := startGitServer(b, i, "Basic")
	list := []string{"git", "ls-remote", server.URL + "/team/x.git"}
	for _, storage := range []string{"keyring", "file"} {
		m := newGitMachine(b, i, server.URL, storage)
		static := *m
		header := "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("oauth2:"+strings.TrimSpace(m.ok("token", "work"))))
		static.env = append(slices.Clone(m.env), "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=http.extraHeader", "GIT_CONFIG_VALUE_0="+header)
		with, without := inTurn(m, list, &static, list)
		more := make([]float64, len(with))
		for i := range with {
			more[i] = with[i] - without[i]
		}
		slices.Sort(more)
		fmt.Printf("| `git ls-remote` with `fob helper git`, %s | %.2f ms | a token in a header, %.2f ms | **+%.2f ms** | %.2f–%.2f | ≤ +15 ms |\n",
			storage, median(with), median(without), median(more), more[len(more)/10], more[len(more)*9/10])
	}
	fmt.Println()
}
