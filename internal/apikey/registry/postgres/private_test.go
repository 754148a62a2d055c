//go:build unix

package postgres

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/apikey"
)

// However the URL, the environment or a service file has it, nothing goes to another
// machine that has not proved who it is.
func TestD39NoOtherMachineWithoutProof(t *testing.T) {
	service := filepath.Join(t.TempDir(), "service")
	if err := os.WriteFile(service, []byte("[evil]\nhost=evil.example\nsslmode=disable\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	urls := []string{
		"postgres:///x", "postgres:///x?host=evil.example", "postgres://evil.example/x#sslmode=disable", "postgres://localhost,evil.example/x",
		"postgres://localhost/x?host=evil.example&sslmode=disable", "postgres://evil.example/x?sslmode=require", "postgres://evil.example/x?sslmode=verify-ca",
		"postgres://evil.example/x?sslmode=verify-full&sslmode=disable", "postgres://u:sslmode=disable@evil.example/x", "postgres://u@127.0.0.1.evil.example/x",
		"postgres://localhost:1,evil.example:2/x?sslmode=prefer", "postgres:///x?service=evil&servicefile=" + service, "postgres://u:pw%zz@evil.example/x",
	}
	for _, environ := range [][]string{{"PGSSLMODE", "disable"}, {"PGHOST", "evil.example"}, {"PGSERVICEFILE", service, "PGSERVICE", "evil"}} {
		for i := 0; i < len(environ); i += 2 {
			t.Setenv(environ[i], environ[i+1])
		}
		for _, url := range urls {
			config, err := parse(url)
			if err != nil {
				if strings.Contains(err.Error(), "evil") || strings.Contains(err.Error(), "pw") {
					t.Errorf("%s: %v", url, err)
				}
				continue
			}
			if !isLocal(config.Host) && (!isPrivate(config.Host, config.TLSConfig) || config.TLSConfig.ServerName != config.Host) {
				t.Errorf("%q %s goes to %s without proof", environ, url, config.Host)
			}
			for _, other := range config.Fallbacks {
				if !isLocal(other.Host) && (other.TLSConfig == nil || other.TLSConfig.InsecureSkipVerify) {
					t.Errorf("%q %s goes to %s without proof", environ, url, other.Host)
				}
			}
		}
	}
	if _, err := parse("postgres://evil.example/x?sslmode=disable"); !errors.Is(err, apikey.ErrInsecure) {
		t.Error(err)
	}
}
