package scripttest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fobcli/fob/internal/authservertest"
)

// peeked are the files of a process in /proc that hold its secrets.
var peeked = []string{"environ", "mem", "maps", "fd", "auxv"}

// peek PID NAME writes to the file NAME in $PEEKS what the process is called, which of
// its files in /proc this program can read, and whether the children of this one, which is
// undumpable like fob, are ordinary processes.
func peek() {
	pid, name := os.Args[1], os.Args[2]
	comm, _ := os.ReadFile("/proc/" + pid + "/comm")
	report := string(comm)
	for _, file := range peeked {
		if f, err := os.Open("/proc/" + pid + "/" + file); err == nil {
			report += file + "\n"
			f.Close()
		}
	}
	if exec.Command("sh", "-c", "test -s /proc/$$/exe && cat /proc/$$/environ | grep -q PEEKS").Run() == nil {
		report += "ordinary\n"
	}
	if err := os.WriteFile(filepath.Join(os.Getenv("PEEKS"), name), []byte(report), 0o600); err != nil {
		panic(err)
	}
}

// peeker is a user without privileges, whose fob has secrets in its environment.
type peeker struct {
	t      *testing.T
	server *authservertest.Server
	dir    string
	key    string // of the seal
	env    []string
	attr   *syscall.SysProcAttr
}

const peekScript = `#!/bin/sh
peek $PPID "$1"
shift
test $# = 0 || exec "$@"
`

