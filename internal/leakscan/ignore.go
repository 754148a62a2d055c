package leakscan

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"github.com/fobcli/fob/internal/apikey"
)

// Ignored is which findings are known and not reported. The zero value ignores none.
type Ignored struct {
	Folder string // absolute: where relative paths, and the patterns, begin

	patterns     []string // of paths
	fingerprints map[string]bool
}

// AddLines adds the lines of a .fobignore: fingerprints, and patterns of paths as in a
// .gitignore, but without "!" and "**".
func (ig *Ignored) AddLines(text string) error {
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		colon := strings.LastIndexByte(line, ':')
		switch _, err := path.Match(line, ""); {
		case line == "" || line[0] == '#':
		case colon > 0 && apikey.CheckID(line[colon+1:]) == nil:
			ig.add(line)
		case err != nil || line[0] == '!' || strings.Contains(line, "**"):
			return fmt.Errorf("line %d: invalid pattern %.80q", number, line)
		default:
			ig.patterns = append(ig.patterns, line)
		}
	}
	return nil
}

// ErrBaseline is a baseline that is not a report of 'fob scan'.
var ErrBaseline = errors.New("it is not a report of 'fob scan --format json'")

// AddReport adds the findings of a report of 'fob scan --format json'.
func (ig *Ignored) AddReport(text []byte) error {
	var known []struct{ Kind, Fingerprint string }
	if err := json.Unmarshal(text, &known); err != nil {
		return ErrBaseline
	}
	for _, f := range known {
		if f.Kind == "" {
			return ErrBaseline
		}
		ig.add(f.Fingerprint)
	}
	return nil
}

func (ig *Ignored) add(fingerprint string) {
	if ig.fingerprints == nil {
		ig.fingerprints = make(map[string]bool)
	}
	ig.fingerprints[fingerprint] = true
}

// Finding reports whether a finding is ignored.
func (ig *Ignored) Finding(f *Finding) bool {
	return f.Allowed || ig.fingerprints[f.Fingerprint()] || f.Kind == File && ig.Path(f.Path)
}

// Path reports whether a path, or a folder that it is in, is ignored. A pattern without a
// slash, except at its end, matches a name in any folder. What is not below the Folder is not
// ignored: the names of the folders above it mean nothing.
func (ig *Ignored) Path(name string) bool {
	if filepath.IsAbs(name) {
		name, _ = filepath.Rel(ig.Folder, name) // if there is none, it is ""
	}
	if !filepath.IsLocal(name) {
		return false
	}
	for name = filepath.ToSlash(filepath.Clean(name)); name != "." && name != "/"; name = path.Dir(name) {
		for _, pattern := range ig.patterns {
			target := name
			if !strings.Contains(strings.TrimSuffix(pattern, "/"), "/") {
				target = path.Base(name)
			}
			if matched, _ := path.Match(strings.Trim(pattern, "/"), target); matched {
				return true
			}
		}
	}
	return false
}
