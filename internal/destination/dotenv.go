package destination

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/dotenv"
	"github.com/fobcli/fob/internal/filelock"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/secret"
)

// dotenvFile is a line NAME=VALUE of a file, in a folder that this machine allows.
type dotenvFile struct {
	path, variable string
	lockDir        string
	readOnly       bool
}

const (
	maxDotenv      = 1 << 20 // bytes of the whole file
	dotenvLockWait = 10 * time.Second
)

func parseDotenv(m Machine, p location) (Destination, error) {
	if !dotenv.IsName(p.field) {
		return nil, p.refuse("a variable's name has letters, digits and _, and no digit in front")
	}
	path, err := filepath.Abs(p.where)
	if err != nil {
		return nil, p.refuse("it has no absolute path here")
	}
	d := &dotenvFile{path, p.field, m.LockDir, m.ReadOnly}
	folder, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return nil, p.lacking("there is no such folder", "make its folder first: fob makes the file, and no folder")
	}
	// The registry may be shared, and its words choose no file of this machine.
	if !m.AnyFolder && !slices.ContainsFunc(m.DotenvRoots, func(root string) bool {
		target, err := filepath.EvalSymlinks(root)
		return err == nil && atomicfile.IsBelow(folder, target)
	}) {
		return nil, &NameError{Name: sanitize.Line(p.name), Reason: "its folder is not below one of dotenv_roots, by default the working directory", Folder: folder,
			Hint: "name it with --to, and allow its folder with --allow-folder; or add the folder to dotenv_roots under [destination] in config.toml"}
	}
	return d, nil
}

func (d *dotenvFile) Name() string { return "dotenv:" + d.path + "#" + d.variable }

func (d *dotenvFile) Check(value secret.Secret) error {
	if strings.ContainsAny(value.Reveal(), "\x00\r") {
		return fmt.Errorf("%w: no .env file can hold NUL or CR", ErrValue)
	}
	if n := len(value.Reveal()); n >= maxDotenv {
		return fmt.Errorf("%w: a .env file has less than %d bytes, and it has %d", ErrValue, maxDotenv, n)
	}
	return nil
}

// Deliver writes the file anew, whole or not at all, mode 0600, with one line changed or
// added. Comments and all other lines stay as they are.
func (d *dotenvFile) Deliver(ctx context.Context, value secret.Secret) error {
	sum := sha256.Sum256([]byte(d.path))
	lock, err := filelock.Acquire(ctx, filepath.Join(d.lockDir, fmt.Sprintf("dotenv-%x.lock", sum[:8])), dotenvLockWait)
	if err != nil {
		return err
	}
	defer lock.Release()
	info, err := os.Lstat(d.path)
	if err == nil && !info.Mode().IsRegular() { // a link may lead out of the roots
		return fmt.Errorf("%s is not a regular file", d.path)
	}
	text, err := atomicfile.ReadRegular(d.path, maxDotenv)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	changed, err := dotenv.Set(string(text), d.variable, value.Reveal())
	if wrong, ok := errors.AsType[*dotenv.SyntaxError](err); ok {
		return fmt.Errorf("%s:%d: %s; nothing was changed", d.path, wrong.Line, wrong.Reason)
	}
	if len(changed) > maxDotenv { // nothing could be delivered there any more
		return fmt.Errorf("%s would have more than %d bytes; nothing was changed", d.path, maxDotenv)
	}
	if d.readOnly {
		return atomicfile.Probe(d.path)
	}
	return atomicfile.Write(d.path, []byte(changed))
}

// NotReadBy returns which common readers of a .env file read another value than the one that
// is delivered.
func NotReadBy(d Destination, value secret.Secret) []string {
	if _, isFile := d.(*dotenvFile); !isFile {
		return nil
	}
	return dotenv.NotReadBy(value.Reveal())
}
