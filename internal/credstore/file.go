package credstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fobcli/fob/internal/atomicfile"
)

// maxRecord bounds a sealed record.
const maxRecord = 1 << 20

// FileOptions say where records lie as files, and what opens them.
type FileOptions struct {
	DataDir string
	Key     KeySource
}

// NewFile is the storage in sealed files, DATA/records/<kind>/<name>, for
// machines that have no keyring.
func NewFile(o FileOptions) *Store {
	return &Store{items: fileItems{filepath.Join(o.DataDir, "records")}, key: o.Key}
}

type fileItems struct{ dir string }

func (f fileItems) path(kind, name string) string { return filepath.Join(f.dir, kind, name) }

func (f fileItems) get(_ context.Context, kind, name string) ([]byte, error) {
	sealed, err := readFile(f.path(kind, name), maxRecord)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotFound
	}
	return sealed, err
}

func (f fileItems) set(_ context.Context, kind, name string, sealed []byte) error {
	if len(sealed) > maxRecord {
		return ErrTooLarge
	}
	path := f.path(kind, name)
	err := atomicfile.MkdirPrivate(filepath.Dir(path))
	if err == nil {
		err = atomicfile.Write(path, sealed)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotWritten, err)
	}
	return nil
}

func (f fileItems) delete(_ context.Context, kind, name string) error {
	err := os.Remove(f.path(kind, name))
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnusable, err)
	}
	return nil
}
