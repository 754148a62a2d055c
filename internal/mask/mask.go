// Package mask removes secrets from a stream of output.
package mask

import (
	"bytes"
	"cmp"
	"io"
	"slices"
)

// placeholder replaces secrets.
const placeholder = "***"

// Writer copies a stream, replacing secrets by "***" even if they arrive in pieces; if one
// secret is a prefix of another, the longer one wins. Close writes the rest.
type Writer struct {
	to      io.Writer
	secrets [][]byte  // the longest first
	first   [256]bool // first bytes of secrets
	pending []byte    // may be the beginning of a secret
}

// NewWriter returns a Writer that masks secrets; empty ones are ignored.
func NewWriter(to io.Writer, secrets []string) *Writer {
	w := &Writer{to: to}
	for _, secret := range secrets {
		if secret != "" {
			w.secrets = append(w.secrets, []byte(secret))
			w.first[secret[0]] = true
		}
	}
	slices.SortStableFunc(w.secrets, func(a, b []byte) int { return cmp.Compare(len(b), len(a)) })
	return w
}

// Write implements io.Writer.
func (w *Writer) Write(p []byte) (int, error) {
	if err := w.mask(append(w.pending, p...), false); err != nil {
		return 0, err
	}
	return len(p), nil
}

// mask writes a text, except for an end that may be the beginning of a secret, unless this
// is the last text.
func (w *Writer) mask(text []byte, last bool) error {
	var out []byte
	at := 0
	for at < len(text) {
		length, unfinished := 0, false
		if w.first[text[at]] {
			length, unfinished = w.secretAt(text[at:])
		}
		switch {
		case unfinished && !last:
			w.pending = bytes.Clone(text[at:])
			_, err := w.to.Write(out)
			return err
		case length > 0:
			out = append(out, placeholder...)
			at += length
		default:
			out = append(out, text[at])
			at++
		}
	}
	w.pending = nil
	_, err := w.to.Write(out)
	return err
}

// secretAt returns the length of the secret at the start of a text. unfinished means that
// the text may be the beginning of a longer one.
func (w *Writer) secretAt(text []byte) (length int, unfinished bool) {
	for _, secret := range w.secrets {
		if bytes.HasPrefix(text, secret) {
			return len(secret), unfinished
		}
		unfinished = unfinished || bytes.HasPrefix(secret, text)
	}
	return 0, unfinished
}

// Close writes what was held back.
func (w *Writer) Close() error { return w.mask(w.pending, true) }
