package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/fobcli/fob/cmd"
	"github.com/fobcli/fob/cmd/completion"
)

// writeShare writes what packages bring beside the program: man pages and completions.
// The same version and SOURCE_DATE_EPOCH give the same bytes.
func writeShare(dir string) error {
	pages := filepath.Join(dir, "man")
	if status := cmd.Main([]string{"man", "--install", pages}, strings.NewReader(""), os.Stdout, os.Stderr); status != 0 {
		return fmt.Errorf("fob man --install: exit status %d", status)
	}
	if err := filepath.WalkDir(pages, zipPage); err != nil {
		return err
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

// zipPage replaces a man page by its compressed form.
func zipPage(path string, entry fs.DirEntry, err error) error {
	if err != nil || entry.IsDir() {
		return err
	}
	page, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var zipped bytes.Buffer
	zip := gzip.NewWriter(&zipped)
	if _, err := zip.Write(page); err != nil {
		return err
	}
	if err := zip.Close(); err != nil {
		return err
	}
	return errors.Join(writeShared(path+".gz", zipped.Bytes()), os.Remove(path))
}

func writeShared(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o644)
}
