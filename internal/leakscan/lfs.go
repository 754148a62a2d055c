package leakscan

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"path/filepath"
)

// ErrNoContent is a file of Git LFS of which a repository has only the pointer.
var ErrNoContent = errors.New("its Git LFS content is missing")

// maxPointer is the size of a Git LFS pointer, by its specification.
const maxPointer = 1024

// pointerTarget returns the name of the content that a Git LFS pointer stands for, or "".
func pointerTarget(text []byte) string {
	if len(text) >= maxPointer || !bytes.HasPrefix(text, []byte("version https://git-lfs.github.com/spec/")) {
		return ""
	}
	_, rest, _ := bytes.Cut(text, []byte("\noid sha256:"))
	name, _, _ := bytes.Cut(rest, []byte("\n"))
	name = bytes.TrimSuffix(name, []byte("\r")) // git may have converted the line endings
	if raw, err := hex.DecodeString(string(name)); err != nil || len(raw) != 32 {
		return ""
	}
	return string(name)
}

// contentPath returns where a repository stores the content of a Git LFS file; dir is a folder in it.
func (c *collector) contentPath(ctx context.Context, dir, name string) (string, error) {
	folder, known := c.folders.Load(dir)
	if !known {
		common, err := gitPath(ctx, dir, "--git-common-dir")
		if err != nil {
			return "", err
		}
		folder = common
		c.folders.Store(dir, common)
	}
	return filepath.Join(folder.(string), "lfs", "objects", name[:2], name[2:4], name), nil
}

// scanContent scans the content of a Git LFS file whose pointer is in a repository; dir is
// a folder there.
func (s *Scanner) scanContent(ctx context.Context, c *collector, dir string, pointer []byte, kind Kind, path string) {
	name := pointerTarget(pointer)
	if name == "" {
		return
	}
	var r Result
	where, err := c.contentPath(ctx, dir, name)
	if err == nil {
		r, err = s.scanContentFile(ctx, where, kind, path)
	}
	if err != nil {
		r.Unread = []Unread{{path, ErrNoContent}}
	}
	c.add(r)
}

func (s *Scanner) scanContentFile(ctx context.Context, where string, kind Kind, path string) (r Result, err error) {
	f, info, err := openRegular(where)
	if err != nil {
		return r, err
	}
	defer f.Close()
	r.Bytes = info.Size()
	_, err = s.Scan(ctx, f, nil, r.collect(kind, path))
	for i := range r.Findings {
		r.Findings[i].content = true
	}
	return r, err
}
