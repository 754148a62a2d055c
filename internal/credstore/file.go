package credstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const maxSealed = MaxRecord + 1024

// FileOptions say where records lie as files, and what opens them.
type FileOptions struct {
	DataDir string
	Key     KeySource
}

// NewFile is the storage in sealed files, DATA/records/<kind>/<name>, for
// machines that have no keyring.
func NewFile(o FileOptions) *Store {
	return &Store{items: tracedItems{fileItems{filepath.Join(o.DataDir, "records")}, "file"}, key: o.Key, dataDir: o.DataDir, backend: "file"}
}

type fileItems struct{ dir string }

func (f fileItems) path(name string) string { return filepath.Join(f.dir, filepath.FromSlash(name)) }

func (fileItems) limit() int { return 0 }

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
