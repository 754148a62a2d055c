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

// ErrEditByHand means that config.toml is written in a way that fob can read but
// not change without touching more than it should.
var ErrEditByHand = errors.New("config.toml is written in a way that fob cannot change: edit it by hand")

const editWait = 10 * time.Second

// SaveProfile adds a profile or changes it. Comments, order and spelling of all
// that stays the same survive.
func SaveProfile(path string, p Profile) error {
	if err := ValidName(p.Name); err != nil {
		return err
	}
	return editFile(path, func(d *document, c *Config) {
		before, known := c.Profiles[p.Name]
		d.change([]string{"profile", p.Name}, settingsOf(before), settingsOf(p), known)
		c.Profiles[p.Name] = p
	})
}

// RemoveProfile deletes a profile, and the default if it named it.
func RemoveProfile(path, name string) error {
	return editFile(path, func(d *document, c *Config) {
		d.removeTable([]string{"profile", name})
		delete(c.Profiles, name)
		if c.Default == name {
			d.set(nil, "default", "")
			c.Default = ""
		}
	})
}

// SetDefault names the profile to use where none is named.
func SetDefault(path, name string) error {
	return editFile(path, func(d *document, c *Config) {
		d.set(nil, "default", quoteTOML(name))
		c.Default = name
	})
}

// SetKeyFile names the key file of the file storage; "" leaves it to a passphrase.
func SetKeyFile(path, keyFile string) error {
	return editFile(path, func(d *document, c *Config) {
		d.set(nil, "key_file", quoteTOML(keyFile))
		c.KeyFile = keyFile
	})
}

// SetPepperStorage names the storage of the peppers.
func SetPepperStorage(path, storage string) error {
	return editFile(path, func(d *document, c *Config) {
		d.set([]string{"keys"}, "pepper_storage", quoteTOML(storage))
		c.Keys.PepperStorage = storage
	})
}

// SetRequirePepper says whether keys without a pepper are refused on this machine.
func SetRequirePepper(path string, require bool) error {
	return editFile(path, func(d *document, c *Config) {
		d.set([]string{"keys"}, "require_pepper", boolTOML(require))
		c.Keys.RequirePepper = require
	})
}

// change writes those settings of a table that are not as before.
func (d *document) change(table []string, before, after []setting, known bool) {
	for i, s := range after {
		if s.value != before[i].value {
			d.set(table, s.key, s.value)
		}
	}
	if !known {
		d.addTable(table) // where every setting is empty
	}
}

// editFile changes the text of config.toml and, beside it, the Config that the new
// text must mean. A text that means anything else is not written.
func editFile(path string, change func(*document, *Config)) error {
	target, err := resolve(path)
	if err != nil {
		return err
	}
	dir := filepath.Dir(target)
	if err := atomicfile.MkdirAll(dir); err != nil {
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
	wanted, err := parse(path, text)
	if err != nil {
		return err
	}
	d := newDocument(text)
	change(d, wanted)
	changed := d.bytes()
	if got, err := parse(path, changed); err != nil || !got.isEquivalent(wanted) {
		return fmt.Errorf("%w: %s", ErrEditByHand, path)
	}
	if bytes.Equal(changed, text) {
		return nil
	}
	return atomicfile.WriteMode(target, changed, modeOf(target))
}

// LockFile is what the processes that change a configuration share.
func LockFile(path string) string {
	return filepath.Join(filepath.Dir(path), ".locks", filepath.Base(path))
}

// resolve follows a link, also one whose file is not there yet: a config.toml
// kept elsewhere stays where it is.
func resolve(path string) (string, error) {
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

// isEquivalent reports whether both say the same. In a profile or a secret, an empty list is no
// list.
func (c *Config) isEquivalent(other *Config) bool {
	rest := func(c Config) Config {
		c.Profiles, c.Secrets, c.trust = nil, nil, trust{}
		return c
	}
	return reflect.DeepEqual(rest(*c), rest(*other)) &&
		maps.EqualFunc(c.Profiles, other.Profiles, func(p, q Profile) bool { return slices.Equal(settingsOf(p), settingsOf(q)) }) &&
		maps.EqualFunc(c.Secrets, other.Secrets, func(s, t Secret) bool { return slices.Equal(settingsOf(s), settingsOf(t)) })
}

// setting is one key of a table with its value as TOML; "" is absent.
type setting struct{ key, value string }

// settingsOf lists all settings of a Profile or a Secret, by the toml tags of its fields.
func settingsOf(table any) []setting {
	var settings []setting
	v := reflect.ValueOf(table)
	for i := range v.NumField() {
		key := v.Type().Field(i).Tag.Get("toml")
		if key == "-" {
			continue
		}
		switch value := v.Field(i).Interface().(type) {
		case string:
			settings = append(settings, setting{key, quoteTOML(value)})
		case []string:
			settings = append(settings, setting{key, quoteListTOML(value)})
		case bool:
			settings = append(settings, setting{key, boolTOML(value)})
		case time.Time:
			settings = append(settings, setting{key, timeText(value)})
		}
	}
	return settings
}

// Changes names the settings that differ between two versions of a profile, as they
// stand in config.toml.
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

// boolTOML returns a TOML boolean; false is no setting, "".
func boolTOML(value bool) string {
	if value {
		return "true"
	}
	return ""
}

// quoteTOML returns a TOML basic string; an empty one is no setting, "".
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
