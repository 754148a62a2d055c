package e2e

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.yaml.in/yaml/v4"
)

// dist is a folder that goreleaser has filled, in `make release-snapshot`; else the
// tests make the one package that they look at.
var dist = os.Getenv("FOB_DIST")

const packageVersion = "1.2.3"

// packageOf is a package (deb, rpm, apk) for this machine: goreleaser's, or one that its
// packager makes of the same settings.
func packageOf(t *testing.T, kind string) string {
	t.Helper()
	if dist != "" {
		found, err := filepath.Glob(filepath.Join(dist, "*_"+runtime.GOARCH+"."+kind))
		if err != nil || len(found) != 1 {
			t.Fatal(found, err)
		}
		return found[0]
	}
	packages.Lock()
	defer packages.Unlock()
	if packages.dir == "" {
		packages.dir = newPackageDir(t)
	}
	dir := packages.dir
	file := filepath.Join(dir, "fob."+kind)
	if _, err := os.Stat(file); err == nil {
		return file
	}
	settings := packageSettings(t)
	settings["contents"] = append(settings["contents"].([]any), map[string]any{"src": shipped, "dst": "/usr/bin/fob", "file_info": map[string]any{"mode": 0o755}})
	text, err := yaml.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "nfpm.yaml"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	gopath, err := exec.Command("go", "env", "GOPATH").Output()
	if err != nil {
		t.Fatal(err)
	}
	packager := exec.Command(filepath.Join(strings.TrimSpace(string(gopath)), "bin", "nfpm"), "package", "--packager", kind, "--target", "fob."+kind)
	packager.Dir = dir
	if out, err := packager.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return file
}

// packages are made once, in a folder that goes with the program that is packaged.
var packages struct {
	sync.Mutex
	dir string
}

// newPackageDir has what each package brings beside the program.
func newPackageDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(filepath.Dir(shipped), "packages")
	build(filepath.Join(dir, "release"), "./testdata/release", "-ldflags", "-X github.com/fobcli/fob/internal/app.release="+packageVersion)
	sh(t, []string{"SOURCE_DATE_EPOCH=1790000000"}, filepath.Join(dir, "release"), "share", filepath.Join(dir, "bin", "share"))
	license, err := filepath.Abs("../../LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(license, filepath.Join(dir, "LICENSE")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// packageSettings are those of .goreleaser.yaml, with what goreleaser itself adds.
func packageSettings(t *testing.T) map[string]any {
	t.Helper()
	var release struct{ NFPMs []map[string]any }
	text := strings.ReplaceAll(readText(t, "../../.goreleaser.yaml"), "{{ .CommitDate }}", "2026-09-21T14:13:20Z")
	if err := yaml.Unmarshal([]byte(text), &release); err != nil || len(release.NFPMs) != 1 {
		t.Fatal(err, len(release.NFPMs))
	}
	settings := release.NFPMs[0]
	delete(settings, "formats")
	settings["name"], settings["arch"], settings["platform"], settings["version"] = "fob", runtime.GOARCH, "linux", packageVersion
	return settings
}

func sh(t *testing.T, env []string, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", program, args, err, out)
	}
	return string(out)
}

