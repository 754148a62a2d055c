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

// maxCacheFile limits what is read; a token endpoint's response is under 1 MiB.
const maxCacheFile = 2 << 20

// cacheFile is a private file beside a login's record, sealed under the cache key in it: a
// cached token, or the journal of a refresh.
type cacheFile struct {
	path    string
	context seal.Context
}

// cache is the file of a login's access token for a target. It can be deleted at any time.
func (s *Session) cache(t Target) cacheFile {
	c := s.cacheFile(s.Paths.Cache, "tokens", "access-token")
	if t != (Target{}) {
		return c.apart(t.Scope + "\n" + t.Resource)
	}
	return c
}

// apart is another file beside this one, for what.
func (f cacheFile) apart(what string) cacheFile {
	sum := sha256.Sum256([]byte(what))
	suffix := "." + hex.EncodeToString(sum[:targetLength])
	f.path += suffix
	f.context.Kind += suffix
	return f
}

// RemoveFiles deletes the files beside the records, of all profiles. Folders with other files
// stay.
func RemoveFiles(paths config.Paths) error {
	err := errors.Join(os.RemoveAll(filepath.Join(paths.Cache, "tokens")), os.RemoveAll(filepath.Join(paths.Data, "journal")))
	_ = os.Remove(paths.Cache) // only if it is empty
	return err
}

// targetLength is how many bytes of a hash distinguish the targets of one login.
const targetLength = 16

// dropCaches deletes the cached tokens of all targets. No profile's name has a dot.
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

// read returns the file's sealed content. The errors are those of atomicfile.Read.
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
