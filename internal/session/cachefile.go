package session

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/seal"
)

// maxCacheFile bounds what is read back; a token endpoint's answer is under 1 MiB.
const maxCacheFile = 2 << 20

// cacheFile is a private file that belongs to a login's record, and is sealed under
// the cache key in it: the access token's cache, or the journal of a refresh.
type cacheFile struct {
	path    string
	context seal.Context
}

// cache holds the access token of a login that can refresh. It is safe to delete
// at any time. Tokens for another target lie beside, each bound to its own.
func (s *Session) cache(t Target) cacheFile {
	c := s.cacheFile(s.Paths.Cache, "tokens", "access-token")
	if t != (Target{}) {
		return c.apart(t.Scope + "\n" + t.Resource)
	}
	return c
}

// apart lies beside a file, for something else that it is named by.
func (f cacheFile) apart(what string) cacheFile {
	sum := sha256.Sum256([]byte(what))
	suffix := "." + hex.EncodeToString(sum[:targetLength])
	f.path += suffix
	f.context.Kind += suffix
	return f
}

// RemoveFiles deletes what sessions keep beside the records, of all profiles. Folders
// that hold anything else stay.
func RemoveFiles(paths config.Paths) error {
	err := errors.Join(os.RemoveAll(filepath.Join(paths.Cache, "tokens")), os.RemoveAll(filepath.Join(paths.Data, "journal")))
	_ = os.Remove(paths.Cache) // only if it is empty
	return err
}

// targetLength is how many bytes of a hash tell two targets of one login apart.
const targetLength = 16

// dropCaches deletes the access tokens of the login, whatever they are for. No name
// of a profile holds a dot.
func (s *Session) dropCaches() error {
	path := s.cache(Target{}).path
	others, err := filepath.Glob(path + ".*")
	for _, other := range append(others, path) {
		err = errors.Join(err, cacheFile{path: other}.drop())
	}
	return err
}

// dropFiles deletes all that lies beside the login's record.
func (s *Session) dropFiles() error { return errors.Join(s.dropCaches(), s.journal().drop()) }

// journal is the write-ahead file of a refresh (see journal.go).
func (s *Session) journal() cacheFile {
	return s.cacheFile(s.Paths.Data, "journal", "journal")
}

func (s *Session) cacheFile(dir, folder, kind string) cacheFile {
	c := s.context()
	c.Kind = kind
	return cacheFile{filepath.Join(dir, folder, s.Profile.Name), c}
}

// read returns the file as it is. A missing one is fs.ErrNotExist, one that others
// could have planted atomicfile.ErrUnsafe.
func (f cacheFile) read() ([]byte, error) { return atomicfile.Read(f.path, maxCacheFile) }

// open reads sealed content into v. The errors are those of package seal.
func (f cacheFile) open(h head, content []byte, v any) error {
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
func (f cacheFile) seal(h head, v any) error {
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

func (f cacheFile) write(content []byte) error {
	if err := atomicfile.MkdirPrivate(filepath.Dir(f.path)); err != nil {
		return err
	}
	return atomicfile.Write(f.path, content)
}

// drop deletes the file, if it is there.
func (f cacheFile) drop() error {
	err := os.Remove(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
