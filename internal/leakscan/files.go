package leakscan

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
)

// archives are extensions of compressed files, in which no key would be found.
const archives = " .zip .gz .tgz .bz2 .xz .zst .7z .rar .jar .war .png .jpg .jpeg .gif .webp .ico .mp3 .mp4 .mov .webm .woff .woff2 .ttf .otf .pdf .deb .rpm .apk .whl "

// Result is what a scan found, and what it could not scan.
type Result struct {
	Findings   []Finding
	Files      int   // or blobs
	Bytes      int64 // of them
	Unread     []Unread
	Submodules []string // of a git repository: they are repositories of their own
}

// Unread is something that should have been scanned and was not.
type Unread struct {
	Path string
	Err  error
}

func (u Unread) String() string { return u.Path + ": " + u.Err.Error() }

func unread(path string, err error) Unread {
	if failed, ok := errors.AsType[*fs.PathError](err); ok { // it has the path, too
		err = failed.Err
	}
	return Unread{path, err}
}

// Progress is called with what has been scanned so far.
type Progress func(files int, bytes int64)

type collector struct {
	mu       sync.Mutex
	result   Result
	progress Progress
	folders  sync.Map // of git, by a folder in the repository
}

func (c *collector) add(r Result) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.result.Findings = append(c.result.Findings, r.Findings...)
	c.result.Unread = append(c.result.Unread, r.Unread...)
	c.result.Files += r.Files
	c.result.Bytes += r.Bytes
	if c.progress != nil {
		c.progress(c.result.Files, c.result.Bytes)
	}
}

// Files scans files, and folders with all that is below them except .git. Links are
// followed only if they are named.
func (s *Scanner) Files(ctx context.Context, roots []string, progress Progress) (Result, error) {
	return s.scanAll(ctx, progress, func(found chan<- candidate) error {
		for _, root := range roots {
			info, err := os.Stat(root)
			switch {
			case err != nil || info.Mode().IsRegular():
				found <- candidate{root, err}
			case !info.IsDir():
				return fmt.Errorf("%s: %w", root, ErrNoFile)
			default:
				if err := walk(ctx, root+string(filepath.Separator), found); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// ErrNoFile is what is neither a file nor a folder: its reader could wait for ever.
var ErrNoFile = errors.New("it is neither a file nor a folder")

type candidate struct {
	path string
	err  error
}

func walk(ctx context.Context, root string, found chan<- candidate) error {
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			found <- candidate{path, err}
		case entry.IsDir() && entry.Name() == ".git" && path != root:
			return filepath.SkipDir
		case entry.Type().IsRegular() && !strings.Contains(archives, " "+strings.ToLower(filepath.Ext(path))+" "):
			found <- candidate{path: path}
		}
		return nil
	})
}

func (s *Scanner) scanAll(ctx context.Context, progress Progress, list func(chan<- candidate) error) (Result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	paths := make(chan candidate, 64)
	var listErr error
	go func() {
		defer close(paths)
		listErr = list(paths)
	}()
	c := &collector{progress: progress}
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			var buffer []byte
			for file := range paths {
				if ctx.Err() != nil {
					continue // drain
				}
				if file.err == nil {
					buffer, file.err = s.scanFile(ctx, c, file.path, buffer)
				}
				if file.err != nil && !errors.Is(file.err, fs.ErrNotExist) { // one that is gone needs no scan
					c.add(Result{Unread: []Unread{unread(file.path, file.err)}})
				}
			}
		})
	}
	wg.Wait()
	return c.result, errors.Join(ctx.Err(), listErr)
}

func (s *Scanner) scanFile(ctx context.Context, c *collector, path string, buffer []byte) ([]byte, error) {
	f, info, err := openRegular(path)
	if err != nil {
		return buffer, err
	}
	defer f.Close()
	r := Result{Files: 1, Bytes: info.Size()}
	buffer, err = s.Scan(ctx, f, buffer, r.collect(File, path))
	if err == nil && info.Size() < maxPointer {
		s.scanContent(ctx, c, filepath.Dir(path), buffer[:info.Size()], File, path)
	}
	c.add(r)
	return buffer, err
}

// collect returns a function that adds what is found in a place.
func (r *Result) collect(kind Kind, path string) func(Finding) {
	return func(f Finding) {
		f.Kind, f.Path = kind, path
		r.Findings = append(r.Findings, f)
	}
}

// openRegular opens a file. It may have become a pipe since it was listed, or be a link to
// a device: opening that must not wait, and reading it would not end.
func openRegular(path string) (*os.File, fs.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: %w", path, ErrNoFile)
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, info, nil
}
