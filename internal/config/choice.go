package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/sanitize"
)

// ProjectFile is a file in a project's folder that selects the profile for it and the
// folders below. Others may have written it, so it can only select an existing profile.
const ProjectFile = ".fob.toml"

const maxProjectFile = 64 << 10

// Choice is a profile's name and what selected it. The zero value is none.
type Choice struct {
	Name string
	By   string // one of the constants below, or the path of a ProjectFile
}

// What selects a profile, besides a ProjectFile.
const (
	ByArgument = "argument"
	ByVariable = "FOB_PROFILE"
	ByDefault  = "default"
	BySole     = "only profile"
)

// Named returns the profile named by the argument, else by FOB_PROFILE, else by the nearest
// ProjectFile in the working directory or above. An unreadable or invalid ProjectFile is a
// *ParseError. One that another user could have written is passed to skipped, unless a CI
// job checked it out.
func Named(arg string, getenv func(string) string, skipped func(*atomicfile.OthersError)) (Choice, error) {
	if arg != "" {
		return Choice{arg, ByArgument}, nil
	}
	if name := getenv("FOB_PROFILE"); name != "" {
		return Choice{name, ByVariable}, nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return Choice{}, fmt.Errorf("looking for %s: %w", ProjectFile, err)
	}
	for {
		path := filepath.Join(dir, ProjectFile)
		if info, err := os.Lstat(path); err == nil {
			choice, err := readProjectFile(path, info, getenv)
			var others *atomicfile.OthersError
			if !errors.As(err, &others) {
				return choice, err
			}
			skipped(others)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return Choice{}, unreadableError(path, err)
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return Choice{}, nil
		}
		dir = parent
	}
}

func readProjectFile(path string, info fs.FileInfo, getenv func(string) string) (Choice, error) {
	read, checked := atomicfile.ReadOwn, atomicfile.CheckOthers(path, info)
	if InWorkspace(path, getenv) {
		read, checked = atomicfile.ReadRegular, trust{path: path, workspace: true}.checkEvent(getenv, "name the profile in the workflow: FOB_PROFILE=NAME")
	}
	if checked != nil {
		return Choice{}, checked
	}
	text, err := read(path, maxProjectFile)
	if _, ok := errors.AsType[*atomicfile.OthersError](err); ok {
		return Choice{}, err
	}
	if err != nil {
		return Choice{}, unreadableError(path, err)
	}
	var file struct {
		Profile string `toml:"profile"`
	}
	decoder := toml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(text, []byte(byteOrderMark))))
	err = decoder.DisallowUnknownFields().Decode(&file)
	if err == nil {
		if err = CheckName(file.Profile); err == nil {
			return Choice{file.Profile, path}, nil
		}
	}
	wrong := parseError(sanitize.Line(path), err)
	wrong.Reason = sanitize.Line(wrong.Reason) + `; this file names a profile, profile = "NAME", and nothing else`
	return Choice{}, wrong
}

// unreadableError is the error for an unreadable project file. Treating it as missing would
// silently select another profile.
func unreadableError(path string, err error) error {
	if inFile, ok := errors.AsType[*fs.PathError](err); ok {
		err = inFile.Err
	}
	return &ParseError{Path: sanitize.Line(path), Reason: strings.TrimPrefix(err.Error(), path+" ")}
}

// Select returns the named profile, else the default, else the only one, and what selected
// it. Otherwise the error is a *SelectError.
func (c *Config) Select(named Choice) (Profile, Choice, error) {
	names := c.Names()
	if named.Name == "" {
		named = Choice{c.Default, ByDefault}
	}
	if named.Name == "" && len(names) == 1 {
		named = Choice{names[0], BySole}
	}
	p, ok := c.Profiles[named.Name]
	if !ok {
		return Profile{}, Choice{}, &SelectError{Choice: named, Names: names}
	}
	return p, named, c.Unknown(p.Name)
}

// SelectError means that no profile was named and there is no default, or that the named
// one does not exist.
type SelectError struct {
	Choice Choice // without a name if none was named
	Names  []string
}

func (e *SelectError) Error() string {
	known := "the configuration has none"
	if len(e.Names) > 0 {
		known = "there are: " + strings.Join(e.Names, ", ")
	}
	if e.Choice.Name == "" {
		return "which profile? " + known
	}
	by, fixed := map[string]string{ByArgument: "", ByDefault: " (named by 'default' in config.toml)"}[e.Choice.By]
	if !fixed { // an argument is not named: the user sees it, or token/NAME
		by = " (named by " + sanitize.Line(e.Choice.By) + ")"
	}
	return fmt.Sprintf("there is no profile %.80q%s; %s", e.Choice.Name, by, known)
}
