package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/fobcli/fob/cmd"
	"github.com/fobcli/fob/cmd/completion"
)

// writeShare writes what packages bring beside the program: man pages and completions.
// The same version and date give the same bytes.
func writeShare(dir string, date time.Time) error {
	for name, page := range cmd.ManPages(date) {
		var zipped bytes.Buffer
		zip := gzip.NewWriter(&zipped)
		if _, err := io.WriteString(zip, page); err != nil {
			return err
		}
		if err := zip.Close(); err != nil {
			return err
		}
		if err := writeShared(filepath.Join(dir, "man", name+".gz"), zipped.Bytes()); err != nil {
			return err
		}
	}
	root := cmd.Root()
	for name, generate := range map[string]func(io.Writer) error{
		"fob.bash": func(w io.Writer) error { return completion.Bash(root, w) },
		"_fob":     root.GenZshCompletion,
		"fob.fish": func(w io.Writer) error { return root.GenFishCompletion(w, true) },
		"fob.ps1":  root.GenPowerShellCompletionWithDesc,
	} {
		var script bytes.Buffer
		if err := generate(&script); err != nil {
			return err
		}
		if err := writeShared(filepath.Join(dir, "completions", name), script.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

func writeShared(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o644)
}
