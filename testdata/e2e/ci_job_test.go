package e2e

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/rhysd/actionlint"
	"go.yaml.in/yaml/v4"
)

// step is a step of a workflow, or of a composite action.
type step struct {
	ID, Uses, Run, Shell string
	Env, With            map[string]string
}

const setupAction = "../../.github/actions/setup-fob/action.yml"

// setup is the action as it is written.
func setup(t *testing.T) (inputs map[string]any, steps []step) {
	t.Helper()
	var action struct {
		Inputs map[string]any
		Runs   struct {
			Using string
			Steps []step
		}
	}
	if err := yaml.Unmarshal([]byte(readText(t, setupAction)), &action); err != nil {
		t.Fatal(err)
	}
	if action.Runs.Using != "composite" || len(action.Runs.Steps) == 0 {
		t.Fatalf("it runs %q, in %d steps", action.Runs.Using, len(action.Runs.Steps))
	}
	return action.Inputs, action.Runs.Steps
}

// A ${{ }} in a script is code that whoever writes the input chooses.
func TestSetupActionTakesInputsAsVariables(t *testing.T) {
	t.Parallel()
	inputs, steps := setup(t)
	for _, s := range steps {
		if s.Uses != "" || s.Shell != "bash" || strings.Contains(s.Run, "${{") || !strings.Contains(s.Run, "set -euo pipefail") {
			t.Errorf("step %q: uses %q, shell %q", s.ID, s.Uses, s.Shell)
		}
		for name := range inputs {
			if !slices.Contains(slices.Collect(maps.Values(s.Env)), "${{ inputs."+name+" }}") {
				t.Errorf("the input %q is no variable of step %q", name, s.ID)
			}
		}
	}
}

// runner is a CI system's runner: bash with a folder, the files of a step, and programs.
type runner struct {
	t           *testing.T
	dir, bin    string
	env         []string
	path, files string
}

func newRunner(t *testing.T, env ...string) *runner {
	t.Helper()
	r := &runner{t: t, dir: t.TempDir(), bin: t.TempDir(), files: t.TempDir()}
	arch := map[string]string{"amd64": "X64", "arm64": "ARM64"}[runtime.GOARCH]
	r.env = append([]string{"RUNNER_OS=Linux", "RUNNER_ARCH=" + arch, "RUNNER_TEMP=" + t.TempDir(), "NO_COLOR=1", "GORACE=atexit_sleep_ms=0",
		"GITHUB_PATH=" + r.file("path"), "GITHUB_OUTPUT=" + r.file("output"), "GITHUB_ENV=" + r.file("env")}, env...)
	for _, name := range []string{"path", "output", "env"} {
		r.write(r.file(name), "", 0o600)
	}
	r.path = r.bin + ":" + os.Getenv("PATH")
	return r
}

func (r *runner) file(name string) string { return filepath.Join(r.files, name) }

func (r *runner) write(path, text string, mode os.FileMode) {
	r.t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), mode)); err != nil {
		r.t.Fatal(err)
	}
}

