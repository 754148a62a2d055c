//go:build release

package e2e

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestReleaseIsWhole: what is promised is there, and listed. It looks at what
// `make release-snapshot` has built.
func TestReleaseIsWhole(t *testing.T) {
	lists, err := filepath.Glob(filepath.Join(dist, "fob_*_checksums.txt"))
	if err != nil || len(lists) != 1 {
		t.Fatal(lists, err)
	}
	version := regexp.MustCompile(`fob_(.*)_checksums`).FindStringSubmatch(lists[0])[1]
	var listed []string
	for line := range strings.Lines(readText(t, lists[0])) {
		listed = append(listed, strings.Fields(line)[1])
	}
	for _, system := range []string{"linux", "darwin", "windows"} {
		for _, arch := range []string{"amd64", "arm64"} {
			name := "fob_" + version + "_" + system + "_" + arch
			archive, program := name+".tar.gz", "fob"
			if system == "windows" {
				archive, program = name+".zip", "fob.exe"
			}
			if !slices.Contains(listed, archive) || !slices.Contains(listed, name+".cdx.json") {
				t.Fatalf("the list lacks %s: %q", name, listed)
			}
			in := namesIn(t, filepath.Join(dist, archive))
			for _, want := range []string{program, "LICENSE", "man/man1/fob.1.gz", "man/man7/fob-choose.7.gz", "completions/fob.bash", "completions/_fob", "completions/fob.fish", "completions/fob.ps1"} {
				if !slices.Contains(in, want) {
					t.Errorf("%s lacks %s", archive, want)
				}
			}
		}
	}
	for _, kind := range []string{"deb", "rpm", "apk"} {
		if n := len(slices.DeleteFunc(slices.Clone(listed), func(name string) bool { return filepath.Ext(name) != "."+kind })); n != 2 {
			t.Errorf("%d packages are %s", n, kind)
		}
	}
	const forWinget = "winget/manifests/f/fobcli/fob/*/fobcli.fob"
	for pattern, names := range map[string]string{
		"homebrew/Casks/fob.rb": `"` + version + `"`, "scoop/fob.json": `"` + version + `"`,
		forWinget + ".yaml": "PackageVersion: " + version, forWinget + ".installer.yaml": "fob_" + version + "_windows_arm64.zip", forWinget + ".locale.en-US.yaml": "License: MIT",
	} {
		found, err := filepath.Glob(filepath.Join(dist, pattern))
		if err != nil || len(found) != 1 || !strings.Contains(readText(t, found[0]), names) {
			t.Errorf("%s: %q, %v; it has to name %s", pattern, found, err, names)
		}
	}
}

func namesIn(t *testing.T, archive string) []string {
	t.Helper()
	var names []string
	if strings.HasSuffix(archive, ".zip") {
		z, err := zip.OpenReader(archive)
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		for _, file := range z.File {
			names = append(names, file.Name)
		}
		return names
	}
	unzipped, err := gzip.NewReader(strings.NewReader(readText(t, archive)))
	if err != nil {
		t.Fatal(err)
	}
	for reader := tar.NewReader(unzipped); ; {
		header, err := reader.Next()
		if err == io.EOF {
			return names
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, header.Name)
	}
}
