package cmd

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

const goldenDir = "../testdata/golden"

// golden compares text with a golden file, or writes it with -update.
func golden(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(goldenDir, name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("%s differs; review the change, then run 'go test ./cmd -run Golden -update'. It is now:\n%s", path, text)
	}
}

// Every help page is a golden file, and every file a page: a change of the text is seen in review.
func TestHelpGolden(t *testing.T) {
	pages := map[string]bool{}
	for _, c := range commandTree(t) {
		c.InitDefaultHelpFlag()
		name := strings.ReplaceAll(c.CommandPath(), " ", "-") + ".txt"
		pages[name] = true
		golden(t, filepath.Join("help", name), helpOf(t, c)+"\n")
	}
	files, err := os.ReadDir(filepath.Join(goldenDir, "help"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		switch {
		case pages[file.Name()]:
		case *update:
			if err := os.Remove(filepath.Join(goldenDir, "help", file.Name())); err != nil {
				t.Fatal(err)
			}
		default:
			t.Errorf("%s is the page of no command", file.Name())
		}
	}
}
