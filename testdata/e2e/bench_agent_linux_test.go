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
	"time"
)

// BenchmarkAgent compares fob's agent with none, and with oidc-agent.
func BenchmarkAgent(b *testing.B) {
	t, began := newTable(b, "Agent"), time.Now()
	port := freePort(b)
	p := startProviderWith(b, providerOptions{Clients: []map[string]any{{
		"client_id": "oidc-agent", "client_secret": "e2e.secret.of.sufficient.length", "token_endpoint_auth_method": "client_secret_basic",
		"redirect_uris": []string{fmt.Sprintf("http://localhost:%d", port)},
	}}})
	passphrase := filepath.Join(b.TempDir(), "passphrase")
	if err := os.WriteFile(passphrase, []byte("correct horse battery\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	inKeyring, inFile := newMachine(b), newMachine(b, "FOB_STORAGE=file", "FOB_PASSPHRASE_FILE="+passphrase)
	inKeyring.startKeyring()
	token := []string{fob, "token", "work"}
	var without []command
	for _, m := range []*machine{inKeyring, inFile} {
		m.ok("login", "work", "--issuer", p.issuer, "--client-id", "fob-e2e")
		m.startAgent()
		other := *m
		other.env = append(slices.Clone(m.env), "FOB_AGENT=off")
		if m.ok("token", "work") != other.ok("token", "work") {
			b.Fatal("the agent returns another token")
		}
		without = append(without, command{&other, token})
	}
	t.pair(command{inKeyring, token}, command{inKeyring, []string{fob, "version"}})
	t.pair(command{inKeyring, token}, command{newOIDCAgent(b, p, port), []string{"oidc-token", "work"}})
	t.pair(command{inKeyring, token}, without[0])
	t.pair(command{inFile, token}, without[1])
	t.finish(began)
}

// newOIDCAgent starts an agent of another make, with a login at the provider.
func newOIDCAgent(b *testing.B, p *provider, port int) *machine {
	b.Helper()
	a := newMachine(b)
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
