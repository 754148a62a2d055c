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

// Secret is the settings of a secret issued by another party: a table [secret."NAME"]. An
// empty field is absent.
type Secret struct {
	Name       string    `toml:"-"`
	Storage    string    `toml:"storage" doc:"where it is stored: keyring or file" default:"as [storage]"`
	To         []string  `toml:"to" doc:"the destinations that have a copy"`
	Expires    time.Time `toml:"expires" doc:"when its issuer ends it: a date or a time"`
	RotateWith string    `toml:"rotate_with" doc:"what issues a new value: a name in [commands], or an issuer that fob knows"`
	RetireWith string    `toml:"retire_with" doc:"what ends the old value: a name in [commands]"`
}

// Limits of a secret's name, which is also a file name.
const (
	maxSecretParts = 4
	maxSecretName  = 200
)

// CheckSecretName rejects invalid names. Valid ones are one to four profile names joined by
// slashes, as in stripe/prod.
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

// SecretVariable returns the environment variable that overrides a stored secret.
func SecretVariable(name string) string {
	return "FOB_SECRET_" + strings.ToUpper(strings.NewReplacer("-", "_", "/", "_").Replace(name))
}

// SharingVariable returns another configured secret with the same variable, or "": db/prod
// and db-prod share one.
func (c *Config) SharingVariable(name string) string {
	for _, other := range c.SecretNames() {
		if other != name && SecretVariable(other) == SecretVariable(name) {
			return other
		}
	}
	return ""
}

// SecretsEndingBy returns the secrets that expire by a time, the earliest first.
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

// SecretNames returns the names of all secrets, sorted.
func (c *Config) SecretNames() []string { return slices.Sorted(maps.Keys(c.Secrets)) }

func (c *Config) checkSecrets() error {
	for name, s := range c.Secrets {
		if err := CheckSecretName(name); err != nil {
			return err
		}
		s.Name = name
		if at := s.Expires; at.Location() == time.Local { // written without an offset
			s.Expires = time.Date(at.Year(), at.Month(), at.Day(), at.Hour(), at.Minute(), at.Second(), 0, time.UTC)
		}
		if !s.Expires.IsZero() && s.Expires.Year() < 2000 {
			return fmt.Errorf("secret %q: expires is a date, as in 2027-01-31", name)
		}
		c.Secrets[name] = s
	}
	return nil
}

// CheckNewSecret rejects a name whose variable another secret has.
func (c *Config) CheckNewSecret(name string) error {
	other := c.SharingVariable(name)
	if _, known := c.Secrets[name]; known || other == "" {
		return nil
	}
	return fmt.Errorf("the secret %q %w %s with %q", name, ErrShared, SecretVariable(other), other)
}

// ErrShared means that two secrets would share a variable.
var ErrShared = errors.New("would share the variable")

// SaveSecret adds or changes a secret's table, like SaveProfile.
func SaveSecret(path string, s Secret) error {
	var refused error
	err := Edit(path, func(c *Config) {
		if refused = cmp.Or(CheckSecretName(s.Name), c.CheckNewSecret(s.Name)); refused == nil {
			c.Secrets[s.Name] = s
		}
	})
	return cmp.Or(err, refused)
}

// ChangeSecret changes a secret's table as it is in the file now; it does not recreate a
// deleted one.
func ChangeSecret(path, name string, change func(*Secret)) error {
	return Edit(path, func(c *Config) {
		if s, known := c.Secrets[name]; known {
			change(&s)
			c.Secrets[name] = s
		}
	})
}

// RemoveSecret deletes a secret's table.
func RemoveSecret(path, name string) error {
	return Edit(path, func(c *Config) { delete(c.Secrets, name) })
}

// timeText returns a time as TOML, or "" for the zero time.
func timeText(t time.Time) string {
	switch {
	case t.IsZero():
		return ""
	case t.Equal(t.Truncate(24 * time.Hour)):
		return t.UTC().Format(time.DateOnly)
	}
	return t.UTC().Format(time.RFC3339)
}
