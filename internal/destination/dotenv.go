package destination

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
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
	location
	path    string
	machine Machine
}

const (
	maxDotenv      = 1 << 20 // bytes of the whole file
	dotenvLockWait = 10 * time.Second
)

func parseDotenv(m Machine, p location) (Destination, error) {
	if !dotenv.IsName(p.field) {
		return nil, p.refuse("a variable's name has letters, digits and _, and does not start with a digit")
	}
	path, err := filepath.Abs(p.where)
	if err != nil {
		return nil, p.refuse("its absolute path cannot be determined")
	}
	d := &dotenvFile{p, path, m}
	_, err = d.target()
	return d, err
}

// target returns the file that the path leads to, through links. Others may write to the
// registry, so its names must not be able to choose any file of this machine.
func (d *dotenvFile) target() (string, error) {
	folder, err := filepath.EvalSymlinks(filepath.Dir(d.path))
	if err != nil {
		return "", d.lacking("its folder does not exist", "create the folder first: fob creates the file, but no folders")
	}
	target := filepath.Join(folder, filepath.Base(d.path))
	if _, err := os.Lstat(target); err == nil {
		if target, err = filepath.EvalSymlinks(target); err != nil {
			return "", d.lacking("it is a broken symbolic link", "create the file that the link points to")
		}
	}
	folder = filepath.Dir(target)
	if !d.machine.AnyFolder && !slices.ContainsFunc(d.machine.DotenvRoots, func(root string) bool {
		root, err := filepath.EvalSymlinks(root)
		return err == nil && atomicfile.IsBelow(folder, root)
	}) {
		return "", &NameError{Name: sanitize.Line(d.name), Reason: "its folder is not below one of dotenv_roots, by default the working directory", Folder: folder,
			Hint: "name it with --to, and allow its folder with --allow-folder; or add the folder to dotenv_roots under [destination] in config.toml"}
	}
	return target, nil
}

func (d *dotenvFile) Name() string { return "dotenv:" + d.path + "#" + d.field }

func (d *dotenvFile) Check(value secret.Secret) error {
	if strings.ContainsAny(value.Reveal(), "\x00\r") {
		return fmt.Errorf("%w: no .env file can hold NUL or CR", ErrValue)
	}
	if n := len(value.Reveal()); n >= maxDotenv {
		return fmt.Errorf("%w: a .env file has less than %d bytes, and it has %d", ErrValue, maxDotenv, n)
	}
	return nil
}

// Deliver replaces the file, completely or not at all, with one line changed or added. The
// file's owner, group and mode are preserved, and so is a link to it.
func (d *dotenvFile) Deliver(ctx context.Context, value secret.Secret) error {
	return d.Replace(ctx, "", value)
}

// Replace implements Replacer. An interrupted rotation may have left another key than the old
// one: what the variable contained is replaced everywhere, too.
func (d *dotenvFile) Replace(ctx context.Context, old string, value secret.Secret) error {
	path, err := d.target()
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(path))
	lock, err := filelock.Acquire(ctx, filepath.Join(d.machine.LockDir, fmt.Sprintf("dotenv-%x.lock", sum[:8])), dotenvLockWait)
	if err != nil {
		return err
	}
	defer lock.Release()
	replace := atomicfile.Replace
	if d.machine.ReadOnly {
		replace = atomicfile.Probe
	}
	return replace(path, maxDotenv, func(text []byte) ([]byte, error) { return d.changed(path, string(text), old, value.Reveal()) })
}

// changed returns the text of the file with a new key.
func (d *dotenvFile) changed(path, text, old, key string) ([]byte, error) {
	if current := dotenv.Get(text, d.field); old != "" && len(current) == len(key) && strings.Trim(current, wordCharacters) == "" {
		text = dotenv.ReplaceKey(text, current, key)
	}
	text, err := dotenv.Set(dotenv.ReplaceKey(text, old, key), d.field, key)
	if wrong, ok := errors.AsType[*dotenv.SyntaxError](err); ok {
		return nil, fmt.Errorf("%s:%d: %s; nothing was changed", path, wrong.Line, wrong.Reason)
	}
	if len(text) > maxDotenv { // the file would be too large for further deliveries
		return nil, fmt.Errorf("%s would have more than %d bytes; nothing was changed", path, maxDotenv)
	}
	return []byte(text), err
}

// NotReadBy returns which common readers of .env files would not read the delivered value.
func NotReadBy(d Destination, value secret.Secret) []string {
	if _, isFile := d.(*dotenvFile); !isFile {
		return nil
	}
	return dotenv.NotReadBy(value.Reveal())
}