func newPeeker(t *testing.T) *peeker {
	dir, err := os.MkdirTemp("", "peek") // where others may pass, and short enough for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	server, err := authservertest.Start(authservertest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	raw := make([]byte, 32)
	_, _ = rand.Read(raw)
	p := &peeker{t: t, server: server, dir: dir, key: hex.EncodeToString(raw)}
	p.env = []string{
		"PATH=" + dir + "/bin:/usr/bin:/bin", "HOME=" + dir, "PEEKS=" + dir + "/peeks", "GORACE=atexit_sleep_ms=0",
		"FOB_HOME=" + dir + "/home", "FOB_STORAGE=file", "FOB_SEAL_KEY=" + p.key, "FOB_TOKEN_OTHER=canary-token", "FOB_SECRET_OTHER=canary-secret",
		"FOB_REGISTRY=postgres://fob:canary-password@127.0.0.1/fob", "BROWSER=" + dir + "/bin/browser",
	}
	for _, name := range []string{"bin", "fake", "home", "peeks", "work"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	program(t)
	for _, name := range []string{"fob", "docker-credential-fob", "peek", "approve"} { // copies: root's own files must not change hands
		original, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(original)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/bin/"+name, content, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p.write("bin/peeks", peekScript)
	p.write("bin/browser", "#!/bin/sh\npeek $PPID browser\nexec approve \"$1\"\n")
	p.write("fake/git", "#!/bin/sh\npeek $PPID \"$PEEK_AS\"\nexit 1\n")
	if os.Getuid() == 0 {
		const somebody = 54321
		p.attr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: somebody, Gid: somebody}}
		chown := func(path string, _ fs.DirEntry, err error) error {
			return cmp.Or(err, os.Lchown(path, somebody, somebody))
		}
		if err := filepath.WalkDir(dir, chown); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func (p *peeker) write(name, text string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if p.attr != nil {
		if err := os.Lchown(filepath.Join(p.dir, name), int(p.attr.Credential.Uid), int(p.attr.Credential.Gid)); err != nil {
			p.t.Fatal(err)
		}
	}
}

// command is a program of the user's; env is added.
func (p *peeker) command(env []string, argv ...string) *exec.Cmd {
	path, err := lookPath(p.dir+"/bin:/usr/bin:/bin", argv[0])
	if err != nil {
		p.t.Fatal(err)
	}
	c := exec.CommandContext(p.t.Context(), path, argv[1:]...)
	c.Args[0], c.Dir, c.Env, c.SysProcAttr = argv[0], p.dir+"/work", slices.Concat(p.env, env), p.attr
	return c
}

func (p *peeker) run(env []string, stdin string, argv ...string) string {
	p.t.Helper()
	c := p.command(env, argv...)
	c.Stdin = strings.NewReader(stdin)
	out, err := c.CombinedOutput()
	if err != nil {
		p.t.Fatalf("%q: %v\n%s", argv, err, out)
	}
	return string(out)
}

func (p *peeker) report(name string) string {
	text, err := os.ReadFile(filepath.Join(p.dir, "peeks", name))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// TestI66_ChildrenReadNothingOfFob has every kind of child look at the fob that started it.
func TestI66_ChildrenReadNothingOfFob(t *testing.T) {
	p := newPeeker(t)
	p.run(nil, "", "sh", "-c", "peek $$ control; :") // the kernel shows an ordinary process to this user
	if want := "sh\n" + strings.Join(peeked, "\n") + "\nordinary\n"; p.report("control") != want {
		t.Fatalf("peek sees %q of an ordinary process", p.report("control"))
	}
	issuer := p.server.Issuer()
	p.run(nil, "", "fob", "login", "work", "--issuer", issuer, "--client-id", "fob-test")
	p.run(nil, "", "fob", "login", "ci", "--issuer", issuer, "--client-id", "fob-ci", "--grant", "token-exchange", "--identity", "command")
	config, err := os.ReadFile(p.dir + "/home/config.toml")
	if err != nil {
		t.Fatal(err)
	}
	command := func(name string, argv ...string) string {
		line, _ := json.Marshal(append([]string{p.dir + "/bin/peeks", name}, argv...))
		return string(line)
	}
	text := strings.Replace(string(config), "identity = \"command\"\n", "identity = \"command\"\nidentity_command = "+command("identity", "echo", p.server.IdentityToken(issuer))+"\n", 1)
	p.write("home/config.toml", text+"\n[commands]\nkeep = "+command("destination", "cat")+"\nmint = "+command("rotation", "echo", "new")+"\n")

	p.run(nil, "", "fob", "token", "ci")
	p.run(nil, "", "fob", "exec", "--mask", "--env", "T=token/work", "--", "peeks", "exec")
	p.run(nil, "", "fob", "proxy", "work", "--allow", issuer, "--", "peeks", "proxy")
	p.run(nil, "old", "fob", "secret", "set", "shop", "--to", "exec:keep", "--rotate-with", "mint")
	p.run(nil, "", "fob", "secret", "rotate", "shop", "--yes")
	p.write("passphrase.toml", "passphrase_command = "+command("passphrase", "echo", "a long passphrase of some words")+"\n")
	p.run([]string{"FOB_HOME=" + p.dir + "/work/other", "FOB_SEAL_KEY=", "FOB_CONFIG=" + p.dir + "/passphrase.toml"}, "value", "fob", "secret", "set", "shop")
	for name, argv := range map[string][]string{"scan": {"fob", "scan", "--git"}, "helper": {"fob", "helper", "uninstall", "git"}} {
		_ = p.command([]string{"PATH=" + p.dir + "/fake:" + p.dir + "/bin:/usr/bin:/bin", "PEEK_AS=" + name}, argv...).Run() // that git fails
	}
	p.run(nil, "", "fob", "agent", "--detach")
	var status struct{ PID int }
	if err := json.Unmarshal([]byte(p.run(nil, "", "fob", "agent", "status", "--json")), &status); err != nil || status.PID == 0 {
		t.Fatalf("the agent's process is %d: %v", status.PID, err)
	}
	p.run(nil, "", "peek", fmt.Sprint(status.PID), "agent")
	p.run(nil, "", "fob", "agent", "stop")

	for _, name := range []string{"browser", "identity", "exec", "proxy", "destination", "rotation", "passphrase", "scan", "helper", "agent"} {
		if got := p.report(name); got != "fob\nordinary\n" {
			t.Errorf("%s sees %q", name, got)
		}
	}
}

// Until then a program of the same user can read the environment, and open the memory.
func TestI66_UndumpableBeforeOtherPackages(t *testing.T) {
	fob := exec.Cmd{Path: program(t), Args: []string{"fob", "version"}, Env: []string{"GODEBUG=inittrace=1", "HOME=" + t.TempDir()}}
	trace, err := fob.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, trace)
	}
	before, after, found := strings.Cut(string(trace), "init github.com/fobcli/fob/internal/process/early @")
	if n := strings.Count(before, "init "); !found || n > 20 || !strings.Contains(after, "\ninit os @") {
		t.Errorf("it is undumpable only after %d packages:\n%s", n, trace)
	}
}

// What fob's own packages initialize costs every start.
func TestPackagesInitializeNothing(t *testing.T) {
	fob := exec.Cmd{Path: program(t), Args: []string{"fob", "version"}, Env: []string{"GODEBUG=inittrace=1", "HOME=" + t.TempDir()}}
	trace, err := fob.CombinedOutput()
	if err != nil || !strings.Contains(string(trace), "\ninit ") {
		t.Fatalf("%v\n%s", err, trace)
	}
	for line := range strings.Lines(string(trace)) {
		path, own := strings.CutPrefix(line, "init github.com/fobcli/fob/")
		if path, _, _ = strings.Cut(path, " "); !own || path == "internal/process/early" {
			continue
		}
		if path != "internal/oauth" || !strings.Contains(line, " 0 allocs") { // which copies errors of httpclient
			t.Error(line)
		}
	}
}

// Also under the name by which docker calls it, with nothing started yet.
func TestI66_DockersHelperIsClosed(t *testing.T) {
	p := newPeeker(t)
	helper := p.command(nil, "docker-credential-fob", "get")
	stdin, err := helper.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := helper.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { stdin.Close(); _ = helper.Wait() }()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for closed := false; !closed; { // it reaches main soon
		p.run(nil, "", "peek", fmt.Sprint(helper.Process.Pid), "docker")
		closed = p.report("docker") == "docker-credenti\nordinary\n"
		if ctx.Err() != nil {
			t.Fatalf("docker sees %q", p.report("docker"))
		}
	}
}

// TestI67_NoCoreFile ends fob as a crash would, where a core file is allowed.
func TestI67_NoCoreFile(t *testing.T) {
	p := newPeeker(t)
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &before); err != nil {
		t.Fatal(err)
	}
	allowed := unix.Rlimit{Cur: before.Max, Max: before.Max}
	if os.Getuid() == 0 {
		allowed = unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &allowed); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Setrlimit(unix.RLIMIT_CORE, &before) })

	control := p.command(nil, "sh", "-c", "kill -ABRT $$")
	if _, dumped := aborted(t, control, started(t, control)); !dumped {
		t.Fatal("an ordinary process that is aborted dumps no core here: see 'ulimit -c' and core_pattern in core(5)")
	}
	cores, err := filepath.Glob(p.dir + "/work/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, core := range cores {
		_ = os.Remove(core)
	}

	issuer := p.server.Issuer()
	p.run(nil, "", "fob", "login", "work", "--issuer", issuer, "--client-id", "fob-test")
	crash := []string{"GOTRACEBACK=crash"}
	proxy := p.command(crash, "fob", "proxy", "work", "--allow", issuer, "--", "sh", "-c", "kill -ABRT $PPID")
	p.checkCrash(proxy, started(t, proxy))

	agent := p.command(crash, "fob", "agent")
	said := started(t, agent)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	pause := time.NewTicker(100 * time.Millisecond)
	defer pause.Stop()
	for p.command(nil, "fob", "agent", "status").Run() != nil {
		select {
		case <-pause.C:
		case <-ctx.Done():
			t.Fatal("the agent does not answer")
		}
	}
	p.run(nil, "", "fob", "token", "work")
	if err := agent.Process.Signal(syscall.SIGABRT); err != nil {
		t.Fatal(err)
	}
	p.checkCrash(agent, said)
}

