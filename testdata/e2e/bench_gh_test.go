package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// ghHosts is gh's list of hosts as its login writes it, with the token in it or with
// none: then the token lies in the keyring.
const ghHosts = "github.com:\n    git_protocol: https\n    users:\n        ada:\n%s    user: ada\n%[1]s"

// BenchmarkGh measures fob beside gh, GitHub's own program, which prints the token that
// it keeps: in its file in plain text, or, since version 2.24, in the same keyring.
func BenchmarkGh(b *testing.B) {
	if fob = os.Getenv("FOB_BENCH"); fob == "" {
		b.Fatal("FOB_BENCH does not name the program: run 'make bench'")
	}
	i := startIssuer(b)
	inFiles, inKeyring := newMachineAt(b, sealed...), newMachineAt(b)
	inKeyring.startKeyring()
	for m, kept := range map[*machine]string{inFiles: "    oauth_token: gho_e2e\n", inKeyring: ""} {
		m.loginAt(i)
		m.writeGh(kept)
	}
	store := inKeyring.command("secret-tool", "store", "--label=gh", "service", "gh:github.com", "username", "")
	store.Stdin = strings.NewReader("gho_e2e")
	if out, err := store.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	token, gh := []string{fob, "token", "work"}, []string{"gh", "auth", "token"}
	fmt.Printf("\n%s, %d rounds each, interleaved; medians; %s\n\n", machineName(), rounds, ghVersion(b))
	fmt.Println("| what | measured | beside | ratio | spread of the ratio (p10–p90) | wanted |")
	fmt.Println("|---|---|---|---|---|---|")
	if inKeyring.ghAnswers() {
		inKeyring.compare("`fob token`, cached, keyring", inKeyring, token, "`gh auth token`, the same keyring", inKeyring, gh, "≤ 0.25")
	} else {
		fmt.Println("| `fob token`, cached, keyring | | this gh keeps no token in a keyring | | | ≤ 0.25 |")
		inKeyring.compare("`fob token`, cached, keyring", inKeyring, token, "`gh auth token`, its `hosts.yml`", inFiles, gh, "–")
	}
	if !inFiles.ghAnswers() {
		b.Fatal("gh does not read the token in its file")
	}
	inFiles.compare("`fob token`, cached, sealed file", inFiles, token, "`gh auth token`, its `hosts.yml`", inFiles, gh, "≤ 0.25")
	fmt.Println()
}

// writeGh has gh logged in; kept is the line with its token.
func (m *machine) writeGh(kept string) {
	m.t.Helper()
	dir := filepath.Join(m.home, ".config", "gh")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		m.t.Fatal(err)
	}
	for name, text := range map[string]string{"config.yml": "version: \"1\"\n", "hosts.yml": fmt.Sprintf(ghHosts, kept)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			m.t.Fatal(err)
		}
	}
}

// ghAnswers reports that gh finds the token where it is meant to lie.
func (m *machine) ghAnswers() bool {
	out, err := m.command("gh", "auth", "token").Output()
	return err == nil && string(out) == "gho_e2e\n"
}

func ghVersion(b *testing.B) string {
	out, err := exec.Command("gh", "--version").Output()
	if err != nil {
		b.Fatal(err)
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return line
}
