// Package gitpack reads the objects in the packs of a git repository, without git. What
// most repositories do not have, it refuses: those are for git to read.
package gitpack

import (
	"context"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// ErrUnsupported is a repository that only git can read: it is damaged, huge, or of
// another format.
var ErrUnsupported = errors.New("the pack cannot be read")

// maxPacks bounds how many packs are read: a repository with more was never repacked.
const maxPacks = 50

// OpenFunc opens a file for reading. It must refuse pipes and devices, without waiting
// for them.
type OpenFunc func(path string) (*os.File, fs.FileInfo, error)

// Packs are the packs of a repository.
type Packs []*pack

// Open opens the packs in an objects folder whose names are SHA-1.
func Open(objects string, open OpenFunc) (Packs, error) {
	if _, err := os.Lstat(filepath.Join(objects, "info", "alternates")); !os.IsNotExist(err) {
		return nil, ErrUnsupported // it borrows objects from another repository
	}
	folder := filepath.Join(objects, "pack")
	names, err := fs.Glob(os.DirFS(folder), "*.pack")
	if err != nil || len(names) > maxPacks {
		return nil, ErrUnsupported
	}
	var packs Packs
	count := 0
	for _, name := range names {
		p, err := openPack(filepath.Join(folder, name), open)
		if err != nil {
			packs.Close()
			return nil, err
		}
		packs = append(packs, p)
		if count += len(p.objects); count > maxPacked {
			packs.Close()
			return nil, ErrUnsupported
		}
	}
	return packs, nil
}

// Close closes the files.
func (packs Packs) Close() {
	for _, p := range packs {
		_ = p.close()
	}
}

func (packs Packs) contain(name []byte) bool {
	return slices.ContainsFunc(packs, func(p *pack) bool {
		_, found := p.index(name)
		return found
	})
}

// Loose lists the objects that have a file of their own in the objects folder and are in
// no pack.
func (packs Packs) Loose(objects string) ([]string, error) {
	folders, err := os.ReadDir(objects)
	if err != nil {
		return nil, err
	}
	var loose []string
	for _, folder := range folders {
		if len(folder.Name()) != 2 || !folder.IsDir() {
			continue
		}
		files, err := os.ReadDir(filepath.Join(objects, folder.Name()))
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			text := folder.Name() + file.Name()
			if name, err := hex.DecodeString(text); err == nil && len(name) == nameSize && !packs.contain(name) {
				loose = append(loose, text)
			}
		}
	}
	return loose, nil
}

// Walk calls visit with every object but trees, each once, from several goroutines; its type
// is as git names it. The text is valid until visit returns. Walk returns the names of objects that were not
// visited because they, or what they are made of, take too much memory.
func (packs Packs) Walk(ctx context.Context, visit func(objectType, name string, text []byte)) (large []string, err error) {
	for i, p := range packs {
		more, err := p.walk(ctx, packs[:i], visit)
		if err != nil {
			return nil, err
		}
		large = append(large, more...)
	}
	return large, nil
}

// walk is Packs.Walk for the objects that are not in the packs before.
func (p *pack) walk(ctx context.Context, before Packs, visit func(objectType, name string, text []byte)) (large []string, err error) {
	roots, err := p.roots()
	if err != nil {
		return nil, err
	}
	types := map[uint8]string{kindCommit: "commit", kindBlob: "blob", kindTag: "tag"}
	var next atomic.Int64
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() error {
			u := &unpacker{pack: p}
			u.skip = func(o *packed) {
				if name := p.name(o.name); !before.contain(name) {
					mu.Lock()
					defer mu.Unlock()
					large = append(large, hex.EncodeToString(name))
				}
			}
			u.visit = func(o *packed, text []byte) error {
				if name := p.name(o.name); !before.contain(name) {
					visit(types[u.kind], hex.EncodeToString(name), text)
				}
				return ctx.Err()
			}
			for i := next.Add(1) - 1; i < int64(len(roots)); i = next.Add(1) - 1 {
				if err := u.root(roots[i]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err = group.Wait()
	return large, err
}
