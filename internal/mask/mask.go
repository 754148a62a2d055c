// Package mask keeps secrets out of a stream of output.
package mask

import (
	"bytes"
	"cmp"
	"io"
	"slices"
)

// placeholder stands where a secret stood.
const placeholder = "***"

// Writer writes a stream on, with every secret in it replaced by "***", also one that
// comes in pieces, and of two that begin alike the longer. Close writes what it has held
// back.
type Writer struct {
	to      io.Writer
	secrets [][]byte  // the longest first
	first   [256]bool // bytes that secrets begin with
	held    []byte    // may be the beginning of a secret
}

// NewWriter masks secrets; empty ones are left out.
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
	if err := w.mask(append(w.held, p...), false); err != nil {
		return 0, err
	}
	return len(p), nil
}

// mask writes a text, and holds back an end of it that may be a secret's beginning
// unless nothing follows.
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
			w.held = bytes.Clone(text[at:])
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
	w.held = nil
	_, err := w.to.Write(out)
	return err
}

// secretAt is how long the secret is that a text begins with; unfinished: it may begin a
// longer one, of which the rest has not come yet.
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
func (w *Writer) Close() error { return w.mask(w.held, true) }
