// Package envfile parses files of variables that refer to credentials (fob://secret/NAME,
// fob://token/PROFILE), and records which references the user has allowed.
package envfile

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/dotenv"
)

// Scheme is the prefix of a reference within a text.
const Scheme = "fob://"

// Variable is a variable for a program: a text, with references in it.
type Variable struct{ Name, Value string }

// File is an env file. It is read once, so that what was allowed is what is used.
type File struct {
	Path      string // absolute, as given; "" for a pipe
	Target    string // Path with its links resolved
	Variables []Variable
}

// SyntaxError is an invalid line.
type SyntaxError struct{ What, Hint string }

func (e *SyntaxError) Error() string { return e.What }

const maxFile = 16 << 20

// Read reads an env file. For a pipe, it waits for the writer.
func Read(path string) (*File, error) {
	f := &File{}
	from := path
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		f.Path, err = filepath.Abs(path)
		target, targetErr := filepath.Abs(resolved)
		if err := errors.Join(err, targetErr); err != nil {
			return nil, err
		}
		f.Target, from = target, target
	}
	text, err := atomicfile.ReadPublic(from, maxFile)
	if err != nil {
		return nil, err
	}
	f.Variables, err = Parse(path, string(text))
	return f, err
}

// Uses returns which variable gets which credential, sorted, each as NAME=REFERENCE.
func (f *File) Uses() []string {
	var uses []string
	for _, v := range f.Variables {
		for text := v.Value; text != ""; {
			var reference string
			if _, reference, text = CutReference(text); reference != "" {
				uses = append(uses, v.Name+"="+reference)
			}
		}
	}
	slices.Sort(uses)
	return slices.Compact(uses)
}

// Parse reads the text of a file; its name is for errors.
func Parse(name, text string) ([]Variable, error) {
	found, err := dotenv.Parse(text)
	if wrong, ok := errors.AsType[*dotenv.SyntaxError](err); ok {
		return nil, &SyntaxError{fmt.Sprintf("%s:%d: %s", name, wrong.Line, wrong.Reason), `put the whole value in quotes, 'like this' or "like this"; comments start with #`}
	}
	var variables []Variable
	for _, v := range found {
		if strings.ContainsRune(v.Value, 0) {
			return nil, &SyntaxError{fmt.Sprintf("%s:%d: the value contains a NUL byte", name, v.Line), "no variable can hold one: encode the value, for example in base64"}
		}
		if wrong := wrongReference(v.Value); wrong != "" {
			return nil, &SyntaxError{fmt.Sprintf("%s:%d: %s is neither fob://token/PROFILE nor fob://secret/NAME", name, v.Line, wrong),
				"write fob://token/PROFILE or fob://secret/NAME; 'fob status' and 'fob secret list' show the names"}
		}
		variables = append(variables, Variable{v.Name, v.Value})
	}
	return variables, err
}

const nameCharacters = "abcdefghijklmnopqrstuvwxyz0123456789-"

// wrongReference returns an invalid reference, which a program would otherwise get as its
// password. It returns no more of the text, because there may be a password in it.
func wrongReference(text string) string {
	for text != "" {
		before, reference, behind := CutReference(text)
		if at := strings.Index(before, Scheme); at >= 0 {
			wrong := before[at+len(Scheme):]
			return Scheme + wrong[:len(wrong)-len(strings.TrimLeft(wrong, nameCharacters+strings.ToUpper(nameCharacters)+"_/"))]
		}
		if reference != "" && config.CheckReference(reference) != nil {
			return Scheme + reference
		}
		text = behind
	}
	return ""
}

// CutReference splits a text at its first reference, which has no scheme in the result and
// may be "". It ends at the first character that names cannot have.
func CutReference(text string) (before, reference, behind string) {
	for at := range text {
		rest, found := strings.CutPrefix(text[at:], Scheme)
		characters := nameCharacters
		switch {
		case found && strings.HasPrefix(rest, config.SecretPrefix):
			characters += "/"
		case !found || !strings.HasPrefix(rest, config.TokenPrefix):
			continue
		}
		name := strings.IndexByte(rest, '/') + 1
		end := len(rest) - len(strings.TrimLeft(rest[name:], characters))
		return text[:at], rest[:end], rest[end:]
	}
	return text, "", ""
}

// Approvals is a private folder with a file for each path and set of references that the
// user has allowed. Changing the path, a variable or a reference requires a new approval.
// So does a link to an allowed file: a clone may contain one to get the credentials.
type Approvals struct{ Dir string }

// approval returns an approval's content, and the path of the file that contains it.
func (a Approvals) approval(f *File) (path, text string) {
	text = strconv.Quote(f.Path) + "\n" + strconv.Quote(f.Target) + "\n" + strings.Join(f.Uses(), "\n") + "\n"
	sum := sha256.Sum256([]byte(text))
	return filepath.Join(a.Dir, hex.EncodeToString(sum[:])), text
}

// Has reports whether the user has allowed a file's references.
func (a Approvals) Has(f *File) (bool, error) {
	path, text := a.approval(f)
	stored, err := atomicfile.Read(path, int64(len(text)))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return string(stored) == text, err
}

// Add allows a file's references.
func (a Approvals) Add(f *File) error {
	if err := atomicfile.MkdirPrivate(a.Dir); err != nil {
		return err
	}
	path, text := a.approval(f)
	return atomicfile.Write(path, []byte(text))
}

// NotAllowedBy returns what a file uses and an allow list (references by folder) does not
// include. A folder's references apply to all files below it, but not to links from
// outside.
func (f *File) NotAllowedBy(list map[string][]string) []string {
	var allowed []string
	for folder, references := range list {
		if root, err := filepath.EvalSymlinks(folder); err == nil && atomicfile.IsBelow(f.Target, root) && (atomicfile.IsBelow(f.Path, folder) || atomicfile.IsBelow(f.Path, root)) {
			allowed = append(allowed, references...)
		}
	}
	return slices.DeleteFunc(f.Uses(), func(use string) bool {
		_, reference, _ := strings.Cut(use, "=")
		return slices.Contains(allowed, reference)
	})
}
