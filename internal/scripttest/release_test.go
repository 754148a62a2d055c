//go:build unix

package scripttest

import (
	"os"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestReleaseNamesAreTheActions: setup-fob fetches what goreleaser makes.
func TestReleaseNamesAreTheActions(t *testing.T) {
	var release struct {
		Archives []struct {
			Name      string `yaml:"name_template"`
			Formats   []string
			Overrides []struct {
				System  string `yaml:"goos"`
				Formats []string
			} `yaml:"format_overrides"`
		}
		Checksum struct {
			Name string `yaml:"name_template"`
		}
	}
	text, err := os.ReadFile(inRoot(".goreleaser.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &release); err != nil || len(release.Archives) != 1 {
		t.Fatal(err, release)
	}
	action, err := os.ReadFile(inRoot(".github/actions/setup-fob/action.yml"))
	if err != nil {
		t.Fatal(err)
	}
	archive := release.Archives[0]
	if !slices.Equal(archive.Formats, []string{"tar.gz"}) || len(archive.Overrides) != 1 || archive.Overrides[0].System != "windows" || !slices.Equal(archive.Overrides[0].Formats, []string{"zip"}) {
		t.Errorf("%+v", archive)
	}
	inShell := strings.NewReplacer("{{ .Version }}", "${version}", "{{ .Os }}", "${os}", "{{ .Arch }}", "$arch")
	for _, line := range []string{"archive=" + inShell.Replace(archive.Name) + ".tar.gz\n", "list=" + inShell.Replace(release.Checksum.Name) + "\n", "archive=${archive%.tar.gz}.zip;"} {
		if !strings.Contains(string(action), line) {
			t.Errorf("the action lacks %q", line)
		}
	}
}

// TestDockerfile: the image holds fob and certificates alone, and is nobody's root.
func TestDockerfile(t *testing.T) {
	text, err := os.ReadFile(inRoot("testdata/release/Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	stages := make(map[string]bool)
	last := make(map[string]string) // instructions of the last stage
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		instruction, rest, found := strings.Cut(line, " ")
		if !found || !slices.Contains([]string{"FROM", "RUN", "ARG", "COPY", "ENV", "USER", "ENTRYPOINT"}, instruction) {
			t.Fatalf("what is %q?", line)
		}
		words := strings.Fields(rest)
		switch instruction {
		case "FROM":
			clear(last)
			if n := len(words); n > 2 && words[n-2] == "AS" {
				stages[words[n-1]] = true
			}
		case "COPY":
			from, isStage := strings.CutPrefix(words[0], "--from=")
			if isStage && !stages[from] || !isStage && words[0] != "$TARGETPLATFORM/fob" {
				t.Errorf("nobody brings %s", words[0])
			}
		}
		last[instruction] = rest
	}
	if last["FROM"] != "scratch" || last["RUN"] != "" || strings.HasPrefix(last["USER"], "0") || last["USER"] == "" || last["ENTRYPOINT"] != `["/usr/bin/fob"]` {
		t.Errorf("the last stage is %q", last)
	}
}
