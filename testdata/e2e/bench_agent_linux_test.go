package e2e

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// BenchmarkAgent sets `fob token` by the agent beside itself without it, and beside what
// oidc-agent's users call.
func BenchmarkAgent(b *testing.B) {
	if fob = os.Getenv("FOB_BENCH"); fob == "" {
		b.Fatal("FOB_BENCH does not name the program: run 'make bench'")
	}
	port := freePort(b)
	p := startProviderWith(b, providerOptions{Clients: []map[string]any{{
		"client_id": "oidc-agent", "client_secret": "e2e.secret.of.sufficient.length", "token_endpoint_auth_method": "client_secret_basic",
		"redirect_uris": []string{fmt.Sprintf("http://localhost:%d", port)},
	}}})
	fmt.Printf("\n%s, %d rounds each, interleaved; medians\n\n", machineName(), rounds)
	fmt.Println("| what | measured | beside | ratio | spread of the ratio (p10–p90) | wanted |")
	fmt.Println("|---|---|---|---|---|---|")
	token := []string{fob, "token", "work"}
	for _, storage := range []string{"keyring", "a file and its passphrase"} {
		m, wanted := newMachine(b), "–"
		if storage == "keyring" {
			wanted = "≤ 0.6"
			m.startKeyring()
		} else {
			passphrase := filepath.Join(m.home, "passphrase")
			if err := os.WriteFile(passphrase, []byte("correct horse battery\n"), 0o600); err != nil {
				b.Fatal(err)
			}
			m.env = append(m.env, "FOB_STORAGE=file", "FOB_PASSPHRASE_FILE="+passphrase)
		}
		m.ok("login", "work", "--issuer", p.issuer, "--client-id", "fob-e2e")
		m.startAgent()
		without := *m
		without.env = append(slices.Clone(m.env), "FOB_AGENT=off")
		if m.ok("token", "work") != without.ok("token", "work") {
			b.Fatal("the agent gives another token")
		}
		m.compare("`fob token` by the agent, "+storage, m, token, "without it", &without, token, wanted)
		if storage == "keyring" {
			other := newOIDCAgent(b, p, port)
			m.compare("`fob token` by the agent", m, token, "`oidc-token` of oidc-agent "+other.version(), other.machine, []string{"oidc-token", "work"}, "≤ 1")
		}
	}
	fmt.Println()
}

// oidcAgent is an agent of another make with a login at the provider.
type oidcAgent struct{ *machine }

func newOIDCAgent(b *testing.B, p *provider, port int) *oidcAgent {
	b.Helper()
	a := &oidcAgent{newMachine(b)}
	if err := os.MkdirAll(filepath.Join(a.home, ".config", "oidc-agent"), 0o700); err != nil {
		b.Fatal(err)
	}
	out, err := a.command("oidc-agent").Output()
	if err != nil {
		b.Fatal(err)
	}
	for _, match := range regexp.MustCompile(`(OIDC[A-Z_]*)=([^;]+);`).FindAllStringSubmatch(string(out), -1) {
		a.env = append(a.env, match[1]+"="+match[2])
		if pid := 0; match[1] == "OIDCD_PID" {
			_, _ = fmt.Sscan(match[2], &pid)
			b.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGTERM) })
		}
	}
	password := filepath.Join(a.home, "password")
	if err := os.WriteFile(password, []byte("correct horse battery\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	gen := a.command("oidc-gen", "--manual", "--iss="+p.issuer, "--client-id=oidc-agent", "--client-secret=e2e.secret.of.sufficient.length",
		"--scope=openid offline_access", "--flow=code", "--no-scheme", fmt.Sprintf("--redirect-uri=http://localhost:%d", port),
		"--no-url-call", "--prompt=none", "--confirm-yes", "--pw-file="+password, "work")
	pipe, err := gen.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	gen.Stderr = gen.Stdout
	if err := gen.Start(); err != nil {
		b.Fatal(err)
	}
	var said strings.Builder
	for lines := bufio.NewScanner(pipe); lines.Scan(); {
		said.WriteString(lines.Text() + "\n")
		if url := regexp.MustCompile(regexp.QuoteMeta(p.issuer) + `/\S+`).FindString(lines.Text()); url != "" {
			back, err := browse(url)
			if err == nil {
				_, err = read(http.Get(back))
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := gen.Wait(); err != nil {
		b.Fatalf("oidc-gen: %v\n%s", err, said.String())
	}
	return a
}

func (a *oidcAgent) version() string {
	out, _ := a.command("oidc-agent", "--version").Output()
	return strings.TrimSpace(strings.TrimPrefix(string(out), "oidc-agent "))
}