// step runs a script as GitHub's runner does.
func (r *runner) step(script string, env ...string) (output string, err error) {
	shell := exec.Command("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script)
	shell.Dir, shell.Env = r.dir, slices.Concat([]string{"PATH=" + r.path}, r.env, env)
	out, err := shell.CombinedOutput()
	return string(out), err
}

// setUp runs the action.
func (r *runner) setUp(version, sum string) (output string, err error) {
	_, steps := setup(r.t)
	folder, err := filepath.Abs(filepath.Dir(setupAction))
	if err != nil {
		r.t.Fatal(err)
	}
	return r.step(steps[0].Run, "FOB_VERSION="+version, "FOB_SHA256="+sum, "FOB_ACTION="+folder, "SETUP_TOKEN=TEST-TOKEN", "HOME="+os.Getenv("HOME"), "GOFLAGS=-buildvcs=false")
}

func TestSetupActionBuildsTheSource(t *testing.T) {
	t.Parallel()
	r := newRunner(t)
	if out, err := r.setUp("source", ""); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	r.path = strings.TrimSpace(readText(t, r.file("path")))
	out, err := exec.Command(filepath.Join(r.path, "fob"), "version").Output()
	if err != nil || !strings.HasPrefix(string(out), "fob ") || readText(t, r.file("output")) != "version="+string(out) {
		t.Errorf("%v: %q, %q", err, out, readText(t, r.file("output")))
	}
}

// fakeCurl serves a release from a folder, and notes what was asked for.
const fakeCurl = `#!/bin/bash
echo "$*" >>"$(dirname "$0")/asked"
for url; do :; done
while [ $# -gt 1 ]; do [ "$1" = --output ] && to=$2; shift; done
exec cp "$(dirname "$0")/release/${url##*/}" "$to"
`

// fakeGH is a version of gh that accepts a bundle with the text "signed" and the
// archive's checksum, and notes how it was asked.
const fakeGH = `#!/bin/bash
if [ "$*" = --version ]; then echo "gh version $(cat "$(dirname "$0")/gh-version") (2026-01-01)"; exit; fi
echo "$GH_TOKEN $*" >>"$(dirname "$0")/verified"
[ "$1 $2 $4" = "attestation verify --bundle" ] && [ "$(cat "$5")" = "signed $(sha256sum <"$3")" ]
`

// release puts one in the place of GitHub's and returns the archive's name and checksum.
func (r *runner) release(version string) (archive, sum string) {
	r.t.Helper()
	folder := filepath.Join(r.bin, "release")
	archive = "fob_" + version + "_linux_" + runtime.GOARCH + ".tar.gz"
	r.write(filepath.Join(r.bin, "curl"), fakeCurl, 0o700)
	r.write(filepath.Join(folder, "fob"), "#!/bin/sh\necho \"fob "+version+"\"\n", 0o755)
	if out, err := exec.Command("tar", "-czf", filepath.Join(folder, archive), "-C", folder, "fob").CombinedOutput(); err != nil {
		r.t.Fatalf("%v\n%s", err, out)
	}
	sum = fmt.Sprintf("%x", sha256.Sum256([]byte(readText(r.t, filepath.Join(folder, archive)))))
	r.write(filepath.Join(folder, "fob_"+version+"_checksums.txt"), strings.Repeat("0", 64)+"  other.tar.gz\n"+sum+"  "+archive+"\n", 0o600)
	r.sign(version, archive)
	return archive, sum
}

// sign gives an archive of a release its provenance.
func (r *runner) sign(version, archive string) {
	r.t.Helper()
	folder := filepath.Join(r.bin, "release")
	r.write(filepath.Join(r.bin, "gh"), fakeGH, 0o700)
	r.write(filepath.Join(r.bin, "gh-version"), "2.67.0", 0o600)
	r.write(filepath.Join(folder, "fob_"+version+"_provenance.sigstore.json"), fmt.Sprintf("signed %x  -", sha256.Sum256([]byte(readText(r.t, filepath.Join(folder, archive))))), 0o600)
}

func TestSetupActionComparesChecksums(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, version string
		sum           func(right string) string
		spoil         func(r *runner, archive string)
		fails         string
	}{
		{name: "listed", version: "1.2.3"},
		{name: "with a v", version: "v1.2.3"},
		{name: "pinned", version: "1.2.3", sum: func(right string) string { return right }},
		{name: "pinned, another", version: "1.2.3", sum: func(string) string { return strings.Repeat("0", 64) }, fails: "another checksum"},
		{name: "a replaced archive", version: "1.2.3", fails: "another checksum", spoil: func(r *runner, archive string) {
			r.write(filepath.Join(r.bin, "release", archive), "evil", 0o600)
		}},
		{name: "not in the list", version: "1.2.3", fails: "lists no checksum", spoil: func(r *runner, _ string) {
			r.write(filepath.Join(r.bin, "release", "fob_1.2.3_checksums.txt"), "", 0o600)
		}},
		{name: "no such release", version: "1.2.4", fails: "cannot be reached"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRunner(t)
			archive, sum := r.release("1.2.3")
			if test.spoil != nil {
				test.spoil(r, archive)
			}
			pinned := ""
			if test.sum != nil {
				pinned = test.sum(sum)
			}
			out, err := r.setUp(test.version, pinned)
			added := readText(t, r.file("path"))
			if test.fails != "" {
				if err == nil || !strings.Contains(out, "::error title=setup-fob::") || !strings.Contains(out, test.fails) || added != "" {
					t.Errorf("%v, PATH %q\n%s", err, added, out)
				}
				return
			}
			if err != nil || readText(t, r.file("output")) != "version=fob 1.2.3\n" || added == "" {
				t.Errorf("%v\n%s", err, out)
			}
			if asked := readText(t, filepath.Join(r.bin, "asked")); strings.Count(asked, "--proto =https --proto-redir =https") != strings.Count(asked, "\n") {
				t.Errorf("curl was asked %s", asked)
			}
		})
	}
}

