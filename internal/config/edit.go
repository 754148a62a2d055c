package config

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/filelock"
)

// ErrEditByHand means that config.toml is valid, but cannot be edited without changing
// unrelated lines.
var ErrEditByHand = errors.New("config.toml is written in a way that fob cannot change: edit it by hand")

const editWait = 10 * time.Second

// SaveProfile adds or changes a profile.
func SaveProfile(path string, p Profile) error {
	if err := CheckName(p.Name); err != nil {
		return err
	}
	return Edit(path, func(c *Config) { c.Profiles[p.Name] = p })
}

// RemoveProfile deletes a profile, and the default if it is that profile.
func RemoveProfile(path, name string) error {
	return Edit(path, func(c *Config) {
		delete(c.Profiles, name)
		if c.Default == name {
			c.Default = ""
		}
	})
}

// apply writes the difference between two configurations into the document.
func (d *document) apply(before, after *Config) {
	d.change(nil, *before, *after)
	d.change([]string{"keys"}, before.Keys, after.Keys)
	d.change([]string{"destination"}, before.Destination, after.Destination)
	applyTables(d, "profile", before.Profiles, after.Profiles)
	applyTables(d, "secret", before.Secrets, after.Secrets)
}

func applyTables[T any](d *document, kind string, before, after map[string]T) {
	for name := range before {
		if _, found := after[name]; !found {
			d.removeTable([]string{kind, name})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(after)) {
		old, known := before[name]
		d.change([]string{kind, name}, old, after[name])
		if !known {
			d.addTable([]string{kind, name}) // a profile or secret without settings
		}
	}
}

// change writes the settings of a table that differ.
func (d *document) change(table []string, before, after any) {
	old := settingsOf(before)
	for i, s := range settingsOf(after) {
		if s.value != old[i].value {
			d.set(table, s.key, s.value)
		}
	}
}

// Edit applies a change to config.toml, unless the result would differ in anything else.
// Comments, order and formatting of the rest are preserved. The change may replace lists,
// but not their elements.
func Edit(path string, change func(*Config)) error {
	target, err := followLink(path)
	if err != nil {
		return err
	}
	if err := atomicfile.MkdirAll(filepath.Dir(target)); err != nil {
		return err
	}
	lock, err := filelock.Acquire(context.Background(), LockFile(target), editWait)
	if err != nil {
		return err
	}
	defer lock.Release()

	text, err := atomicfile.ReadRegular(target, maxConfig)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	before, err := Parse(path, text)
	if err != nil {
		return err
	}
	after := *before
	after.Profiles, after.Secrets = maps.Clone(before.Profiles), maps.Clone(before.Secrets)
	change(&after)
	d := newDocument(text)
	d.apply(before, &after)
	changed := d.bytes()
	if got, err := Parse(path, changed); err != nil || !got.isEquivalent(&after) {
		return fmt.Errorf("%w: %s", ErrEditByHand, path)
	}
	if bytes.Equal(changed, text) {
		return nil
	}
	return atomicfile.WriteMode(target, changed, modeOf(target))
}

// LockFile is the lock that processes take to change a configuration.
func LockFile(path string) string {
	return filepath.Join(filepath.Dir(path), ".locks", filepath.Base(path))
}

// followLink resolves a link, even to a missing file, so that a config.toml that is a link
// remains one.
func followLink(path string) (string, error) {
	target, err := filepath.EvalSymlinks(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return target, err
	}
	if linked, err := os.Readlink(path); err == nil {
		if !filepath.IsAbs(linked) {
			linked = filepath.Join(filepath.Dir(path), linked)
		}
		return linked, nil
	}
	return filepath.Abs(path)
}

func modeOf(path string) fs.FileMode {
	if info, err := os.Stat(path); err == nil {
		return info.Mode().Perm()
	}
	return 0o600
}

// isEquivalent reports whether two configurations have the same settings. An empty list in
// a profile or a secret equals none.
func (c *Config) isEquivalent(other *Config) bool {
	rest := func(c Config) Config {
		c.Profiles, c.Secrets, c.trust, c.unknown = nil, nil, trust{}, nil
		return c
	}
	return reflect.DeepEqual(rest(*c), rest(*other)) &&
		maps.EqualFunc(c.Profiles, other.Profiles, func(p, q Profile) bool { return slices.Equal(settingsOf(p), settingsOf(q)) }) &&
		maps.EqualFunc(c.Secrets, other.Secrets, func(s, t Secret) bool { return slices.Equal(settingsOf(s), settingsOf(t)) })
}

// setting is a key of a table with its value as TOML; "" is absent.
type setting struct{ key, value string }

// settingsOf returns the plain settings of a table by the toml tags of its fields.
func settingsOf(table any) []setting {
	var settings []setting
	for field, v := range reflect.ValueOf(table).Fields() {
		key := field.Tag.Get("toml")
		if key == "" || key == "-" {
			continue
		}
		switch value := v.Interface().(type) {
		case string:
			settings = append(settings, setting{key, quoteTOML(value)})
		case []string:
			settings = append(settings, setting{key, quoteListTOML(value)})
		case bool:
			settings = append(settings, setting{key, map[bool]string{true: "true"}[value]}) // false is the same as absent
		case time.Time:
			settings = append(settings, setting{key, timeText(value)})
		}
	}
	return settings
}

// Changes returns the names in config.toml of the settings that differ between two versions
// of a profile.
func Changes(before, after Profile) (set, removed []string) {
	old := settingsOf(before)
	for i, s := range settingsOf(after) {
		switch s.value {
		case old[i].value:
		case "":
			removed = append(removed, s.key)
		default:
			set = append(set, s.key)
		}
	}
	return set, removed
}

// quoteTOML returns a TOML basic string, or "" for an empty one.
func quoteTOML(s string) string {
	if s == "" {
		return ""
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteString(`\` + string(r))
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func quoteListTOML(list []string) string {
	if len(list) == 0 {
		return ""
	}
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = quoteTOML(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