// filesIn are the files below a folder, but for dpkg's own.
func filesIn(t *testing.T, root string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && path == filepath.Join(root, "var", "lib", "dpkg") {
			return filepath.SkipDir
		}
		if err == nil && !entry.IsDir() {
			files = append(files, strings.TrimPrefix(path, root))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestPackageComesAndGoes installs the .deb into an empty root, as whoever runs the
// tests: it has no scripts, and so needs nothing there.
func TestPackageComesAndGoes(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "var", "lib", "dpkg", "info"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"status", "available"} {
		if err := os.WriteFile(filepath.Join(root, "var", "lib", "dpkg", name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// A machine may leave out man pages (path-exclude); PATH is that of root.
	dpkg := func(args ...string) {
		t.Helper()
		sh(t, []string{"PATH=" + os.Getenv("PATH") + ":/usr/sbin:/sbin"}, "dpkg", append([]string{"--root=" + root, "--force-not-root", "--path-include=*"}, args...)...)
	}
	dpkg("--install", packageOf(t, "deb"))

	workInside(t, root)
	lookAtPages(t, root)
	m := completingMachine(t, root)
	completeInBash(m)
	completeInZsh(m, root)
	completeInFish(m)
	for _, path := range []string{"/usr/share/zsh/vendor-completions/_fob", "/usr/share/fish/vendor_completions.d/fob.fish", "/usr/share/fob/fob.ps1", "/usr/share/doc/fob/copyright"} {
		info, err := os.Stat(filepath.Join(root, path))
		if err != nil || info.Mode() != 0o644 {
			t.Errorf("%s: %v", path, err)
		}
	}

	dpkg("--purge", "fob")
	if left := filesIn(t, root); len(left) > 0 {
		t.Errorf("it has left %q", left)
	}
	if _, err := os.Lstat(filepath.Join(root, "usr", "share", "fob")); err == nil {
		t.Error("it has left a folder of its own")
	}
}

// TestPackagesHoldTheSame: what the .deb brings, the others bring too; zsh alone looks
// elsewhere on those systems.
func TestPackagesHoldTheSame(t *testing.T) {
	t.Parallel()
	list := map[string][]string{
		"deb": {"sh", "-c", `dpkg-deb --fsys-tarfile "$0" | tar -t`},
		"rpm": {"rpm", "--query", "--list", "--package"},
		"apk": {"tar", "--ignore-zeros", "-tzf"}, // three archives in one
	}
	held := make(map[string][]string)
	for kind, command := range list {
		for line := range strings.Lines(sh(t, nil, command[0], append(command[1:], packageOf(t, kind))...)) {
			path := strings.ReplaceAll(strings.TrimLeft(strings.TrimSpace(line), "./"), "vendor-completions", "site-functions")
			if strings.HasPrefix(path, "usr/") && !strings.HasSuffix(path, "/") {
				held[kind] = append(held[kind], path)
			}
		}
		slices.Sort(held[kind])
	}
	if n := len(held["deb"]); n < 65 || !slices.Contains(held["deb"], "usr/bin/fob") {
		t.Fatalf("the .deb holds %d files", n)
	}
	for _, kind := range []string{"rpm", "apk"} {
		if !slices.Equal(held[kind], held["deb"]) {
			t.Errorf("the .%s holds\n%q, the .deb\n%q", kind, held[kind], held["deb"])
		}
	}
}

// lookAtPages reads every man page, and one of them closely.
func lookAtPages(t *testing.T, root string) {
	t.Helper()
	manual := filepath.Join(root, "usr", "share", "man")
	pages, err := filepath.Glob(filepath.Join(manual, "man[17]", "fob*.gz"))
	if err != nil || len(pages) < 60 {
		t.Fatal(len(pages), err)
	}
	plain := []string{"LC_ALL=C.UTF-8", "MANWIDTH=80", "MANPAGER=cat", "MAN_KEEP_FORMATTING="}
	for _, page := range pages {
		cmd := exec.Command("man", "--warnings=w", "--local-file", page)
		var complaints bytes.Buffer
		cmd.Env, cmd.Stderr = append(os.Environ(), plain...), &complaints
		if out, err := cmd.Output(); err != nil || complaints.Len() > 0 || !strings.Contains(string(out), "NAME\n") {
			t.Errorf("%s: %v\n%s", filepath.Base(page), err, complaints.String())
		}
	}
	page := sh(t, plain, "man", "--manpath", manual, "fob-token")
	for _, want := range []string{"FOB-TOKEN(1)", "\n         fob token work --header | curl -H @- https://api.example.com/me\n", "EXIT STATUSES\n       0 done, 1 failed, 2 wrong usage, 4 login required,\n", "--min-ttl"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
}

// workInside runs what was installed where there is nothing else: no library, no
// certificate, no /proc. Whoever may not change the root runs it from outside.
func workInside(t *testing.T, root string) {
	t.Helper()
	home := t.TempDir()
	run := func(stdin string, args ...string) string {
		t.Helper()
		cmd := exec.Command(filepath.Join(root, "usr", "bin", "fob"), args...)
		cmd.Env = []string{"FOB_HOME=" + home}
		if os.Getuid() == 0 {
			cmd.Path, cmd.Dir, cmd.Env = "/usr/bin/fob", "/", []string{"FOB_HOME=/tmp/fob"}
			cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
		}
		cmd.Stdin = strings.NewReader(stdin)
		var complaints bytes.Buffer
		cmd.Stderr = &complaints
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("fob %q: %v\n%s", args, err, complaints.String())
		}
		return string(out)
	}
	if version := run("", "version"); !strings.HasPrefix(version, "fob ") {
		t.Errorf("it is %q", version)
	}
	if next := run(""); !strings.Contains(next, "next: fob login github") {
		t.Errorf("it says %q", next)
	}
	key := run("", "key", "create", "--owner", "shop")
	if verified := run(key, "key", "verify", "--json"); !strings.Contains(verified, `"owner": "shop"`) {
		t.Errorf("a key of its own is %s", verified)
	}
	if err := os.RemoveAll(filepath.Join(root, "tmp")); err != nil {
		t.Fatal(err)
	}
}

// completingMachine finds the program and its completions where the package has put them.
func completingMachine(t *testing.T, root string) *machine {
	t.Helper()
	home := t.TempDir()
	const config = "[profile.work]\nissuer = 'https://sso.example.com'\nclient_id = 'fob'\nscopes = ['orders:read']\n"
	if err := os.WriteFile(filepath.Join(home, "config.toml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return newMachine(t, "PATH="+filepath.Join(root, "usr", "bin")+":"+os.Getenv("PATH"), "TERM=xterm", "LC_ALL=C.UTF-8",
		"XDG_DATA_DIRS="+filepath.Join(root, "usr", "share"), "FOB_HOME="+home, "FOB_STORAGE=file")
}

// completed is what becomes of a line when Tab is pressed behind it.
var completed = []struct{ typed, becomes string }{
	{"fob logo", "fob logout "},
	{"fob token w", "fob token work "},
	{"fob token work --scope orders:", "fob token work --scope orders:read "},
	{"fob exec --env A=tok", "fob exec --env A=token/work "},
}

// completeInBash presses Tab in a real bash.
func completeInBash(m *machine) {
	m.t.Helper()
	rc := m.shellFile("bashrc", "PS1='READY '\n. /usr/share/bash-completion/bash_completion\n")
	m.pressTab(m.inTerminal(120, 30, "bash", "--noprofile", "--rcfile", rc, "-i"))
}

// completeInZsh presses Tab in a real zsh, which looks in the folders of fpath.
func completeInZsh(m *machine, root string) {
	m.t.Helper()
	rc := m.shellFile(".zshrc", "PS1='READY '\nfpath=("+filepath.Join(root, "usr/share/zsh/vendor-completions")+" $fpath)\nautoload -Uz compinit && compinit -u -D\n")
	m.env = append(m.env, "ZDOTDIR="+filepath.Dir(rc))
	m.pressTab(m.inTerminal(120, 30, "zsh", "-o", "no_global_rcs", "-i"))
}

// completeInFish asks a real fish, which tells what it would offer.
func completeInFish(m *machine) {
	m.t.Helper()
	for _, test := range completed {
		out, err := m.command("fish", "-c", "complete -C '"+test.typed+"'").Output()
		word := strings.Fields(test.becomes)
		if offered, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\t"); err != nil || offered != word[len(word)-1] {
			m.t.Errorf("fish makes %q of %q, %v", out, test.typed, err)
		}
	}
}

func (m *machine) shellFile(name, text string) (path string) {
	m.t.Helper()
	path = filepath.Join(m.t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		m.t.Fatal(err)
	}
	return path
}

func (m *machine) pressTab(shell *terminal) {
	m.t.Helper()
	shell.find("READY ")
	for _, test := range completed {
		shell.tmux("send-keys", "-l", test.typed+"\t#")
		shell.find("READY " + regexp.QuoteMeta(test.becomes) + "#")
		shell.tmux("send-keys", "C-u")
	}
	shell.tmux("send-keys", "-l", "exit\n")
	shell.status()
}

// TestReleaseHasABillOfMaterials: it is whole, and made again it is the same.
func TestReleaseHasABillOfMaterials(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program := filepath.Join(dir, "release")
	build(program, "./testdata/release")
	var bills [2]string
	for i := range bills {
		to := filepath.Join(dir, "bill.json")
		sh(t, []string{"SOURCE_DATE_EPOCH=1790000000", "FOB_VERSION=" + packageVersion}, program, "sbom", shipped, to)
		bills[i] = readText(t, to)
	}
	if bills[0] != bills[1] {
		t.Error("two bills of one program differ")
	}
	out := sh(t, nil, "go", "version", "-m", shipped)
	modules := regexp.MustCompile(`(?m)^\tdep\t(\S+)\t(\S+)`).FindAllStringSubmatch(out, -1)
	if len(modules) < 20 {
		t.Fatalf("%d modules:\n%s", len(modules), out)
	}
	for _, module := range modules {
		if !strings.Contains(bills[0], `"purl": "pkg:golang/`+module[1]+"@"+module[2]+`"`) {
			t.Errorf("it lacks %s %s", module[1], module[2])
		}
	}
	for _, want := range []string{`"bomFormat": "CycloneDX"`, `"timestamp": "2026-09-21T14:13:20Z"`, `"version": "1.2.3"`, `"purl": "pkg:golang/stdlib@1.`} {
		if !strings.Contains(bills[0], want) {
			t.Errorf("it lacks %s", want)
		}
	}
}
