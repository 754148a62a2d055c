package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// startAgent starts the machine's agent, and ends it with the test.
func (m *machine) startAgent(flags ...string) {
	m.t.Helper()
	m.ok(append([]string{"agent", "--detach"}, flags...)...)
	m.t.Cleanup(func() { m.fob("", "agent", "stop") })
}

// runtimePath is a path in the machine's folder for sockets.
func (m *machine) runtimePath(name string) string {
	m.t.Helper()
	for _, variable := range m.env {
		if dir, ok := strings.CutPrefix(variable, "XDG_RUNTIME_DIR="); ok {
			return filepath.Join(dir, "fob", name)
		}
	}
	m.t.Fatal("the machine has no folder for sockets")
	return ""
}

// sshd is a real one on loopback, for the user who runs the tests.
type sshd struct {
	t    *testing.T
	dir  string
	port int
}

func startSSHD(t *testing.T) *sshd {
	t.Helper()
	s := &sshd{t: t, dir: t.TempDir(), port: freePort(t)}
	for _, key := range []string{"host", "user"} {
		m := &machine{t: t, env: os.Environ()}
		if out, err := m.command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(s.dir, key)).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil && os.Geteuid() == 0 {
		t.Fatal(err) // sshd of root wants an empty folder
	}
	config := filepath.Join(s.dir, "config")
	text := fmt.Sprintf("ListenAddress 127.0.0.1\nPort %d\nHostKey %s/host\nAuthorizedKeysFile %s/user.pub\nStrictModes no\nUsePAM no\nPidFile none\nPasswordAuthentication no\nPermitRootLogin yes\n",
		s.port, s.dir, s.dir)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	startDaemon(t, os.Environ(), "/usr/sbin/sshd", "-D", "-e", "-f", config)
	eventually(t, func() error {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.port))
		if err == nil {
			_ = conn.Close()
		}
		return err
	})
	return s
}

// run runs a command on the other machine, which has nothing but a socket that ends at
// another here.
func (s *sshd) run(m *machine, socket, command string) result {
	s.t.Helper()
	elsewhere, home := filepath.Join(runtimeDir(s.t), "fob.sock"), s.t.TempDir()
	local := *m
	local.program = []string{"ssh", "-F", "none", "-o", "UserKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=no", "-o", "LogLevel=ERROR",
		"-o", "ExitOnForwardFailure=yes", "-o", "IdentitiesOnly=yes", "-i", filepath.Join(s.dir, "user"), "-p", fmt.Sprint(s.port),
		"-R", elsewhere + ":" + socket, "127.0.0.1"}
	return local.fob("", fmt.Sprintf("env -i PATH=%s HOME=%s GORACE=atexit_sleep_ms=0 FOB_AGENT=%s %s", os.Getenv("PATH"), home, elsewhere, command))
}

func TestAgentOverSSH(t *testing.T) {
	t.Parallel()
	i := startIssuer(t)
	m := newMachineAt(t, sealed...)
	m.loginAt(i)
	token := m.ok("token", "work")
	m.startAgent()
	forward := m.fobCommand("agent", "forward", "--profile", "work")
	told := filepath.Join(t.TempDir(), "told")
	log, err := os.Create(told)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	forward.Stderr = log
	if err := forward.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = forward.Process.Signal(os.Interrupt)
		if err := forward.Wait(); err != nil {
			t.Errorf("the forwarding ended with %v", err)
		}
	}()
	socket := m.runtimePath("forward.sock")
	eventually(t, func() error {
		_, err := os.Lstat(socket)
		return err
	})
	s := startSSHD(t)
	if r := s.run(m, socket, fob+" token work"); r.stdout != token || r.status != 0 {
		t.Errorf("%d %q\n%s", r.status, r.stdout, r.stderr)
	}
	for command, says := range map[string]string{
		fob + " token other":                "is not forwarded",
		fob + " token work --id-token":      "only access tokens",
		fob + " token work --force-refresh": "does not refresh tokens early",
		fob + " agent lock":                 "only access tokens",
	} {
		if r := s.run(m, socket, command); r.status != 8 || r.stdout != "" || !strings.Contains(r.stderr, says) {
			t.Errorf("%s: %d %q\n%s", command, r.status, r.stdout, r.stderr)
		}
	}
	m.ok("agent", "lock")
	if r := s.run(m, socket, fob+" token work"); r.status != 1 || r.stdout != "" || !strings.Contains(r.stderr, "the remote agent failed") {
		t.Errorf("locked: %d %q\n%s", r.status, r.stdout, r.stderr)
	}
	if n := i.count("token/refresh"); n != 0 {
		t.Errorf("%d refreshes, and none was due", n)
	}
	if text := readText(t, told); !strings.Contains(text, "work: provided a token.") || !strings.Contains(text, "refused: the profile is not forwarded") || strings.Contains(text, strings.TrimSpace(token)) {
		t.Errorf("where the login is, one reads\n%s", text)
	}
}