// TestSetupActionOnWindows: a release has a zip for it.
func TestSetupActionOnWindows(t *testing.T) {
	t.Parallel()
	r := newRunner(t, "RUNNER_OS=Windows")
	r.release("1.2.3")
	var archive bytes.Buffer
	z := zip.NewWriter(&archive)
	program, err := z.CreateHeader(&zip.FileHeader{Name: "fob.exe", Method: zip.Deflate, CreatorVersion: 3 << 8, ExternalAttrs: 0o100755 << 16})
	if err == nil {
		_, err = program.Write([]byte("#!/bin/sh\necho fob 1.2.3\n"))
	}
	if err := errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	name := "fob_1.2.3_windows_" + runtime.GOARCH + ".zip"
	folder := filepath.Join(r.bin, "release")
	r.write(filepath.Join(folder, name), archive.String(), 0o600)
	r.write(filepath.Join(folder, "fob_1.2.3_checksums.txt"), fmt.Sprintf("%x  %s\n", sha256.Sum256(archive.Bytes()), name), 0o600)
	r.sign("1.2.3", name)
	out, err := r.setUp("1.2.3", "")
	if err != nil || readText(t, r.file("output")) != "version=fob 1.2.3\n" {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestI76_SetupActionVerifiesTheProvenance(t *testing.T) {
	t.Parallel()
	const bundle = "release/fob_1.2.3_provenance.sigstore.json"
	for _, test := range []struct {
		name  string
		spoil func(r *runner, archive string)
		fails string
	}{
		{name: "signed"},
		{name: "a newer gh", spoil: func(r *runner, _ string) { r.write(filepath.Join(r.bin, "gh-version"), "3.0.0", 0o600) }},
		{name: "another signature", fails: "was not built by", spoil: func(r *runner, _ string) { r.write(filepath.Join(r.bin, bundle), "{}", 0o600) }},
		{name: "no signature", fails: "cannot be reached", spoil: func(r *runner, _ string) { _ = os.Remove(filepath.Join(r.bin, bundle)) }},
		{name: "archive and list replaced", fails: "was not built by", spoil: func(r *runner, archive string) {
			r.write(filepath.Join(r.bin, "release", archive), "evil", 0o600)
			r.write(filepath.Join(r.bin, "release/fob_1.2.3_checksums.txt"), fmt.Sprintf("%x  %s\n", sha256.Sum256([]byte("evil")), archive), 0o600)
		}},
		{name: "no gh", fails: "needs gh 2.67", spoil: func(r *runner, _ string) { r.write(filepath.Join(r.bin, "gh"), "#!/bin/sh\nexit 127\n", 0o700) }},
		{name: "a gh with the fault", fails: "needs gh 2.67", spoil: func(r *runner, _ string) { r.write(filepath.Join(r.bin, "gh-version"), "2.66.1", 0o600) }},
		{name: "an old gh", fails: "needs gh 2.67", spoil: func(r *runner, _ string) { r.write(filepath.Join(r.bin, "gh-version"), "1.99.0", 0o600) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRunner(t)
			archive, _ := r.release("1.2.3")
			if test.spoil != nil {
				test.spoil(r, archive)
			}
			out, err := r.setUp("v1.2.3", "")
			unpacked, _ := filepath.Glob(filepath.Join(r.dir, "..", "*", "*", "bin", "fob"))
			if test.fails != "" {
				if err == nil || !strings.Contains(out, test.fails) || readText(t, r.file("path")) != "" || len(unpacked) > 0 {
					t.Errorf("%v, %v\n%s", err, unpacked, out)
				}
				return
			}
			if err != nil || len(unpacked) != 1 {
				t.Fatalf("%v, %v\n%s", err, unpacked, out)
			}
			asked := readText(t, filepath.Join(r.bin, "verified"))
			const identity = "--repo fobcli/fob --cert-identity https://github.com/fobcli/fob/.github/workflows/release.yml@refs/tags/v1.2.3 --deny-self-hosted-runners\n"
			if !strings.HasPrefix(asked, "TEST-TOKEN attestation verify ") || !strings.HasSuffix(asked, identity) || strings.Count(asked, "\n") != 1 {
				t.Errorf("gh was asked %q", asked)
			}
		})
	}
}

// fakePublisher notes what gh is asked for, and finds the manifest of Scoop alone.
const fakePublisher = `#!/bin/bash
[ -t 0 ] || [ "$1" != api ] || [[ "$*" != *content=@-* ]] || cat >/dev/null
echo "$*" >>"$(dirname "$0")/asked"
case "$*" in
*contents/fob.json\?ref=*) echo old-sha ;;
*\?ref=*) echo '{"message":"Not Found"}'; exit 1 ;;
"release download "*) cat "$(dirname "$0")/published" 2>/dev/null || exit 1 ;;
*git/ref/heads/fob-*) [ -f "$(dirname "$0")/published" ] || exit 1 ;;
"pr list "*) [ ! -f "$(dirname "$0")/published" ] || echo fobcli ;;
*git/ref/heads/master*) echo head-sha ;;
esac
`

func TestI76_Publish(t *testing.T) {
	t.Parallel()
	script, err := filepath.Abs("../publish.sh")
	if err != nil {
		t.Fatal(err)
	}
	publish := func(t *testing.T, tag, what, token, published string) (asked, out string, err error) {
		r := newRunner(t)
		dist := filepath.Join(r.dir, "dist")
		version := strings.TrimPrefix(tag, "v")
		r.write(filepath.Join(r.bin, "gh"), fakePublisher, 0o700)
		for _, name := range []string{"fob_" + version + "_linux_amd64.tar.gz", "fob_" + version + "_provenance.sigstore.json", "fob_linux_arm64_v8.0/fob", "homebrew/Casks/fob.rb", "scoop/fob.json", "winget/manifests/f/fobcli/fob/" + version + "/fobcli.fob.yaml"} {
			r.write(filepath.Join(dist, name), name, 0o600)
		}
		sum := sha256.Sum256([]byte("fob_" + version + "_linux_amd64.tar.gz"))
		if what == "spoiled" {
			what, sum = "release", [32]byte{}
		}
		sums := fmt.Sprintf("%x  fob_%s_linux_amd64.tar.gz\n", sum, version)
		r.write(filepath.Join(dist, "fob_"+version+"_checksums.txt"), sums, 0o600)
		if published != "" {
			r.write(filepath.Join(r.bin, "published"), strings.ReplaceAll(published, "SUMS", sums), 0o600)
		}
		out, err = r.step("sh "+script+" "+what+" dist", "GITHUB_REF_NAME="+tag, "GH_TOKEN="+token)
		text, _ := os.ReadFile(filepath.Join(r.bin, "asked"))
		return string(text), out, err
	}
	for _, test := range []struct {
		name, tag, what, token string
		asked                  []string
	}{
		{"release", "v1.2.3", "release", "x", []string{"release create v1.2.3 --repo fobcli/fob --verify-tag --title v1.2.3 --notes", "dist/fob_1.2.3_checksums.txt dist/fob_1.2.3_linux_amd64.tar.gz dist/fob_1.2.3_provenance.sigstore.json\n"}},
		{"pre-release", "v1.2.3-rc.1", "release", "x", []string{"--prerelease"}},
		{"packages", "v1.2.3", "packages", "x", []string{
			"-X PUT repos/fobcli/homebrew-tap/contents/Casks/fob.rb -F content=@- -f message=fob 1.2.3 -f branch=main\n",
			"-X PUT repos/fobcli/scoop-bucket/contents/fob.json -F content=@- -f message=fob 1.2.3 -f branch=main -f sha=old-sha\n",
			"git/refs -f ref=refs/heads/fob-1.2.3 -f sha=head-sha\n",
			"-X PUT repos/fobcli/winget-pkgs/contents/manifests/f/fobcli/fob/1.2.3/fobcli.fob.yaml -F content=@- -f message=fob 1.2.3 -f branch=fob-1.2.3\n",
			"pr create --repo microsoft/winget-pkgs --head fobcli:fob-1.2.3 --base master",
		}},
		{"packages without a token", "v1.2.3", "packages", "", nil},
		{"packages of a pre-release", "v1.2.3-rc.1", "packages", "x", nil},
	} {
		asked, out, err := publish(t, test.tag, test.what, test.token, "")
		if err != nil || (asked == "") != (test.asked == nil) {
			t.Errorf("%s: %v, gh was asked %q\n%s", test.name, err, asked, out)
		}
		for _, want := range test.asked {
			if !strings.Contains(asked, want) {
				t.Errorf("%s: gh was asked %q, without %q", test.name, asked, want)
			}
		}
	}
	if asked, out, err := publish(t, "v1.2.3", "spoiled", "x", ""); err == nil || asked != "" {
		t.Errorf("a file that is not the listed one: %v, gh was asked %q\n%s", err, asked, out)
	}
	// A job that failed half-way is run again.
	for _, what := range []string{"release", "packages"} {
		if asked, out, err := publish(t, "v1.2.3", what, "x", "SUMS"); err != nil || asked == "" || strings.Contains(asked, " create ") || strings.Contains(asked, "git/refs ") {
			t.Errorf("%s again: %v, gh was asked %q\n%s", what, err, asked, out)
		}
	}
	if asked, out, err := publish(t, "v1.2.3", "release", "x", "other files"); err == nil || strings.Contains(asked, " create ") {
		t.Errorf("a release of other files: %v, gh was asked %q\n%s", err, asked, out)
	}
}

func TestSetupActionRunsNoInput(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"", "latest", "1.2", "1.2.3; touch evil", "$(touch evil)", "`touch evil`", "../../evil", "1.2.3\n::add-path::/evil", "1.2.3 -o /evil", "-K/etc/passwd", "1.2.3-" + strings.Repeat("a", 100)} {
		r := newRunner(t)
		r.release("1.2.3")
		out, err := r.setUp(version, "")
		if err == nil || !strings.Contains(out, "neither like 1.2.3 nor") || strings.Contains(out, "evil") {
			t.Errorf("%q: %v\n%s", version, err, out)
		}
		for _, path := range []string{filepath.Join(r.bin, "asked"), filepath.Join(r.dir, "evil")} {
			if _, err := os.Lstat(path); err == nil {
				t.Errorf("%q: %s is there", version, path)
			}
		}
	}
	for _, sum := range []string{"x", "; touch evil", strings.Repeat("A", 64), strings.Repeat("0", 64) + "\n" + strings.Repeat("0", 64)} {
		r := newRunner(t)
		r.release("1.2.3")
		if out, err := r.setUp("1.2.3", sum); err == nil || !strings.Contains(out, "sha256 is not") {
			t.Errorf("%q: %v\n%s", sum, err, out)
		}
	}
}

// docsJobs returns the YAML blocks of docs/ci.md: GitHub's job and GitLab's.
func docsJobs(t *testing.T) (github, gitlab string) {
	t.Helper()
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(readText(t, "../../docs/ci.md"), -1)
	if len(blocks) != 2 {
		t.Fatalf("%d YAML blocks", len(blocks))
	}
	return blocks[0][1], blocks[1][1]
}

// ciMachine is a runner for the jobs of docs/ci.md: fob is there, no home is, the profile
// lies in the repository, and deploy.sh shows how long the token is that it has.
func ciMachine(t *testing.T, i *issuer, env ...string) *runner {
	t.Helper()
	r := newRunner(t, env...)
	if err := os.Symlink(fob, filepath.Join(r.bin, "fob")); err != nil {
		t.Fatal(err)
	}
	r.write(filepath.Join(r.dir, ".github/fob.toml"), fmt.Sprintf("[profile.ci]\nissuer = %q\nclient_id = \"fob-ci\"\ngrant = \"token-exchange\"\n", i.url), 0o600)
	r.write(filepath.Join(r.dir, "deploy.sh"), "#!/bin/sh\necho \"deployed with $API_TOKEN, ${#API_TOKEN} characters\"\nprintf %s \"$API_TOKEN\" >\"$FILES/token\"\n", 0o700)
	r.env = append(r.env, "FILES="+r.files)
	// As GitLab's docker executor clones (umask 0), and as another user's checkout in a
	// container job.
	for path, mode := range map[string]os.FileMode{"": 0o777, ".github": 0o777, ".github/fob.toml": 0o666} {
		path = filepath.Join(r.dir, path)
		err := os.Chmod(path, mode)
		if os.Geteuid() == 0 {
			err = errors.Join(err, os.Chown(path, 12345, 12345))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// jobEnv gives the runner a job's variables. The issuer is the test's own.
func (r *runner) jobEnv(variables map[string]string, issuer string) {
	r.t.Helper()
	for name, value := range variables {
		if value == "https://sso.example.com" {
			value = issuer
		}
		r.env = append(r.env, name+"="+value)
	}
	if !slices.Contains(r.env, "FOB_ISSUER="+issuer) {
		r.t.Error("the job does not pin its issuer")
	}
}

// refusesChangedConfig runs a step (I71) with what a pull request could make of the configuration:
// nothing runs, and nothing is sent.
func (r *runner) refusesChangedConfig(step string) {
	r.t.Helper()
	evil := startIssuer(r.t)
	path := filepath.Join(r.dir, ".github/fob.toml")
	before := readText(r.t, path)
	for _, change := range []string{
		fmt.Sprintf("issuer = %q", evil.url),
		fmt.Sprintf("token_endpoint = %q\n%s", evil.url+"/token", issuerLine(before)),
		issuerLine(before) + "\nidentity = \"command\"\nidentity_command = [\"touch\", \"ran\"]",
		issuerLine(before) + "\nidentity = \"file:/etc/hostname\"",
		issuerLine(before) + "\nidentity = \"env:ACTIONS_ID_TOKEN_REQUEST_TOKEN\"",
	} {
		r.write(path, strings.Replace(before, issuerLine(before), change, 1), 0o666)
		out, err := r.step(step)
		if err == nil || strings.Contains(out, "deployed") || !strings.Contains(out, "fob.toml") && !strings.Contains(out, "cannot be used as an identity") {
			r.t.Errorf("%s: %v\n%s", change, err, out)
		}
	}
	if _, err := os.Lstat(filepath.Join(r.dir, "ran")); err == nil {
		r.t.Error("the identity command was run")
	}
	for _, endpoint := range []string{"discovery", "token", "identity"} {
		if n := evil.count(endpoint); n > 0 {
			r.t.Errorf("the other issuer has seen %d requests for %s", n, endpoint)
		}
	}
	r.write(path, before, 0o666)
}

func issuerLine(config string) string {
	for line := range strings.Lines(config) {
		if strings.HasPrefix(line, "issuer = ") {
			return strings.TrimSuffix(line, "\n")
		}
	}
	return "no issuer"
}

// hasLeaked fails if later steps, or files, have what deploy.sh alone was given.
func (r *runner) hasLeaked(token string) {
	r.t.Helper()
	if len(token) < 20 {
		r.t.Fatalf("deploy.sh had the token %q", token)
	}
	later, err := r.step("env; cat /dev/null \"$GITHUB_ENV\" \"$GITHUB_OUTPUT\"; grep -r . . || true")
	if err != nil || strings.Contains(later, token) || strings.Contains(later, "API_TOKEN=") {
		r.t.Errorf("%v: a later step finds the token:\n%s", err, later)
	}
}

func TestWorkflowsAreValid(t *testing.T) {
	fromDocs, _ := docsJobs(t)
	for name, text := range map[string]string{"docs/ci.md": fromDocs, "our own": readText(t, "../../.github/workflows/test.yml"), "our release": readText(t, "../../.github/workflows/release.yml")} {
		linter, err := actionlint.NewLinter(io.Discard, &actionlint.LinterOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if problems, err := linter.Lint(".github/workflows/job.yml", []byte(text), nil); err != nil || len(problems) > 0 {
			t.Errorf("%s: %v: %v", name, err, problems)
		}
	}
}

func TestH64DocsJobForGitHub(t *testing.T) {
	t.Parallel()
	text, _ := docsJobs(t)
	var workflow struct {
		Jobs map[string]struct {
			Permissions, Env map[string]string
			Steps            []step
		}
	}
	if err := yaml.Unmarshal([]byte(text), &workflow); err != nil {
		t.Fatal(err)
	}
	job := workflow.Jobs["deploy"]
	inputs, _ := setup(t)
	i := startIssuer(t)
	r := ciMachine(t, i, "GITHUB_ACTIONS=true", "GITHUB_EVENT_NAME=push", "ACTIONS_ID_TOKEN_REQUEST_URL="+i.url+"/test/identity?api-version=2.0", "ACTIONS_ID_TOKEN_REQUEST_TOKEN=TEST-REQUEST-TOKEN")
	r.env = append(r.env, "GITHUB_WORKSPACE="+r.dir)
	r.jobEnv(job.Env, i.url)
	r.refusesChangedConfig(job.Steps[len(job.Steps)-1].Run)
	ran := 0
	for _, s := range job.Steps {
		for name := range s.With {
			if _, known := inputs[name]; strings.Contains(s.Uses, "setup-fob@") && !known {
				t.Errorf("the action has no input %q", name)
			}
		}
		if s.Run == "" {
			continue
		}
		ran++
		if out, err := r.step(s.Run); err != nil || strings.Contains(out, "eyJ") {
			t.Errorf("%s: %v\n%s", s.Run, err, out)
		}
	}
	if ran != 2 || job.Permissions["id-token"] != "write" || i.count("token/exchange") != 1 {
		t.Errorf("%d steps, permissions %v, %d exchanges", ran, job.Permissions, i.count("token/exchange"))
	}
	r.hasLeaked(readText(t, r.file("token")))
}

func TestH64DocsJobForGitLab(t *testing.T) {
	t.Parallel()
	_, text := docsJobs(t)
	var jobs map[string]struct {
		Image     string
		IDTokens  map[string]map[string]string `yaml:"id_tokens"`
		Variables map[string]string
		Script    []string
	}
	if err := yaml.Unmarshal([]byte(text), &jobs); err != nil {
		t.Fatal(err)
	}
	job := jobs["deploy"]
	if job.IDTokens["FOB_ID_TOKEN"]["aud"] == "" {
		t.Fatal("the job asks for no identity")
	}
	i := startIssuer(t)
	r := ciMachine(t, i, "GITLAB_CI=true", "FOB_ID_TOKEN="+gitlabIdentity(t, i))
	r.env = append(r.env, "CI_PROJECT_DIR="+r.dir)
	r.jobEnv(job.Variables, i.url)
	r.refusesChangedConfig(job.Script[len(job.Script)-1])
	script := slices.DeleteFunc(job.Script, func(line string) bool { return strings.HasPrefix(line, "go install ") })
	if len(script) == len(job.Script) {
		t.Error("the job installs no fob")
	}
	out, err := r.step(strings.Join(script, "\n"))
	token := readText(t, r.file("token"))
	if err != nil || strings.Contains(out, token) || !strings.Contains(out, "deployed with ***, ") {
		t.Errorf("%v\n%s", err, out)
	}
	r.hasLeaked(token)
}

// gitlabIdentity is what GitLab puts into the job's variable.
func gitlabIdentity(t *testing.T, i *issuer) string {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, i.url+"/test/identity?audience="+url.QueryEscape(i.url), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "bearer TEST-REQUEST-TOKEN")
	text, err := read(http.DefaultClient.Do(req))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(text, `"value":`)
	parts := bytes.Split([]byte(rest), []byte{'"'})
	if len(parts) < 2 {
		t.Fatalf("no identity in %s", text)
	}
	return string(parts[1])
}

// The hook itself is run by testdata/script/scan_hook.txtar.
func TestDocsHooks(t *testing.T) {
	t.Parallel()
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(readText(t, "../../docs/scan.md"), 2)
	var commit struct {
		Repos []struct {
			Repo, Rev string
			Hooks     []struct{ ID string }
		}
	}
	var hooks []struct {
		ID, Name, Description, Language, Entry string
		PassFilenames                          bool `yaml:"pass_filenames"`
	}
	var left map[string]struct {
		Commands map[string]struct{ Run string }
	}
	if err := errors.Join(strictYAML(blocks[0][1], &commit), strictYAML(blocks[1][1], &left), strictYAML(readText(t, "../../.pre-commit-hooks.yaml"), &hooks)); err != nil {
		t.Fatal(err)
	}
	const run = "fob scan --staged"
	repo := commit.Repos[0]
	if repo.Repo != "https://github.com/fobcli/fob" || repo.Rev == "" || len(hooks) == 0 {
		t.Errorf("pre-commit: %+v, %+v", commit, hooks)
	}
	documented := false
	for _, hook := range hooks {
		documented = documented || hook.ID == repo.Hooks[0].ID
		if hook.Entry != run {
			t.Errorf("pre-commit: %+v", hook)
		}
	}
	if !documented {
		t.Errorf("pre-commit: there is no hook %q", repo.Hooks[0].ID)
	}
	if left["pre-commit"].Commands["fob"].Run != run {
		t.Errorf("lefthook: %+v", left)
	}
}

func strictYAML(text string, into any) error {
	decoder := yaml.NewDecoder(strings.NewReader(text))
	decoder.KnownFields(true)
	return decoder.Decode(into)
}
