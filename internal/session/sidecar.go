package session

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/seal"
)

// maxSidecar bounds what is read back; a token endpoint's answer is under 1 MiB.
const maxSidecar = 2 << 20

// sidecar is a private file that belongs to a login's record, and is sealed under
// the cache key in it: the access token's cache, or the journal of a refresh.
type sidecar struct {
	path    string
	context seal.Context
}

// cache holds the access token of a login that can refresh. It is safe to delete
// at any time.
func (s *Session) cache() sidecar {
	return s.sidecar(s.Paths.Cache, "tokens", "access-token")
}

// journal is the write-ahead file of a refresh (see journal.go).
func (s *Session) journal() sidecar {
	return s.sidecar(s.Paths.Data, "journal", "journal")
}

func (s *Session) sidecar(dir, folder, kind string) sidecar {
	c := s.context()
	c.Kind = kind
	return sidecar{filepath.Join(dir, folder, s.Profile.Name), c}
}

// read returns the file as it is. A missing one is fs.ErrNotExist, one that others
// could have planted atomicfile.ErrUnsafe.
func (f sidecar) read() ([]byte, error) { return atomicfile.Read(f.path, maxSidecar) }

// open reads sealed content into v. The errors are those of package seal.
func (f sidecar) open(h head, content []byte, v any) error {
	key, err := h.cacheKey()
	if err != nil {
		return err
	}
	plain, err := key.Open(f.context, content)
	if err != nil {
		return err
	}
	return json.Unmarshal(plain, v)
}

// seal writes v, sealed.
func (f sidecar) seal(h head, v any) error {
	key, err := h.cacheKey()
	if err != nil {
		return err
	}
	plain, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return f.write(key.Seal(f.context, plain))
}

func (f sidecar) write(content []byte) error {
	if err := atomicfile.MkdirPrivate(filepath.Dir(f.path)); err != nil {
		return err
	}
	return atomicfile.Write(f.path, content)
}

// drop deletes the file, if it is there.
func (f sidecar) drop() error {
	err := os.Remove(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
