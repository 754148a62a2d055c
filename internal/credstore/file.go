package credstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fobcli/fob/internal/atomicfile"
)

const maxSealed = MaxRecord + 1024

// FileOptions configures the storage in files.
type FileOptions struct {
	DataDir string
	Key     KeySource
}

// NewFile returns the storage in sealed files, DATA/records/KIND/NAME, for machines without
// a keyring.
func NewFile(o FileOptions) *Store {
	return &Store{items: tracedItems{fileItems{filepath.Join(o.DataDir, "records")}, "file"}, key: o.Key, dataDir: o.DataDir, backend: "file"}
}

type fileItems struct{ dir string }

func (f fileItems) path(name string) string { return filepath.Join(f.dir, filepath.FromSlash(name)) }

func (fileItems) limit() int { return 0 }

func (f fileItems) names() []string {
	names, _ := fs.Glob(os.DirFS(f.dir), "*/*") // only a bad pattern is an error
	return slices.DeleteFunc(names, func(name string) bool { return strings.Contains(name, "/.") })
}

func (f fileItems) get(_ context.Context, names ...string) ([][]byte, error) {
	var all [][]byte
	for _, name := range names {
		sealed, err := readFile(f.path(name), maxSealed)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, ErrNotFound
		}
		if err != nil {
			return nil, err
		}
		all = append(all, sealed)
	}
	return all, nil
}

func (f fileItems) set(_ context.Context, items ...item) error {
	for _, item := range items {
		if err := writePrivate(f.path(item.name), item.sealed); err != nil {
			return err
		}
	}
	return nil
}

func (f fileItems) delete(_ context.Context, names ...string) (deleted int, err error) {
	for _, name := range names {
		switch err := os.Remove(f.path(name)); {
		case err == nil:
			deleted++
		case !errors.Is(err, fs.ErrNotExist):
			return deleted, fmt.Errorf("%w: %w", ErrUnusable, err)
		}
	}
	return deleted, nil
}

// maxSmall bounds files with a key, an id or parameters. It exceeds their size, so that
// extra lines are reported as damage.
const maxSmall = 4096

// readFile reads a private file. A missing one is fs.ErrNotExist, any other failure
// ErrUnusable.
func readFile(path string, limit int64) ([]byte, error) {
	data, err := atomicfile.Read(path, limit)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", ErrUnusable, err)
	}
	return data, err
}

// readOrCreate reads a small file of the data folder. With create, a missing one is created
// with the content from fresh; if several processes do so, the first wins.
func readOrCreate(path string, create bool, fresh func() []byte) ([]byte, error) {
	data, err := readFile(path, maxSmall)
	if !create || !errors.Is(err, fs.ErrNotExist) {
		return data, err
	}
	if err := createOnce(path, fresh()); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotWritten, err)
	}
	return readFile(path, maxSmall)
}

// createOnce creates a file, unless another process has just created it.
func createOnce(path string, data []byte) error {
	if err := atomicfile.MkdirPrivate(filepath.Dir(path)); err != nil {
		return err
	}
	if err := atomicfile.Create(path, data); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

func writePrivate(path string, data []byte) error {
	err := atomicfile.MkdirPrivate(filepath.Dir(path))
	if err == nil {
		err = atomicfile.Write(path, data)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotWritten, err)
	}
	return nil
}

// remove deletes a file of the data folder, if it exists.
func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrUnusable, err)
	}
	return nil
}

// resolve resolves all links of a path that may not exist.
func resolve(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	resolved, err := filepath.EvalSymlinks(path)
	dir := filepath.Dir(path)
	if !errors.Is(err, fs.ErrNotExist) || dir == path {
		return resolved, err
	}
	dir, err = resolve(dir)
	return filepath.Join(dir, filepath.Base(path)), err
}

// RemoveData deletes everything that storages have in a data folder: records, keys and
// locks, and the folder if it is then empty. Items in the OS keyring are deleted with their
// records.
func RemoveData(dataDir string) error {
	var failed error
	for _, name := range []string{"records", "pieces", "previous", "locks", "id", "seal.key", "seal.json"} {
		failed = errors.Join(failed, os.RemoveAll(filepath.Join(dataDir, name)))
	}
	_ = os.Remove(dataDir) // only if it is empty
	return failed
}
