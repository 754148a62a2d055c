// Package mask keeps secrets out of a stream of output.
package mask

import (
	"bytes"
	"io"
)

// placeholder stands where a secret stood.
const placeholder = "***"

// Writer writes a stream on, with every secret in it replaced by "***", also one that
// comes in pieces. Close writes what it has held back.
type Writer struct {
	to      io.Writer
	secrets [][]byte
	held    []byte // may be the beginning of a secret
}

// NewWriter masks secrets; empty ones are left out.
func NewWriter(to io.Writer, secrets []string) *Writer {
	w := &Writer{to: to}
	for _, secret := range secrets {
		if secret != "" {
			w.secrets = append(w.secrets, []byte(secret))
		}
	}
	return w
}

// Write implements io.Writer.
func (w *Writer) Write(p []byte) (int, error) {
	text := append(w.held, p...)
	for _, secret := range w.secrets {
		text = bytes.ReplaceAll(text, secret, []byte(placeholder))
	}
	keep := w.beginning(text)
	w.held = bytes.Clone(text[len(text)-keep:])
	if _, err := w.to.Write(text[:len(text)-keep]); err != nil {
		return 0, err
	}
	return len(p), nil
}

// beginning is how many bytes at the end of a text a secret may begin with.
func (w *Writer) beginning(text []byte) int {
	longest := 0
	for _, secret := range w.secrets {
		for n := min(len(secret)-1, len(text)); n > longest; n-- {
			if bytes.HasSuffix(text, secret[:n]) {
				longest = n
			}
		}
	}
	return longest
}

// Close writes what was held back: it was no secret.
func (w *Writer) Close() error {
	_, err := w.to.Write(w.held)
	w.held = nil
	return err
}
