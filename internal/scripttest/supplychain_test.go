//go:build unix

package scripttest

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// readAll returns a file's text.
func readAll(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(inRoot(path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// ciFiles are all YAML texts by which CI runs something: ours, and the jobs of docs/ci.md.
func ciFiles(t *testing.T) map[string]string {
	t.Helper()
	texts := make(map[string]string)
	workflows, err := filepath.Glob(inRoot(".github/workflows/*"))
	actions, actionsErr := filepath.Glob(inRoot(".github/actions/*/action.y*ml"))
	if err := errors.Join(err, actionsErr); err != nil || len(workflows) < 2 || len(actions) < 1 {
		t.Fatal(workflows, actions, err)
	}
	for _, path := range slices.Concat(workflows, actions) {
		path = path[len(root)+1:]
		texts[path] = readAll(t, path)
	}
	for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(readAll(t, "docs/ci.md"), -1) {
		if strings.Contains(block[1], "uses:") {
			texts["docs/ci.md"] += block[1]
		}
	}
	if texts["docs/ci.md"] == "" {
		t.Fatal("no job in docs/ci.md uses an action")
	}
	return texts
}

// eachUse calls f for each `uses:` below a node, with the comment behind it.
func eachUse(node *yaml.Node, f func(action, comment string)) {
	for i, child := range node.Content {
		if node.Kind == yaml.MappingNode && i%2 == 1 && node.Content[i-1].Value == "uses" {
			f(child.Value, child.LineComment)
		}
		eachUse(child, f)
	}
}

// whyUnpinned says what is wrong with an action, if anything is.
func whyUnpinned(action, comment string) string {
	name, ref, _ := strings.Cut(action, "@")
	switch {
	case name == "fobcli/fob/.github/actions/setup-fob":
		// Our own, in docs/ci.md: a commit cannot name itself there.
		if !regexp.MustCompile(`^v\d+\.\d+\.\d+$`).MatchString(ref) {
			return "not a release"
		}
	case !regexp.MustCompile(`^[\w.-]+/[\w./-]+$`).MatchString(name):
		return "not an action of a repository"
	case !regexp.MustCompile(`^[0-9a-f]{40}$`).MatchString(ref):
		return "not pinned by commit"
	case !regexp.MustCompile(`^# v\d+\.\d+\.\d+$`).MatchString(comment):
		return "no comment says which release it is"
	}
	return ""
}

func TestI76_ActionsArePinnedByCommit(t *testing.T) {
	sum := strings.Repeat("0a", 20)
	for action, pinned := range map[string]bool{
		"a/b@" + sum: true, "a/b/c@" + sum: true, "a/b@v4": false, "a/b@main": false, "a/b@" + sum[1:]: false, "a/b": false, "a/b@" + strings.ToUpper(sum): false,
		"docker://alpine:3": false, "./local": false, "fobcli/fob/.github/actions/setup-fob@main": false, "fobcli/fob/.github/actions/setup-fob@v1.2.3": true,
	} {
		if why := whyUnpinned(action, "# v1.2.3"); (why == "") != pinned {
			t.Errorf("%s: %q", action, why)
		}
	}
	if whyUnpinned("a/b@"+sum, "") == "" {
		t.Error("a commit without its release is accepted")
	}
	uses, releases := 0, make(map[string]string)
	for path, text := range ciFiles(t) {
		var document yaml.Node
		if err := yaml.Unmarshal([]byte(text), &document); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		eachUse(&document, func(action, comment string) {
			uses++
			if why := whyUnpinned(action, comment); why != "" {
				t.Errorf("%s: %s %s: %s", path, action, comment, why)
			}
			if before := releases[action]; before != "" && before != comment {
				t.Errorf("%s is %q and %q", action, before, comment)
			}
			releases[action] = comment
		})
	}
	if uses < 12 {
		t.Errorf("only %d uses of actions were found", uses)
	}
}

type releaseJob struct {
	RunsOn      string `yaml:"runs-on"`
	Needs       any
	Environment string
	Permissions map[string]string
	Steps       []struct {
		Uses, Run string
		With      map[string]string
	}
}

func releaseJobs(t *testing.T) map[string]releaseJob {
	t.Helper()
	var workflow struct {
		Permissions map[string]string
		Jobs        map[string]releaseJob
	}
	if err := yaml.Unmarshal([]byte(readAll(t, ".github/workflows/release.yml")), &workflow); err != nil {
		t.Fatal(err)
	}
	if workflow.Permissions == nil || len(workflow.Permissions) > 0 {
		t.Errorf("every job has the permissions %v", workflow.Permissions)
	}
	return workflow.Jobs
}

// A job that can write or sign runs nothing that was downloaded, and hands a file on only
// if the jobs that test and build it succeeded.
func TestI76_OnlyThePublishingJobCanWrite(t *testing.T) {
	builds := regexp.MustCompile(`\b(go|make|npm|npx|pip3?|apt|apt-get|curl|wget|docker|goreleaser|cosign|syft)\s`)
	allowed := map[string][]string{
		"attest":  {"actions/download-artifact", "actions/attest-build-provenance", "actions/upload-artifact"},
		"publish": {"actions/checkout", "actions/download-artifact"},
	}
	can := make(map[string][]string) // jobs by permission
	jobs := releaseJobs(t)
	for name, job := range jobs {
		writes := false
		for permission, access := range job.Permissions {
			if access != "read" {
				can[permission], writes = append(can[permission], name), true
			}
		}
		if job.Permissions == nil {
			t.Errorf("%s says nothing of its permissions", name)
		}
		for _, step := range job.Steps {
			action, _, _ := strings.Cut(step.Uses, "@")
			if action == "actions/checkout" && step.With["persist-credentials"] != "false" {
				t.Errorf("%s leaves its token in the clone", name)
			}
			if writes && (builds.MatchString(step.Run+" ") || step.Uses != "" && !slices.Contains(allowed[name], action)) {
				t.Errorf("%s can write, and runs %s%s", name, step.Uses, step.Run)
			}
		}
	}
	if !slices.Equal(can["contents"], []string{"publish"}) || !slices.Equal(can["attestations"], []string{"attest"}) || !slices.Equal(can["id-token"], []string{"attest"}) || len(can) != 3 {
		t.Errorf("who can write what: %v", can)
	}
	if jobs["publish"].Environment == "" || jobs["publish"].Needs != "attest" || len(jobs["attest"].Needs.([]any)) != 2 {
		t.Errorf("publish %+v, attest %+v", jobs["publish"], jobs["attest"])
	}
	if script := readAll(t, "testdata/publish.sh"); builds.MatchString(script) {
		t.Errorf("publish.sh runs %q", builds.FindString(script))
	}
}

func TestI76_ToolsArePinned(t *testing.T) {
	exact := regexp.MustCompile(`^v?\d+\.\d+\.\d+$`)
	for name, job := range releaseJobs(t) {
		if strings.HasSuffix(job.RunsOn, "-latest") {
			t.Errorf("%s runs on whatever is newest", name)
		}
		for _, step := range job.Steps {
			if strings.Contains(step.Uses, "/setup-go@") && step.With["go-version-file"] != "go.mod" || strings.Contains(step.Uses, "/setup-node@") && !exact.MatchString(step.With["node-version"]) {
				t.Errorf("%s: %s has %v", name, step.Uses, step.With)
			}
			if regexp.MustCompile(`\b(go install|go run|npm|npx|pip3?|apt-get|curl|wget)\s`).MatchString(step.Run) {
				t.Errorf("%s installs by itself: %s", name, step.Run)
			}
		}
	}
	if !regexp.MustCompile(`(?m)^go \d+\.\d+\.\d+$`).MatchString(readAll(t, "go.mod")) {
		t.Error("go.mod leaves open which Go it is")
	}
	makefile := readAll(t, "Makefile")
	installs := regexp.MustCompile(`go install (\S+)@(\S+)`).FindAllStringSubmatch(makefile, -1)
	for _, install := range installs {
		variable := strings.TrimSuffix(strings.TrimPrefix(install[2], "$("), ")")
		value := regexp.MustCompile(`(?m)^` + variable + ` := (\S+)$`).FindStringSubmatch(makefile)
		if value == nil || !exact.MatchString(value[1]) {
			t.Errorf("%s is of no version", install[0])
		}
	}
	if len(installs) < 4 {
		t.Errorf("only %d tools were found", len(installs))
	}
	setup := readAll(t, "testdata/setup.sh")
	pip := regexp.MustCompile(`pip install (.*)`).FindAllString(setup, -1)
	version := regexp.MustCompile(`(?m)^\s*moto=([\d.]+)`).FindStringSubmatch(setup)
	if len(pip) != 1 || !strings.HasSuffix(pip[0], ` "moto[server]==$moto"`) || version == nil || !exact.MatchString(version[1]) {
		t.Errorf("pip installs %q, version %q", pip, version)
	}
	for _, script := range []string{"Makefile", "testdata/release.sh", "testdata/publish.sh", ".github/workflows/release.yml", ".github/workflows/test.yml"} {
		if strings.Contains(readAll(t, script), "@latest") {
			t.Errorf("%s takes the latest of something", script)
		}
	}
}

// The list of checksums covers what goreleaser publishes: a setting could leave some out.
func TestI76_ChecksumsCoverAll(t *testing.T) {
	var release struct {
		Checksum map[string]any
		Sboms    []struct{ Documents []string }
		Signs    []any
	}
	if err := yaml.Unmarshal([]byte(readAll(t, ".goreleaser.yaml")), &release); err != nil {
		t.Fatal(err)
	}
	if len(release.Signs) > 0 { // the attest job signs, without what the build downloads
		t.Errorf("goreleaser signs: %v", release.Signs)
	}
	if len(release.Checksum) != 1 || release.Checksum["name_template"] == nil || len(release.Sboms) != 1 || !strings.HasPrefix(release.Sboms[0].Documents[0], "fob_") {
		t.Errorf("%+v", release)
	}
}

// The README's command is the one that setup-fob runs.
func TestI76_ReadmeVerifiesAsTheActionDoes(t *testing.T) {
	action := readAll(t, ".github/actions/setup-fob/action.yml")
	for _, part := range []string{"gh attestation verify ", "--repo fobcli/fob", "https://github.com/fobcli/fob/.github/workflows/release.yml@refs/tags/v", "_provenance.sigstore.json"} {
		if !strings.Contains(action, part) || !strings.Contains(readAll(t, "README.md"), part) {
			t.Errorf("README.md or setup-fob lacks %q", part)
		}
	}
	if verify, unpack := strings.Index(action, "gh attestation verify"), strings.Index(action, "tar -xzf"); verify < 0 || unpack < verify {
		t.Error("setup-fob unpacks before it verifies")
	}
	if !strings.Contains(readAll(t, "SECURITY.md"), "com.apple.quarantine") {
		t.Error("SECURITY.md does not say why the cask removes the quarantine attribute")
	}
}
