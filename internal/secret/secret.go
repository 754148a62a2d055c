// Package secret holds text that must not be shown by accident.
package secret

import (
	"fmt"
	"io"
	"log/slog"
	"unique"
)

const redacted = "[redacted]"

// Secret is a string that redacts itself in fmt, JSON, text encodings and slog.
// The zero value is no secret.
type Secret struct {
	// fmt asks no method of a secret in an unexported field: it prints what is
	// inside. A handle is an address there, and still compares by its text.
	value unique.Handle[string]
}

// New wraps a secret text.
func New(value string) Secret {
	if value == "" {
		return Secret{}
	}
	return Secret{unique.Make(value)}
}

// Reveal returns the text, for the one place that needs it.
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
