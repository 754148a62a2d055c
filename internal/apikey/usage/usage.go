// Package usage collects the uses of API keys on this machine and adds them to the registry
// in batches, so that no verification waits for a write.
package usage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/atomicfile"
)

// Spool is a registry's file in a folder that may be deleted at any time: usage is
// approximate.
type Spool struct {
	Dir      string
	Registry string // its id
}

func (s Spool) path() string { return filepath.Join(s.Dir, fileName+"-"+s.Registry) }

const (
	fileName = "key-uses"
	// maxSize is the size at which the file is folded: 2,500 uses.
	maxSize = 64 << 10
	// maxAge is how long a use may be missing in the registry.
	maxAge = 10 * time.Minute
)

// Add records a use, and reports whether to call Fold.
func (s Spool) Add(u apikey.Use) (full bool, err error) {
	path := s.path()
	if err := errors.Join(atomicfile.MkdirPrivate(s.Dir), atomicfile.Touch(path)); err != nil {
		return false, err
	}
	if err := atomicfile.Check(path); err != nil && !errors.Is(err, fs.ErrNotExist) { // another process may have just folded it
		return false, err
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return false, err
	}
	defer f.Close()
	if _, err := fmt.Fprintf(f, "%s %d\n", u.ID, apikey.Milliseconds(u.Last)); err != nil {
		return false, err
	}
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	start := make([]byte, 40)
	n, _ := f.ReadAt(start, 0)
	line, _, _ := bytes.Cut(start[:n], []byte("\n"))
	first, known := parseUse(line)
	return info.Size() > maxSize || known && u.Last.Sub(first.Last) > maxAge, nil
}

// Remove deletes the spools of all registries.
func (s Spool) Remove() error {
	spools, err := filepath.Glob(filepath.Join(s.Dir, fileName+"*"))
	for _, path := range spools {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

func parseUse(line []byte) (apikey.Use, bool) {
	id, at, found := bytes.Cut(line, []byte(" "))
	ms, err := strconv.ParseInt(string(at), 10, 64)
	if !found || err != nil || apikey.CheckID(string(id)) != nil {
		return apikey.Use{}, false
	}
	return apikey.Use{ID: string(id), Count: 1, Last: apikey.FromMilliseconds(ms)}, true
}

// Fold passes the collected uses to store, and deletes them, even if store fails: they are
// not worth a second file.
func (s Spool) Fold(ctx context.Context, store func(context.Context, []apikey.Use) error) error {
	spool := s.path() + "." + strconv.Itoa(os.Getpid())
	err := os.Rename(s.path(), spool)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	text, err := atomicfile.Read(spool, 100*maxSize)
	if err = errors.Join(err, os.Remove(spool)); err != nil {
		return err
	}
	sums := make(map[string]apikey.Use)
	for line := range bytes.Lines(text) {
		if u, ok := parseUse(bytes.TrimSpace(line)); ok {
			u.Count += sums[u.ID].Count
			if last := sums[u.ID].Last; last.After(u.Last) {
				u.Last = last
			}
			sums[u.ID] = u
		}
	}
	if len(sums) == 0 {
		return nil
	}
	return store(ctx, slices.Collect(maps.Values(sums)))
}
