// Package secret contains a type for text that must not be shown by accident.
package secret

import (
	"fmt"
	"io"
	"log/slog"
	"unique"
)

const redacted = "[redacted]"

// Secret is a string that redacts itself in fmt, JSON, text encodings and slog.
// The zero value is empty.
type Secret struct {
	// fmt does not call methods of a secret in an unexported field, but prints its fields.
	// For a handle that is an address, and handles still compare by text.
	value unique.Handle[string]
}

// New wraps a secret text.
func New(value string) Secret {
	if value == "" {
		return Secret{}
	}
	return Secret{unique.Make(value)}
}

// Reveal returns the text.
func (s Secret) Reveal() string {
	if s.IsZero() {
		return ""
	}
	return s.value.Value()
}

// IsZero reports whether there is no secret.
func (s Secret) IsZero() bool { return s == Secret{} }

// Format redacts the secret under every verb and flag.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// String redacts the secret.
func (Secret) String() string { return redacted }

// MarshalText redacts the secret, in JSON too.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue redacts the secret.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }
