// Package config reads and edits the user's settings: profiles, the presets of known
// providers, and the paths of fob's files. It contains no secrets.
package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// Config is config.toml. Every field may be empty.
type Config struct {
	Default string `toml:"default" doc:"the profile to use where none is named"`
	Storage string `toml:"storage" doc:"where new logins and secrets are stored: keyring, file or none" default:"keyring"`
	KeyFile string `toml:"key_file" doc:"the file with the key of the encrypted files, outside fob's folders"`
	// PassphraseCommand is a program with its arguments that prints the passphrase of the
	// encrypted files.
	PassphraseCommand []string `toml:"passphrase_command" doc:"a program with its arguments that prints the passphrase of the encrypted files"`
	CAFile            string   `toml:"ca_file" doc:"certificates to trust besides the system's, in PEM"`
	// ClientIDMetadataURL is a document about this client, whose URL is its client ID.
	ClientIDMetadataURL string `toml:"client_id_metadata_url" doc:"an https URL with a document about fob, to use as its client ID at servers that support it"`
	Keys                Keys   `toml:"keys"`
	// Commands are programs with their arguments, by name. A registry refers to them by
	// name, so that others with write access to it cannot choose arguments.
	Commands    map[string][]string `toml:"commands" doc:"programs with their arguments, by name, for exec: destinations and rotations"`
	Destination Destination         `toml:"destination"`
	Serve       Serve               `toml:"serve"`
	// EnvFiles are the references that env files in a folder may use without a question.
	EnvFiles map[string][]string `toml:"env_files" doc:"references that env files in a folder may use without a question"`
	Profiles map[string]Profile  `toml:"profile"`
	Secrets  map[string]Secret   `toml:"secret"`

	Paths Paths `toml:"-"` // where it and fob's other files are

	unknown map[string]*ParseError // the first unknown setting of each profile, and of no table ("")

	storageVariable string // FOB_STORAGE
	trust           trust
}

// ParseError is a syntax error or an invalid setting in the configuration.
type ParseError struct {
	Path         string
	Line, Column int // from 1; 0: unknown
	Reason       string
}

func (e *ParseError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %s", e.Path, e.Reason)
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.Path, e.Line, e.Column, e.Reason)
}

// Load reads config.toml; a missing file is an empty Config. For a command that is about
// one profile only, it may omit the others. Errors are a *ParseError, an
// *atomicfile.OthersError if another user could have written the file, and a *TrustError if
// it has settings that it is not trusted with.
func Load(profile, path string, getenv func(string) string) (*Config, error) {
	text, trust, err := readTrusted(path, getenv)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, loadError(err)
	}
	c, err := Parse(path, withoutOthers(text, profile))
	if err != nil {
		return nil, err
	}
	c.trust, c.storageVariable = trust, getenv("FOB_STORAGE")
	if _, err := c.StorageFor(c.storageVariable); c.storageVariable != "" && err != nil {
		return nil, fmt.Errorf("FOB_STORAGE: %w", err)
	}
	if trust.workspace && len(c.unknown) > 0 {
		return nil, slices.Collect(maps.Values(c.unknown))[0]
	}
	if trust.workspace && !trust.allowed {
		if key := c.untrustedSetting(); key != "" {
			return nil, trust.refuse(hintAllow, "a configuration in the workspace of a CI job may not set %s", key)
		}
	}
	return c, nil
}

// withoutOthers blanks the lines of all profiles but one. It returns the text unchanged if
// that profile is missing or could refer to another one, if a line that looks like a table
// could be part of a string, or if there is an identity: children inherit that of no profile.
func withoutOthers(text []byte, profile string) []byte {
	header := []byte("[profile." + profile + "]")
	for _, word := range []string{`"""`, "'''", "via", "identity"} {
		if bytes.Contains(text, []byte(word)) {
			return text
		}
	}
	var kept []byte
	found, other := false, false
	for line := range bytes.Lines(text) {
		if table := bytes.TrimLeft(line, " \t"); bytes.HasPrefix(table, []byte("[")) {
			isThis := bytes.HasPrefix(table, header)
			found, other = found || isThis, !isThis && bytes.HasPrefix(table, []byte("[profile."))
		}
		if other {
			line = []byte("\n") // so that line numbers in errors are right
		}
		kept = append(kept, line...)
	}
	if !found {
		return text
	}
	return kept
}

// Parse parses a configuration; path is the file's name in errors.
func Parse(path string, text []byte) (*Config, error) {
	c := &Config{Profiles: map[string]Profile{}, Secrets: map[string]Secret{}}
	decoder := toml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(text, []byte(byteOrderMark))))
	err := decoder.DisallowUnknownFields().Decode(c)
	if strict, ok := errors.AsType[*toml.StrictMissingError](err); ok {
		if refused := c.tolerate(path, strict); refused != nil {
			return nil, refused
		}
	} else if err != nil {
		return nil, parseError(path, err)
	}
	if c.ClientIDMetadataURL != "" && !IsMetadataURL(c.ClientIDMetadataURL) {
		return nil, &ParseError{Path: path, Reason: "client_id_metadata_url must be an https URL with a path"}
	}
	if err := errors.Join(c.checkMachine(), c.checkSecrets()); err != nil {
		return nil, &ParseError{Path: path, Reason: err.Error()}
	}
	for name, p := range c.Profiles {
		if err := CheckName(name); err != nil {
			return nil, &ParseError{Path: path, Reason: err.Error()}
		}
		if _, known := FindProvider(p.Provider); p.Provider != "" && !known {
			return nil, &ParseError{Path: path, Reason: fmt.Sprintf("profile %q: there is no preset %.80q", name, p.Provider)}
		}
		var err error
		if p.Grant, err = ParseGrant(p.Grant); err != nil {
			return nil, &ParseError{Path: path, Reason: fmt.Sprintf("profile %q: %s", name, err)}
		}
		if (p.Grant == GrantIDJAG) != (p.Via != "") {
			return nil, &ParseError{Path: path, Reason: fmt.Sprintf("profile %q: the grant %s and via require each other", name, GrantIDJAG)}
		}
		if audience := p.ClientAssertionAudience; audience != "" && audience != "issuer" && audience != "endpoint" {
			return nil, &ParseError{Path: path, Reason: fmt.Sprintf("profile %q: client_assertion_audience is issuer or endpoint, not %.80q", name, audience)}
		}
		p.Name = name
		c.Profiles[name] = p
	}
	return c, nil
}

// tolerate accepts unknown settings of profiles, and outside of all tables: a newer fob may
// have written them. The other tables decide who gets secrets.
func (c *Config) tolerate(path string, strict *toml.StrictMissingError) (refused *ParseError) {
	c.unknown = map[string]*ParseError{}
	for _, one := range strict.Errors {
		err, profile := unknownSetting(path, &one), ""
		switch key := one.Key(); {
		case key[0] == "profile" && len(key) > 2:
			profile = key[1]
		case len(key) > 1:
			return err
		}
		c.unknown[profile] = cmp.Or(c.unknown[profile], err)
	}
	return nil
}

// Unknown returns an error if a profile has an unknown setting, or if there is one outside of
// all tables, for the name "".
func (c *Config) Unknown(profile string) error {
	if err := c.unknown[profile]; err != nil {
		return err
	}
	return nil
}

func unknownSetting(path string, err *toml.DecodeError) *ParseError {
	line, column := err.Position()
	return &ParseError{path, line, column, fmt.Sprintf("there is no setting %q", strings.Join(err.Key(), "."))}
}

func parseError(path string, err error) *ParseError {
	var decode *toml.DecodeError
	if strict, ok := errors.AsType[*toml.StrictMissingError](err); ok && len(strict.Errors) > 0 {
		return unknownSetting(path, &strict.Errors[0])
	}
	reason := strings.TrimPrefix(err.Error(), "toml: ")
	if errors.As(err, &decode) {
		line, column := decode.Position()
		if strings.HasPrefix(reason, "cannot decode TOML") {
			list := map[bool]string{true: `: it is a list, as in ["a", "b"]`}[strings.Contains(reason, "into []") || strings.Contains(reason, "type []")]
			reason = fmt.Sprintf("the value of %q has the wrong type%s", strings.Join(decode.Key(), "."), list)
		}
		return &ParseError{path, line, column, reason}
	}
	return &ParseError{Path: path, Reason: reason}
}

// Names lists the profiles in alphabetical order.
func (c *Config) Names() []string { return slices.Sorted(maps.Keys(c.Profiles)) }

// Marshal returns a configuration file with the settings of profiles and secrets.
func Marshal(profiles []Profile, secrets []Secret) []byte {
	c := &Config{Profiles: map[string]Profile{}, Secrets: map[string]Secret{}}
	for _, p := range profiles {
		c.Profiles[p.Name] = p
	}
	for _, s := range secrets {
		c.Secrets[s.Name] = s
	}
	d := newDocument(nil)
	d.apply(&Config{}, c)
	return d.bytes()
}
