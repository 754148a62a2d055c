package cmd

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/fobcli/fob/internal/cli"
)

// A file that the user names and that is missing, or whose folder is, is wrong usage for
// every command. exec's own failures have another status.
func TestMissingFile_IsWrongUsage(t *testing.T) {
	home, missing := t.TempDir(), filepath.Join(t.TempDir(), "missing", "file")
	file := filepath.Join(home, "config.toml")
	if err := os.WriteFile(file, []byte("[profile.work]\nissuer = 'https://sso.example.com'\nclient_id = 'fob'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(sealKey, stdin string, args ...string) (status int, stdout, stderr string) {
		for name, value := range map[string]string{
			"FOB_HOME": home, "FOB_REGISTRY": "sqlite:" + home + "/registry.db", "FOB_STORAGE": "file", "FOB_SEAL_KEY": sealKey, "CI": "",
		} {
			t.Setenv(name, value) // Main takes the secrets among them away
		}
		var out, err bytes.Buffer
		status = Main(args, strings.NewReader(stdin), &out, &err)
		return status, out.String(), err.String()
	}
	sealKey := strings.Repeat("ab", 32)
	run(sealKey, "canary", "secret", "set", "stripe")
	_, key, _ := run(sealKey, "", "key", "create", "--owner", "shop", "--env", "test")
	tested := map[string]bool{"fob storage rekey --key-file": true} // makes the file
	for _, test := range []struct{ command, flag, more string }{
		{"allow", "", ""},
		{"ci export", "--env-file", "--format shell"},
		{"ci export", "--file", "--format dotenv --env A=secret/stripe"},
		{"exec", "--env-file", "-- true"},
		{"incident", "--output", "--yes"},
		{"incident", "--report", ""},
		{"login hub", "--authorization-details", "--provider github --client-id fob"},
		{"login hub", "--challenge", "--provider github --client-id fob"},
		{"login hub", "--ca-file", "--provider github --client-id fob"},
		{"login hub", "--certificate-file", "--provider github --client-id fob --certificate-key-file " + file},
		{"login hub", "--certificate-key-file", "--provider github --client-id fob --certificate-file " + file},
		{"login hub", "--private-key-file", "--provider github --client-id fob"},
		{"login hub", "--client-secret-file", "--provider github --client-id fob"},
		{"profile set work", "--authorization-details", ""},
		{"profile set work", "--ca-file", ""},
		{"profile set work", "--certificate-file", "--certificate-key-file " + file},
		{"profile set work", "--certificate-key-file", "--certificate-file " + file},
		{"profile set work", "--private-key-file", ""},
		{"scan", "", ""},
		{"scan --git", "", ""},
		{"scan", "--baseline", file},
		{"serve --listen 127.0.0.1:0", "--tls-cert", "--tls-key " + file},
		{"serve --listen 127.0.0.1:0", "--tls-key", "--tls-cert " + file},
		{"storage backup", "--output", "--passphrase-file " + file},
		{"storage backup", "--passphrase-file", "--output " + file + ".age"},
		{"storage rekey", "--passphrase-file", ""},
		{"storage restore", "", "--passphrase-file " + file},
		{"storage restore " + file, "--passphrase-file", ""},
		{"token work", "--challenge", ""},
	} {
		args := strings.Fields(test.command + " " + test.flag)
		for n := range args {
			tested["fob "+strings.Join(args[:n], " ")+" "+test.flag] = true
		}
		want, withKey := cli.ExitUsage, sealKey
		switch test.command {
		case "exec":
			want = 125
		case "storage rekey":
			withKey = "" // it would take precedence
		}
		args = append(append(args, missing), strings.Fields(test.more)...)
		status, stdout, stderr := run(withKey, key, args...)
		if status != want || stdout != "" || !strings.Contains(stderr, missing) && !strings.Contains(stderr, filepath.Dir(missing)) || !strings.Contains(stderr, "\nhint: ") {
			t.Errorf("%q: %d, %s", args, status, stderr)
		}
	}
	for _, c := range commandTree(t) {
		c.LocalFlags().VisitAll(func(flag *pflag.Flag) {
			if kind, _ := pflag.UnquoteUsage(flag); kind == "FILE" && !tested[c.CommandPath()+" --"+flag.Name] {
				t.Errorf("'%s --%s' is not tested", c.CommandPath(), flag.Name)
			}
		})
	}
}
