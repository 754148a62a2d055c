package destination

import (
	"bytes"
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
	"github.com/fobcli/fob/internal/filelock"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/secret"
)

// dotenv is a line NAME=VALUE of a file, in a folder that this machine allows.
type dotenv struct {
	path, variable string
	lockDir        string
	readOnly       bool
}

const (
	maxDotenv      = 1 << 20 // bytes of the whole file
	dotenvLockWait = 10 * time.Second
)

func parseDotenv(m Machine, p location) (Destination, error) {
	if !isIdentifier(p.field) {
		return nil, p.refuse("a variable's name has letters, digits and _, and no digit in front")
	}
	path, err := filepath.Abs(p.where)
	if err != nil {
		return nil, p.refuse("it has no absolute path here")
	}
	d := &dotenv{path, p.field, m.LockDir, m.ReadOnly}
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

func (d *dotenv) Name() string { return "dotenv:" + d.path + "#" + d.variable }

func (d *dotenv) Check(value secret.Secret) error {
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
func (d *dotenv) Deliver(ctx context.Context, value secret.Secret) error {
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
	changed, err := setVariable(text, d.variable, value.Reveal())
	if err != nil {
		return fmt.Errorf("%s: %w", d.path, err)
	}
	if len(changed) > maxDotenv { // nothing could be delivered there any more
		return fmt.Errorf("%s would have more than %d bytes; nothing was changed", d.path, maxDotenv)
	}
	if d.readOnly {
		return atomicfile.Probe(d.path)
	}
	return atomicfile.Write(d.path, changed)
}

// setVariable sets a variable in the text of a .env file: where it stands, and each time
// that it does, else at the end.
func setVariable(text []byte, name, value string) ([]byte, error) {
	end := "\n"
	if bytes.Contains(text, []byte("\r\n")) {
		end = "\r\n"
	}
	var changed strings.Builder
	set := false
	for rest := string(text); rest != ""; {
		line, after, err := cutAssignment(rest)
		if err != nil {
			return nil, err
		}
		rest = after
		before, isIt := assigns(line, name)
		if !isIt {
			changed.WriteString(line)
			continue
		}
		changed.WriteString(before + quoteDotenv(value) + end)
		set = true
	}
	if !set {
		if kept := changed.String(); kept != "" && !strings.HasSuffix(kept, "\n") {
			changed.WriteString(end)
		}
		changed.WriteString(DotenvLine(name, value) + end)
	}
	return []byte(changed.String()), nil
}

// cutAssignment cuts the first line off, with the others that its quotes reach over.
func cutAssignment(text string) (line, rest string, err error) {
	end := lineEnd(text, 0)
	_, value, isAssignment := strings.Cut(text[:end], "=")
	start := strings.TrimLeft(value, " \t")
	if !isAssignment || strings.HasPrefix(strings.TrimLeft(text, " \t"), "#") || start == "" || start[0] != '"' && start[0] != '\'' {
		return text[:end], text[end:], nil
	}
	opening := end - len(start)
	for i := opening + 1; i < len(text); i++ {
		switch {
		case text[i] == '\\' && start[0] == '"':
			i++
		case text[i] == start[0]:
			end = lineEnd(text, i)
			return text[:end], text[end:], nil
		}
	}
	return "", "", errors.New("a quote in it is not closed; nothing was changed")
}

func lineEnd(text string, from int) int {
	if i := strings.IndexByte(text[from:], '\n'); i >= 0 {
		return from + i + 1
	}
	return len(text)
}

// assigns reports whether a line sets a variable, and what stands up to its value.
func assigns(line, name string) (before string, isIt bool) {
	left, _, found := strings.Cut(line, "=")
	variable := strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(left), "export "))
	return left + "=", found && variable == name
}

// DotenvLine is a variable as a line of a .env file, without its end. The value holds
// neither NUL nor CR.
func DotenvLine(name, value string) string { return name + "=" + quoteDotenv(value) }

// quoteDotenv quotes a value so that shells and dotenv libraries read it alike.
func quoteDotenv(value string) string {
	switch {
	case value != "" && strings.Trim(value, wordCharacters+"-./:@%+,") == "":
		return value
	case !strings.ContainsAny(value, "'\n"):
		return "'" + value + "'"
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`", "\n", `\n`).Replace(value) + `"`
}
