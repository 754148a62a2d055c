package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Secret is what is not secret of a secret that somebody else has issued: a table
// [secret."NAME"]. An empty field is a setting that is not there.
type Secret struct {
	Name       string    `toml:"-"`
	Storage    string    `toml:"storage" doc:"where it is stored: keyring or file" default:"as [storage]"`
	To         []string  `toml:"to" doc:"the destinations that have a copy"`
	Expires    time.Time `toml:"expires" doc:"when its issuer ends it: a date or a time"`
	RotateWith string    `toml:"rotate_with" doc:"what issues a new value: a name in [commands], or an issuer that fob knows"`
	RetireWith string    `toml:"retire_with" doc:"what ends the old value: a name in [commands]"`
}

// The parts of a secret's name, and its whole length: it is a file's name, too.
const (
	maxSecretParts = 4
	maxSecretName  = 200
)

// CheckSecretName accepts the name of a secret: one to four names as profiles have
// them, joined by slashes, as in stripe/prod.
func CheckSecretName(name string) error {
	parts := strings.Split(name, "/")
	ok := len(parts) <= maxSecretParts && len(name) <= maxSecretName
	for _, part := range parts {
		ok = ok && CheckName(part) == nil
	}
	if !ok {
		return fmt.Errorf("invalid secret name %.80q: use names such as stripe or stripe/prod, with a-z, 0-9 and -, at most %d parts", name, maxSecretParts)
	}
	return nil
}

// SecretVariable is the environment variable that overrides a stored secret.
func SecretVariable(name string) string {
	return "FOB_SECRET_" + strings.ToUpper(strings.NewReplacer("-", "_", "/", "_").Replace(name))
}

// SharingVariable is another configured secret with the variable of this one, or "": db/prod
// and db-prod have the same.
func (c *Config) SharingVariable(name string) string {
	for _, other := range c.SecretNames() {
		if other != name && SecretVariable(other) == SecretVariable(name) {
			return other
		}
	}
	return ""
}

// SecretsEndingBy are those that have ended by a time, the first to end first.
func (c *Config) SecretsEndingBy(end time.Time) []Secret {
	var ending []Secret
	for _, name := range c.SecretNames() {
		if s := c.Secrets[name]; !s.Expires.IsZero() && !s.Expires.After(end) {
			ending = append(ending, s)
		}
	}
	slices.SortStableFunc(ending, func(s, t Secret) int { return s.Expires.Compare(t.Expires) })
	return ending
}

// SecretNames lists the secrets in alphabetical order.
func (c *Config) SecretNames() []string { return slices.Sorted(maps.Keys(c.Secrets)) }

func (c *Config) checkSecrets() error {
	for name, s := range c.Secrets {
		if err := CheckSecretName(name); err != nil {
			return err
		}
		s.Name = name
		if at := s.Expires; at.Location() == time.Local { // it was written without an offset
			s.Expires = time.Date(at.Year(), at.Month(), at.Day(), at.Hour(), at.Minute(), at.Second(), 0, time.UTC)
		}
		if !s.Expires.IsZero() && s.Expires.Year() < 2000 {
			return fmt.Errorf("secret %q: expires is a date, as in 2027-01-31", name)
		}
		c.Secrets[name] = s
	}
	return nil
}

// CheckNewSecret refuses a new name with the variable of a secret that there is.
func (c *Config) CheckNewSecret(name string) error {
	other := c.SharingVariable(name)
	if _, known := c.Secrets[name]; known || other == "" {
		return nil
	}
	return fmt.Errorf("the secret %q %w %s with %q", name, ErrShared, SecretVariable(other), other)
}

// ErrShared means that a new secret would share its variable.
var ErrShared = errors.New("would share the variable")

// SaveSecret adds a secret's table or changes it, as SaveProfile does.
func SaveSecret(path string, s Secret) error {
	return saveSecret(path, s, (*Config).CheckNewSecret)
}

// RestoreSecret is SaveSecret also where two secrets of a backup share a variable.
func RestoreSecret(path string, s Secret) error {
	return saveSecret(path, s, func(*Config, string) error { return nil })
}

func saveSecret(path string, s Secret, check func(*Config, string) error) error {
	if err := CheckSecretName(s.Name); err != nil {
		return err
	}
	var refused error
	err := editFile(path, func(c *Config) {
		if refused = check(c, s.Name); refused == nil {
			c.Secrets[s.Name] = s
		}
	})
	return cmp.Or(err, refused)
}

// ChangeSecret changes the table of a secret as it is by then; of one that is gone it makes
// none.
func ChangeSecret(path, name string, change func(*Secret)) error {
	return editFile(path, func(c *Config) {
		if s, known := c.Secrets[name]; known {
			change(&s)
			c.Secrets[name] = s
		}
	})
}

// RemoveSecret deletes a secret's table.
func RemoveSecret(path, name string) error {
	return editFile(path, func(c *Config) { delete(c.Secrets, name) })
}

// timeText writes a time as TOML; no time is no setting.
func timeText(t time.Time) string {
	switch {
	case t.IsZero():
		return ""
	case t.Equal(t.Truncate(24 * time.Hour)):
		return t.UTC().Format(time.DateOnly)
	}
	return t.UTC().Format(time.RFC3339)
}
