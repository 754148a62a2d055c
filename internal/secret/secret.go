// Package secret holds text that must not be shown by accident.
package secret

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// Secret is a string that redacts itself in fmt, JSON, text encodings and slog.
// The zero value is no secret.
type Secret struct{ value string }

// New wraps a secret text.
func New(value string) Secret { return Secret{value} }

// Reveal returns the text, for the one place that needs it.
func (s Secret) Reveal() string { return s.value }

// IsZero reports whether there is no secret.
func (s Secret) IsZero() bool { return s.value == "" }

// Format redacts the secret under every verb and flag.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// String redacts the secret.
func (Secret) String() string { return redacted }

// MarshalText redacts the secret, in JSON too.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue redacts the secret.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }
