package e2e

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const (
	wineLoader = "/usr/lib/wine/wine64" // neither is in Debian's PATH
	wineServer = "/usr/lib/wine/wineserver64"

	// maxItem is what fob puts into one item of the Credential Manager, which
	// takes 2,560 bytes.
	maxItem = 2000
)

// wine is a Windows of its own, with fob's Windows program in it.
type wine struct {
	*machine
	prefix, credmanPath string
}

func startWine(t *testing.T) *wine {
	t.Helper()
	w := &wine{machine: newMachine(t), prefix: filepath.Join(t.TempDir(), "prefix")}
	w.env = append(w.env, "WINEPREFIX="+w.prefix, "WINEDEBUG=-all", "WINEDLLOVERRIDES=mscoree,mshtml,winemenubuilder.exe=", "TMPDIR="+runtimeDir(t))
	if err := os.Mkdir(w.prefix, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.must(wineServer, "-k") })
	// What Wine starts now lives as long as the server, and must hold no pipe of ours.
	w.must(wineServer, "-p")
	w.must(wineLoader, "wineboot", "-i")

	prng := filepath.Join(w.prefix, "drive_c", "windows", "system32", "bcryptprimitives.dll")
	if _, err := os.Stat(prng); errors.Is(err, os.ErrNotExist) {
		w.must("x86_64-w64-mingw32-gcc", "-shared", "-o", prng, "wine/processprng.c", "-ladvapi32")
	}
	w.credmanPath = filepath.Join(w.home, "credman.exe")
	w.must("x86_64-w64-mingw32-gcc", "-o", w.credmanPath, "wine/credman.c", "-ladvapi32")
	w.program = []string{wineLoader, buildWindows(t, w.home)}
	return w
}

func buildWindows(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "fob.exe")
	build := exec.Command("go", "build", "-o", path, ".")
	build.Dir = filepath.Join("..", "..")
	build.Env = append(os.Environ(), "GOOS=windows", "GOARCH=amd64", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// must runs a command and keeps nothing of what it prints.
func (w *wine) must(args ...string) {
	w.t.Helper()
	if err := w.command(args...).Run(); err != nil {
		w.t.Fatalf("%v: %v", args, err)
	}
}

// fob runs it again where Wine 8 ended it, as it does with any program about once
// in a thousand runs: status 1, and not a word. fob never fails in silence.
func (w *wine) fob(stdin string, args ...string) result {
	w.t.Helper()
	r := w.machine.fob(stdin, args...)
	for range 2 {
		if r.status != 1 || r.stdout+r.stderr != "" {
			break
		}
		w.t.Logf("Wine ended fob %v", args)
		r = w.machine.fob(stdin, args...)
	}
	return r
}

func (w *wine) ok(args ...string) string {
	w.t.Helper()
	r := w.fob("", args...)
	if r.status != 0 {
		w.t.Fatalf("fob %v: exit status %d\n%s", args, r.status, r.stderr)
	}
	return r.stdout
}

// credman runs that program, likewise, and returns what it prints.
func (w *wine) credman(arg string) string {
	w.t.Helper()
	var out []byte
	err := errors.New("not run")
	for try := 0; err != nil && try < 3; try++ {
		out, err = w.command(wineLoader, w.credmanPath, arg).Output()
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() != 1 {
			break
		}
	}
	if err != nil {
		w.t.Fatalf("credman %s: %v", arg, err)
	}
	return string(out)
}

// install is another FOB_HOME on the same Windows.
func (w *wine) install(t *testing.T, name string) *wine {
	m := *w.machine
	m.t, m.home = t, filepath.Join(w.prefix, "drive_c", name)
	m.env = append(slices.Clone(m.env), `FOB_HOME=C:\`+name, "FOB_STORAGE=keyring")
	return &wine{&m, w.prefix, w.credmanPath}
}

// checkItems fails if an item of the Credential Manager is not fob's, too long, or
// shows a token. It returns how many there are.
func (w *wine) checkItems(tokens []string) int {
	w.t.Helper()
	items, count := w.credman("list"), 0
	for line := range strings.Lines(items) {
		count++
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\r\n"), "\t")
		if !strings.HasPrefix(name, "fob:") || value == "" || len(value) > maxItem {
			w.t.Errorf("the item %q has %d characters", name, len(value))
		}
	}
	w.noneInTheClear(tokens, items)
	return count
}

func (w *wine) noneLeft() {
	w.t.Helper()
	if items := w.credman("list"); items != "" {
		w.t.Errorf("the Credential Manager still holds\n%s", items)
	}
	if r := w.fob("", "token", "work"); r.status != 4 || r.stdout != "" {
		w.t.Errorf("token after logout: %d\n%s", r.status, r.stderr)
	}
}

// One Windows serves all of these: it takes seconds to install.
func TestE45Windows(t *testing.T) {
	t.Parallel()
	w := startWine(t)
	t.Run("story", func(t *testing.T) { windowsStory(t, w.install(t, "story")) })
	t.Run("E45 large record", func(t *testing.T) { windowsLargeRecord(t, w.install(t, "large")) })
	t.Run("E46 first run", func(t *testing.T) { windowsFirstRun(t, w.install(t, "race")) })
	t.Run("E41 no credentials in this logon", func(t *testing.T) { windowsNoCredentials(t, w.install(t, "denied")) })
}

func windowsStory(t *testing.T, w *wine) {
	p := startProvider(t, 3600)
	in, typed := io.Pipe()
	target, end := startLogin(t, w.machine, p, in)
	back, err := browse(target)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(typed, back+"\r\n"); err != nil {
		t.Fatal(err)
	}
	_ = typed.Close()
	if r := end(); r.status != 0 || !strings.Contains(r.stderr, "Logged in to work as Ada Lovelace <ada@example.com>. The login is stored in the OS keyring.") {
		t.Fatalf("exit status %d\n%s", r.status, r.stderr)
	}

	first := strings.TrimSpace(w.ok("token", "work"))
	if !p.active(first) || p.count("refresh_token") != 0 {
		t.Error("the cached token is not the one of the login")
	}
	second := strings.TrimSpace(w.ok("token", "work", "--force-refresh"))
	if second == first || !p.active(second) || p.count("refresh_token") != 1 {
		t.Errorf("after a refresh: same token %v, %d refreshes", second == first, p.count("refresh_token"))
	}
	w.readAndRefreshAtOnce()
	var status struct{ State, Storage string }
	if err := json.Unmarshal([]byte(w.ok("status", "work", "--json")), &status); err != nil || status.State != "valid" || status.Storage != "keyring" {
		t.Errorf("status %+v, %v", status, err)
	}
	if n := w.checkItems(p.tokens()); n != 1 {
		t.Errorf("%d items of a small login", n)
	}

	if r := w.fob("", "logout", "work"); r.status != 0 || !strings.Contains(r.stderr, "refresh token revoked") || p.active(second) {
		t.Errorf("logout: %d\n%s", r.status, r.stderr)
	}
	w.noneLeft()
}

// readAndRefreshAtOnce lets readers and writers of the same files meet.
func (w *wine) readAndRefreshAtOnce() {
	w.t.Helper()
	var wg sync.WaitGroup
	for i := range 12 {
		args := []string{"token", "work", "--force-refresh"}[:2+i%2]
		wg.Go(func() {
			if r := w.fob("", args...); r.status != 0 || strings.Contains(r.stderr, "warning:") {
				w.t.Errorf("%v beside others: exit status %d\n%s", args, r.status, r.stderr)
			}
		})
	}
	wg.Wait()
}

// tokenIssuer is a token endpoint whose refresh tokens have the wanted length and
// are good for one use.
type tokenIssuer struct {
	url string

	mu     sync.Mutex // guards what follows
	length int
	good   map[string]bool
	given  []string
}

func startTokenIssuer(t *testing.T, length int) *tokenIssuer {
	t.Helper()
	issuer := &tokenIssuer{length: length, good: map[string]bool{}}
	server := httptest.NewServer(issuer)
	t.Cleanup(server.Close)
	issuer.url = server.URL
	return issuer
}

func (s *tokenIssuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	token := r.PostFormValue("refresh_token")
	switch {
	case r.URL.Path == "/revoke":
		delete(s.good, r.PostFormValue("token"))
	case !s.good[token]:
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"error":"invalid_grant"}`)
	default:
		delete(s.good, token)
		_, _ = io.WriteString(w, s.response())
	}
}

// response is a token response. The caller holds the lock.
func (s *tokenIssuer) response() string {
	random := make([]byte, s.length/2)
	_, _ = rand.Read(random)
	access, refresh := rand.Text(), hex.EncodeToString(random)
	s.good[refresh] = true
	s.given = append(s.given, access, refresh)
	return fmt.Sprintf(`{"access_token":%q,"token_type":"Bearer","expires_in":3600,"refresh_token":%q}`, access, refresh)
}

// grant is a token response that a user could bring to fob.
func (s *tokenIssuer) grant(length int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.length = length
	return s.response()
}

func (s *tokenIssuer) tokens() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.given)
}

func (s *tokenIssuer) login(profile string) []string {
	return []string{
		"login", profile, "--with-token", "--issuer", s.url, "--client-id", "fob",
		"--authorization-endpoint", s.url + "/authorize", "--token-endpoint", s.url + "/token", "--revocation-endpoint", s.url + "/revoke",
	}
}

// Some providers' refresh tokens are JWTs or carry groups: they are longer than
// what the Credential Manager takes.
func windowsLargeRecord(t *testing.T, w *wine) {
	s := startTokenIssuer(t, 6000)
	if r := w.fob(s.grant(6000), s.login("work")...); r.status != 0 {
		t.Fatalf("exit status %d\n%s", r.status, r.stderr)
	}
	if n := w.checkItems(s.tokens()); n < 4 {
		t.Errorf("%d items of a large login", n)
	}
	for range 2 { // the second one spends what the first one kept
		w.ok("token", "work", "--force-refresh")
	}
	w.checkItems(s.tokens())
	s.grant(60)
	w.ok("token", "work", "--force-refresh")
	w.ok("logout", "work")
	w.noneLeft()
}

// The first of many processes decides on the install's id and key.
func windowsFirstRun(t *testing.T, w *wine) {
	s := startTokenIssuer(t, 60)
	profiles := []string{"p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7"}
	var wg sync.WaitGroup
	for _, profile := range profiles {
		wg.Go(func() {
			if r := w.fob(s.grant(60), s.login(profile)...); r.status != 0 {
				t.Errorf("login %s: %d\n%s", profile, r.status, r.stderr)
			}
		})
	}
	wg.Wait()
	if n := w.checkItems(s.tokens()); n != len(profiles) {
		t.Errorf("%d items of %d logins", n, len(profiles))
	}
	for _, profile := range profiles {
		w.ok("token", profile, "--force-refresh")
		w.ok("logout", profile)
	}
	left, err := filepath.Glob(filepath.Join(w.home, "data", ".*"))
	if err != nil || len(left) > 0 {
		t.Errorf("temporary files are left: %v, %v", left, err)
	}
}

// A logon over the network has no credentials, and a policy can forbid them.
func windowsNoCredentials(t *testing.T, w *wine) {
	s := startTokenIssuer(t, 60)
	if r := w.fob(s.grant(60), s.login("work")...); r.status != 0 {
		t.Fatalf("exit status %d\n%s", r.status, r.stderr)
	}
	asked := len(s.tokens())
	w.credman("deny")
	for _, args := range [][]string{{"token", "work"}, {"token", "work", "--force-refresh"}, {"logout", "work"}, s.login("other")} {
		r := w.fob(`{"access_token":"x"}`, args...)
		if r.status != 6 || r.stdout != "" || !strings.Contains(r.stderr, "there is no OS keyring here") || !strings.Contains(r.stderr, "hint: ") {
			t.Errorf("%v: exit status %d, %q\n%s", args, r.status, r.stdout, r.stderr)
		}
	}
	if len(s.tokens()) != asked {
		t.Error("the server was asked without a login in hand")
	}
}

// Wine keeps an access list as a Unix mode: what the list allows the user and everybody.
// Other accounts, inheritance and protection are lost, so those are tested on lists in
// memory only (internal/atomicfile).
func TestI77_WindowsFiles(t *testing.T) {
	t.Parallel()
	w := startWine(t)
	t.Run("access lists", func(t *testing.T) {
		tests := filepath.Join(w.home, "atomicfile.exe")
		build := exec.Command("go", "test", "-c", "-o", tests, "./internal/atomicfile")
		build.Dir = filepath.Join("..", "..")
		build.Env = append(os.Environ(), "GOOS=windows", "GOARCH=amd64", "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		out, err := w.command(wineLoader, tests, "-test.v", "-test.run", "I74|I77").CombinedOutput()
		if err != nil || strings.Count(string(out), "--- PASS: TestI7") < 6 || strings.Contains(string(out), "SKIP") {
			t.Errorf("%v\n%s", err, out)
		}
	})
	t.Run("what fob creates", func(t *testing.T) { windowsPrivateFiles(t, w.install(t, "private")) })
	t.Run("what others opened", func(t *testing.T) { windowsLooseFiles(t, w.install(t, "loose")) })
	t.Run("I74 what others can write", func(t *testing.T) { windowsOthersConfiguration(t, w.install(t, "written")) })
}

// fill makes fob create each kind of file: configuration, locks, records, cache, registry.
func (w *wine) fill(t *testing.T) {
	t.Helper()
	s := startTokenIssuer(t, 60)
	if r := w.fob(s.grant(60), s.login("work")...); r.status != 0 {
		t.Fatalf("exit status %d\n%s", r.status, r.stderr)
	}
	w.ok("token", "work", "--force-refresh")
	key := w.ok("key", "create", "--owner", "shop", "--env", "live", "--note", "a test")
	if r := w.fob(key, "key", "verify"); r.status != 0 {
		t.Fatalf("exit status %d\n%s", r.status, r.stderr)
	}
}

func windowsPrivateFiles(t *testing.T, w *wine) {
	w.fill(t)
	names := map[string]bool{}
	err := filepath.WalkDir(w.home, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Mode().Perm()&0o007 != 0 { // the group stands for administrators
			t.Errorf("%s has the mode %o", path, info.Mode().Perm())
		}
		name := filepath.Base(path)
		if strings.HasPrefix(name, "key-uses-") { // the registry's id follows
			name = "key-uses"
		}
		names[name] = true
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"private", "data", "cache", "config.toml", "seal.key", "id", "registry.db", "locks", "tokens", "key-uses"} {
		if !names[want] {
			t.Errorf("there is no %s in %v", want, names)
		}
	}
}

func windowsLooseFiles(t *testing.T, w *wine) {
	w.fill(t)
	data := filepath.Join(w.home, "data")
	for _, test := range []struct {
		path string
		mode fs.FileMode
		args []string
	}{
		{filepath.Join(data, "seal.key"), 0o644, []string{"token", "work", "--force-refresh"}},
		{filepath.Join(data, "seal.key"), 0o602, []string{"token", "work", "--force-refresh"}},
		{filepath.Join(data, "registry.db"), 0o644, []string{"key", "list"}},
		{data, 0o755, []string{"key", "list"}},
		{data, 0o777, []string{"key", "list"}},
	} {
		before, err := os.Stat(test.path)
		if err != nil {
			t.Fatal(err)
		}
		w.ok(test.args...)
		if err := os.Chmod(test.path, test.mode); err != nil {
			t.Fatal(err)
		}
		r := w.fob("", test.args...)
		if r.status != 6 || r.stdout != "" || !strings.Contains(r.stderr, "is open to others (S-1-1-0)") || !strings.Contains(r.stderr, `icacls "C:\loose\data`) {
			t.Errorf("%s with the mode %o: exit status %d, %q\n%s", test.path, test.mode, r.status, r.stdout, r.stderr)
		}
		if r := w.fob("", "doctor"); !strings.Contains(r.stderr+r.stdout, `fix: run 'icacls "C:\loose\data`) {
			t.Errorf("doctor with %s: %s%s", test.path, r.stdout, r.stderr)
		}
		if err := os.Chmod(test.path, before.Mode().Perm()); err != nil {
			t.Fatal(err)
		}
	}
}

func windowsOthersConfiguration(t *testing.T, w *wine) {
	w.fill(t)
	project := filepath.Join(w.home, ".fob.toml")
	if err := os.WriteFile(project, []byte("profile = \"work\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	status := func() (int, string) {
		var out []byte
		cmd := w.fobCommand("status")
		for try := 0; try < 3 && len(out) == 0; try++ { // see wine.fob
			cmd = w.fobCommand("status")
			cmd.Dir = w.home
			out, _ = cmd.CombinedOutput()
		}
		return cmd.ProcessState.ExitCode(), string(out)
	}
	for _, test := range []struct {
		path   string
		mode   fs.FileMode
		status int
		says   string
	}{
		{filepath.Join(w.home, "config.toml"), 0o644, 0, ""},
		{filepath.Join(w.home, "config.toml"), 0o646, 2, `C:\written\config.toml can be written by others (S-1-1-0)`},
		{w.home, 0o755, 0, ""},
		{w.home, 0o757, 2, `C:\written can be written by others (S-1-1-0)`},
		{project, 0o646, 0, `skipping .fob.toml: C:\written\.fob.toml can be written by others (S-1-1-0)`},
	} {
		before, err := os.Stat(test.path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(test.path, test.mode); err != nil {
			t.Fatal(err)
		}
		code, out := status()
		if code != test.status || !strings.Contains(out, test.says) || test.says == "" && strings.Contains(out, "others") ||
			code == 2 && !strings.Contains(out, `icacls "C:\written`) {
			t.Errorf("%s with the mode %o: exit status %d\n%s", test.path, test.mode, code, out)
		}
		if err := os.Chmod(test.path, before.Mode().Perm()); err != nil {
			t.Fatal(err)
		}
	}
}
