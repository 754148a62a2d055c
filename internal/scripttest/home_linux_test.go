package scripttest

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// exits runs a command of the user that fails with a status, and returns its stderr.
func (p *peeker) exits(status int, env []string, argv ...string) string {
	p.t.Helper()
	c := p.command(env, argv...)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	var exit *exec.ExitError
	if err := c.Run(); !errors.As(err, &exit) || exit.ExitCode() != status {
		p.t.Fatalf("%q: %v, not status %d\n%s", argv, err, status, &stderr)
	}
	return stderr.String()
}

// TestToken_ReadOnlyHome uses a login in folders that this user cannot write.
func TestToken_ReadOnlyHome(t *testing.T) {
	p := newPeeker(t)
	p.run(nil, "", "fob", "login", "work", "--issuer", p.server.Issuer(), "--client-id", "fob-test")
	for _, pattern := range []string{"home", "home/*", "home/*/*"} {
		folders, _ := filepath.Glob(filepath.Join(p.dir, pattern))
		for _, path := range folders {
			if info, err := os.Stat(path); err != nil || !info.IsDir() {
				continue
			}
			if err := os.Chmod(path, 0o500); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.Chmod(path, 0o700) })
		}
	}
	if err := os.Chmod(p.dir+"/home/data/locks/work.lock", 0o400); err != nil {
		t.Fatal(err)
	}

	cached := p.run(nil, "", "fob", "token", "work")
	if strings.TrimSpace(cached) == "" || strings.Contains(cached, "\n\n") {
		t.Errorf("cached: %q", cached)
	}
	p.run(nil, "", "fob", "status", "work")
	p.run(nil, "", "fob", "profile", "show", "work")
	for _, argv := range [][]string{{"fob", "token", "work", "--force-refresh"}, {"fob", "login", "work"}, {"fob", "logout", "work"}} {
		if said := p.exits(6, nil, argv...); !strings.Contains(said, "\nhint: make fob's folders writable, or set FOB_HOME to a folder that is") {
			t.Errorf("%q: %s", argv, said)
		}
	}
}

// TestToken_NoHome prints tokens for a user without a home, and for one without any folder
// to write to.
func TestToken_NoHome(t *testing.T) {
	p := newPeeker(t)
	p.write("work/fob.toml", "[profile.x]\nissuer = \""+p.server.Issuer()+"\"\nclient_id = \"fob-test\"\n")
	for home, writable := range map[string]bool{"/": true, "": true, "/proc": false, "/dev/null": false, "/nonexistent": false} {
		p.run(nil, "", "fob", "login", "work", "--issuer", p.server.Issuer(), "--client-id", "fob-test")
		tokens := slices.DeleteFunc(p.server.IssuedTokens(), func(token string) bool { return !strings.Contains(token, "refresh") })
		env := []string{"HOME=" + home, "FOB_HOME=", "FOB_STORAGE=none", "TMPDIR=" + p.dir + "/work", "FOB_SEAL_KEY=", "FOB_CONFIG=" + p.dir + "/work/fob.toml", "FOB_REFRESH_TOKEN_X=" + tokens[len(tokens)-1]}
		var stderr bytes.Buffer
		call := p.command(env, "fob", "token", "x")
		call.Stderr = &stderr
		first, err := call.Output()
		if err != nil || len(bytes.Fields(first)) != 1 {
			t.Errorf("HOME=%s: printed %q: %v\n%s", home, first, err, &stderr)
		}
		if !writable {
			continue
		}
		if again, err := p.command(env, "fob", "token", "x").Output(); err != nil || !bytes.Equal(again, first) {
			t.Errorf("HOME=%s: the token was not cached: %q, %v", home, again, err)
		}
	}
}