// started starts a program, and returns where its output goes until it has ended.
func started(t *testing.T, c *exec.Cmd) *bytes.Buffer {
	t.Helper()
	var said bytes.Buffer
	c.Stdout, c.Stderr = &said, &said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return &said
}

// aborted waits for a program that is ended by SIGABRT, and returns what it printed and
// whether it left a core.
func aborted(t *testing.T, c *exec.Cmd, said *bytes.Buffer) (text string, dumped bool) {
	t.Helper()
	err := c.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("%q: %v\n%s", c.Args, err, said)
	}
	status := exit.Sys().(syscall.WaitStatus)
	if !status.Signaled() || status.Signal() != syscall.SIGABRT {
		t.Fatalf("%q: %v\n%s", c.Args, err, said)
	}
	return said.String(), status.CoreDump()
}

func (p *peeker) checkCrash(c *exec.Cmd, out *bytes.Buffer) {
	p.t.Helper()
	name := c.Args[1]
	said, dumped := aborted(p.t, c, out)
	if files, _ := os.ReadDir(p.dir + "/work"); dumped || len(files) > 0 {
		p.t.Errorf("%s: it dumped its core: %v, %v", name, dumped, files)
	}
	if !strings.Contains(said, "SIGABRT: abort") || !strings.Contains(said, "goroutine ") {
		p.t.Errorf("%s: no traceback: %s", name, said)
	}
	raw, _ := hex.DecodeString(p.key)
	secrets := append(p.server.IssuedTokens(), p.key, "canary-", fmt.Sprintf("%#x, %#x, %#x", raw[0], raw[1], raw[2]))
	for _, secret := range secrets {
		if strings.Contains(said, secret) {
			p.t.Errorf("%s: the traceback holds %s", name, secret)
		}
	}
}