// A passphrase is typed once, for the agent, and again when it was locked; each token for
// another machine is agreed to in the terminal.
func TestAgentAndAPerson(t *testing.T) {
	t.Parallel()
	const passphrase = "correct horse battery"
	i := startIssuer(t)
	m := newMachineAt(t, "FOB_STORAGE=file")
	typed := filepath.Join(t.TempDir(), "passphrase")
	if err := os.WriteFile(typed, []byte(passphrase), 0o600); err != nil {
		t.Fatal(err)
	}
	first := *m
	first.env = append(first.env, "FOB_PASSPHRASE_FILE="+typed)
	first.loginAt(i)
	token := first.ok("token", "work")
	if r := m.fob("", "token", "work"); r.status != 2 || !strings.Contains(r.stderr, "not a terminal") {
		t.Fatalf("without the passphrase: %d\n%s", r.status, r.stderr)
	}

	start := m.inTerminal(100, 10, fob, "agent", "--detach")
	t.Cleanup(func() { m.fob("", "agent", "stop") })
	start.find("Passphrase of fob's storage:")
	start.tmux("send-keys", passphrase, "Enter")
	if status := start.status(); status != 0 || strings.Contains(start.shown(), passphrase) || !strings.Contains(start.shown(), "The agent is unlocked.") {
		t.Fatalf("%d\n%s", status, start.shown())
	}
	if got := m.ok("token", "work"); got != token {
		t.Errorf("%q by the agent", got)
	}
	m.ok("agent", "lock")
	if r := m.fob("", "token", "work"); r.status != 2 {
		t.Errorf("locked: %d\n%s", r.status, r.stderr)
	}
	unlock := m.inTerminal(100, 10, fob, "agent", "unlock")
	unlock.find("Passphrase of fob's storage:")
	unlock.tmux("send-keys", "wrong horse battery", "Enter")
	if status := unlock.status(); status != 6 {
		t.Errorf("a wrong passphrase: %d\n%s", status, unlock.shown())
	}
	unlock = m.inTerminal(100, 10, fob, "agent", "unlock")
	unlock.find("Passphrase of fob's storage:")
	unlock.tmux("send-keys", passphrase, "Enter")
	if status := unlock.status(); status != 0 {
		t.Errorf("%d\n%s", status, unlock.shown())
	}
	m.agreesToEach(token)
}

// agreesToEach has a person answer what another machine asks for.
func (m *machine) agreesToEach(token string) {
	t := m.t
	t.Helper()
	forward := m.inTerminal(100, 12, fob, "agent", "forward", "--profile", "work", "--confirm")
	forward.find("Providing tokens of")
	there := newMachine(t, "FOB_AGENT="+m.runtimePath("forward.sock"))
	for n, answer := range []struct {
		keys   string
		status int
	}{{"y", 0}, {"n", 8}, {"yes", 0}, {"", 8}} {
		asked := make(chan result, 1)
		go func() { asked <- there.fob("", "token", "work") }()
		forward.find(fmt.Sprintf(`(?s)(?:Allow it\? \[y/N\].*){%d}`, n+1))
		<-time.After(500 * time.Millisecond) // an answer within 300 ms of its question counts as typed before it
		forward.tmux("send-keys", answer.keys, "Enter")
		r := <-asked
		if r.status != answer.status || (r.stdout == token) != (answer.status == 0) {
			t.Errorf("%q: %d %q\n%s", answer.keys, r.status, r.stdout, r.stderr)
		}
		forward.find(fmt.Sprintf(`(?s)(?:(?:provided a token|not confirmed).*){%d}`, n+1))
	}
}
