package leak

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
)

// archives are files whose names tell that what is in them is packed: a key in there
// would not be found, and the rest is a waste of time.
var archives = map[string]bool{
	".zip": true, ".gz": true, ".tgz": true, ".bz2": true, ".xz": true, ".zst": true, ".7z": true, ".rar": true, ".jar": true, ".war": true,
	".png": true, ".jpg": true, ".jpeg": true, ".gif": true, ".webp": true, ".ico": true, ".mp3": true, ".mp4": true, ".mov": true, ".webm": true,
	".woff": true, ".woff2": true, ".ttf": true, ".otf": true, ".pdf": true, ".deb": true, ".rpm": true, ".apk": true, ".whl": true,
}

// Result is what a scan has seen.
type Result struct {
	Findings []Finding
	Files    int      // or blobs
	Bytes    int64    // of them
	Skipped  []string // what could not be read, and why
}

// Progress is told, now and then, how far a scan has come.
type Progress func(files int, bytes int64)

// Files looks through files, and folders with all below them but .git. Links are not
// followed.
func (s *Scanner) Files(ctx context.Context, roots []string, progress Progress) (Result, error) {
	return s.scanAll(ctx, progress, func(found chan<- string) error {
		for _, root := range roots {
			if err := walk(ctx, root, found); err != nil {
				return err
			}
		}
		return nil
	})
}

// walk sends the files below a root.
func walk(ctx context.Context, root string, found chan<- string) error {
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && path == root:
			return err
		case err != nil, entry.IsDir() && entry.Name() == ".git" && path != root:
			return skip(entry)
		case entry.Type().IsRegular() && !archives[strings.ToLower(filepath.Ext(path))]:
			found <- path
		}
		return nil
	})
}

func skip(entry fs.DirEntry) error {
	if entry != nil && entry.IsDir() {
		return filepath.SkipDir
	}
	return nil
}

// scanAll looks through the files that list sends, several at once.
func (s *Scanner) scanAll(ctx context.Context, progress Progress, list func(chan<- string) error) (Result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	paths := make(chan string, 64)
	var listErr error
	go func() {
		defer close(paths)
		listErr = list(paths)
	}()
	var mu sync.Mutex
	var result Result
	var failed error
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			var buffer []byte
			for path := range paths {
				if ctx.Err() != nil {
					continue // drain
				}
				var found []Finding
				var size int64
				var err error
				found, size, buffer, err = s.scanFile(ctx, path, buffer)
				mu.Lock()
				result.Files++
				result.Bytes += size
				result.Findings = append(result.Findings, found...)
				if err != nil {
					result.Skipped = append(result.Skipped, err.Error())
				}
				if progress != nil {
					progress(result.Files, result.Bytes)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		failed = err
	}
	return result, errors.Join(failed, listErr)
}

func (s *Scanner) scanFile(ctx context.Context, path string, buffer []byte) ([]Finding, int64, []byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, buffer, err
	}
	defer f.Close()
	var found []Finding
	info, err := f.Stat()
	if err != nil {
		return nil, 0, buffer, err
	}
	buffer, err = s.Scan(ctx, f, buffer, func(finding Finding) {
		finding.Path = path
		found = append(found, finding)
	})
	return found, info.Size(), buffer, err
}
