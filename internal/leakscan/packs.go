package leakscan

import (
	"cmp"
	"context"
	"encoding/hex"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/fobcli/fob/internal/parallel"
)

// packs are those of a repository.
type packs []*pack

// maxPacks bounds how many there are looked through: a repository with more of them
// was never packed anew.
const maxPacks = 50

// openPacks opens the packs of a repository, and lists what lies beside them. Whatever is
// not as most repositories have it is an error: those are git's to read.
func openPacks(ctx context.Context, dir string) (all packs, loose []string, err error) {
	objects, err := objectsFolder(ctx, dir)
	if err != nil {
		return nil, nil, err
	}
	paths, err := filepath.Glob(escapeGlob(objects) + "/pack/*.pack")
	if err != nil || len(paths) > maxPacks {
		return nil, nil, errPack
	}
	count := 0
	for _, path := range paths {
		p, err := openPack(path)
		if err != nil {
			all.close()
			return nil, nil, err
		}
		all = append(all, p)
		if count += len(p.objects); count > maxPacked {
			all.close()
			return nil, nil, errPack
		}
	}
	loose, err = all.beside(objects)
	if err != nil {
		all.close()
	}
	return all, loose, err
}

// objectsFolder is where the objects lie of a repository that has them all in one place,
// under names of SHA-1.
func objectsFolder(ctx context.Context, dir string) (string, error) {
	if os.Getenv("GIT_ALTERNATE_OBJECT_DIRECTORIES") != "" {
		return "", errPack
	}
	out, err := gitOutput(ctx, dir, "rev-parse", "--show-object-format", "--git-path", "objects")
	if err != nil {
		return "", err
	}
	format, folder, _ := strings.Cut(strings.TrimSuffix(string(out), "\n"), "\n")
	if !filepath.IsAbs(folder) {
		folder = filepath.Join(dir, folder)
	}
	if _, err := os.Lstat(folder + "/info/alternates"); format != "sha1" || !os.IsNotExist(err) {
		return "", errPack
	}
	return folder, nil
}

// escapeGlob lets a path stand for itself.
func escapeGlob(path string) string {
	if filepath.Separator == '\\' {
		return path
	}
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

func (all packs) close() {
	for _, p := range all {
		_ = p.close()
	}
}

// has reports whether one of the packs has an object.
func (all packs) has(name []byte) bool {
	return slices.ContainsFunc(all, func(p *pack) bool {
		_, found := p.index(name)
		return found
	})
}

// beside lists the objects that are in files of their own, and in no pack.
func (all packs) beside(objects string) (loose []string, err error) {
	folders, err := os.ReadDir(objects)
	if err != nil {
		return nil, err
	}
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
			if name, err := hex.DecodeString(text); err == nil && len(name) == nameSize && !all.has(name) {
				loose = append(loose, text)
			}
		}
	}
	return loose, nil
}

// scanPacks looks through all packs, and returns what is too large for it.
func (s *Scanner) scanPacks(ctx context.Context, all packs, result *Result, progress Progress) (left []string, err error) {
	b := &batch{scanner: s, mu: new(sync.Mutex), result: result, progress: progress}
	for i, p := range all {
		more, err := b.pack(ctx, p, all[:i])
		if err != nil {
			return nil, err
		}
		left = append(left, more...)
	}
	return left, nil
}

// pack looks through what a pack has and none before it had, several families at once.
func (b *batch) pack(ctx context.Context, p *pack, before packs) (left []string, err error) {
	roots, err := p.families()
	if err != nil {
		return nil, err
	}
	next := new(atomic.Int64)
	workers := runtime.GOMAXPROCS(0)
	lefts, failed := make([][]string, workers), make([]error, workers)
	parallel.Do(workers, workers, func(w int) {
		u := &unpacker{pack: p}
		u.left = func(o *packed) {
			if !before.has(p.name(o.name)) {
				lefts[w] = append(lefts[w], p.hexName(o))
			}
		}
		u.whole = func(o *packed, text []byte) error {
			if !before.has(p.name(o.name)) {
				b.whole(text, func() string { return p.hexName(o) })
			}
			return ctx.Err()
		}
		for r := next.Add(1) - 1; r < int64(len(roots)) && failed[w] == nil; r = next.Add(1) - 1 {
			failed[w] = u.root(roots[r])
		}
		if failed[w] != nil {
			next.Store(int64(len(roots))) // for the others, too
		}
	})
	return slices.Concat(lefts...), cmp.Or(failed...)
}

// whole looks through an object that is in memory.
func (b *batch) whole(text []byte, name func() string) {
	var found []Finding
	for _, m := range b.scanner.find(text, true) {
		line, column := advance(text[:m.start], 1, 1)
		f := m.finding(text, line, column)
		f.Path = name()
		found = append(found, f)
	}
	b.looked(int64(len(text)), found)
}
