package doctor

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/sanitize"
)

// Folder checks one of fob's folders and everything in it, as fob does before reading:
// owned by this user, files 0600 and folders 0700, no links.
func Folder(check, dir string) Finding {
	entries, unsafe := 0, 0
	var worst error
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist) && path != dir: // a temp file of another process
			return nil
		case err != nil:
			return err
		case entry.IsDir():
			err = atomicfile.CheckDir(path)
		default:
			err = atomicfile.Check(path)
		}
		entries++
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			unsafe++
			if worst == nil {
				worst = err
			}
		}
		return nil
	})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Fine(check, "%s does not exist yet: the first login creates it", dir)
	case err != nil:
		return Failed(check, err, "get access to "+dir)
	case worst != nil:
		f := Failed(check, worst, fmt.Sprintf("run 'chmod -R go= %s'; inspect and remove links and files of other users", sanitize.ShellQuote(dir)))
		if fix := atomicfile.Fix(worst); fix != "" {
			f.Fix = "run '" + fix + "'"
		}
		if unsafe > 1 {
			f.Detail += fmt.Sprintf(", and %d more", unsafe-1)
		}
		return f
	}
	return Fine(check, "%s: private, %d entries", dir, entries)
}

// Below these, a file system is reported as full or nearly full.
const (
	leastSpace = 1 << 20
	lowSpace   = 50 << 20
)

// FreeSpace checks the file system of a folder that may not exist yet.
func FreeSpace(check, dir string) Finding {
	free, err := freeBytes(dir)
	for parent := filepath.Dir(dir); errors.Is(err, fs.ErrNotExist) && parent != filepath.Dir(parent); parent = filepath.Dir(parent) {
		free, err = freeBytes(parent)
	}
	if err != nil {
		return Failed(check, fmt.Errorf("the file system of %s: %w", dir, err), "check the disk of "+dir)
	}
	return judgeSpace(check, dir, free)
}

func judgeSpace(check, dir string, free uint64) Finding {
	if free >= lowSpace {
		return Fine(check, "%d MiB free for %s", free>>20, dir)
	}
	f := Warn(check, fmt.Sprintf("%d MiB free for %s", free>>20, dir), "free space on that disk, or move fob's files with FOB_HOME")
	if free < leastSpace {
		f.State, f.Detail = Problem, fmt.Sprintf("%d KiB free for %s: the next refresh may not be saved", free>>10, dir)
	}
	return f
}

// maxCAFile bounds a CA file; the bundles of whole systems have a quarter of a megabyte.
const maxCAFile = 16 << 20

// CAFile checks the certificates that are trusted besides the system's. fix is how to
// configure another file.
func CAFile(path string, now time.Time, fix string) Finding {
	const check = "CA file"
	text, err := atomicfile.ReadRegular(path, maxCAFile)
	if err != nil {
		return Failed(check, err, fix)
	}
	count := 0
	var expired []string
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		count++
		certificate, err := x509.ParseCertificate(block.Bytes)
		switch {
		case err != nil:
			return Failed(check, fmt.Errorf("%s: certificate %d does not parse: %w", path, count, err), fix)
		case now.After(certificate.NotAfter):
			expired = append(expired, sanitize.Line(certificate.Subject.String())+" on "+certificate.NotAfter.UTC().Format(time.DateOnly))
		}
	}
	switch {
	case count == 0:
		return Failed(check, fmt.Errorf("%s contains no PEM certificate", path), fix)
	case len(expired) > 0:
		f := Fine(check, "%s: %d of %d certificates expired: %s", path, len(expired), count, sanitize.Line(strings.Join(expired, "; ")))
		f.State, f.Fix = Warning, "get new ones from the server's administrator, and replace them in the file"
		if len(expired) == count {
			f.State = Problem
		}
		return f
	}
	return Fine(check, "%s: certificates: %d, none expired", path, count)
}
