// Package leakscan finds API keys where they must not be: in files, in a git history and
// in streams. It never shows a key.
package leakscan

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/secret"
)

// Kind is what a key was found in.
type Kind string

// In a git history, a blob is a file that no commit has.
const (
	File          Kind = "file"
	Stdin         Kind = "stdin"
	CommitMessage Kind = "commit message"
	TagMessage    Kind = "tag message"
	Blob          Kind = "blob"
)

// Finding is a key and where it was found.
type Finding struct {
	apikey.Parts
	Key    secret.Secret
	Kind   Kind
	Path   string // of a file
	Commit string // in a git history: the first that has the key; of a tag or a blob, its own name
	Line   int    // from 1
	Column int    // in characters, from 1

	Allowed bool // by "fob:allow" behind the key, on its line
	content bool // it is in the content of a Git LFS file
	more    int  // lines that it continues on, if its encoded text is wrapped
}

// Place is where a key was found, without its line, as a path: not every place is a file.
func (f *Finding) Place() string {
	switch f.Kind {
	case File:
		return filepath.ToSlash(filepath.Clean(f.Path))
	case Stdin:
		return string(Stdin)
	}
	return "git/" + strings.ReplaceAll(string(f.Kind), " ", "-") + "/" + f.Commit
}

// Fingerprint is a key in a place, on whatever line.
func (f *Finding) Fingerprint() string { return f.Place() + ":" + f.ID }

// Scanner finds the keys of some brands. Text that looks like a key and has a wrong
// checksum is not one.
type Scanner struct {
	brands []string  // each with the "_" behind it
	last   [256]bool // the characters before that, and zero: see keyBefore
	forms  []form
}

// NewScanner returns a scanner for the keys of brands, at least one.
func NewScanner(brands []string) (*Scanner, error) {
	s := &Scanner{}
	for _, brand := range brands {
		if err := apikey.CheckBrand(brand); err != nil {
			return nil, err
		}
		if prefix := brand + "_"; !slices.Contains(s.brands, prefix) {
			s.brands = append(s.brands, prefix)
			s.last[brand[len(brand)-1]], s.last[0] = true, true
			s.forms = append(s.forms, encodedForms(prefix)...)
		}
	}
	if len(s.brands) == 0 {
		return nil, errors.New("there is no brand to look for")
	}
	return s, nil
}

type match struct {
	start int
	key   string
	parts apikey.Parts
	more  int // lines
}

// find returns the keys in a text, in their order. A key has no boundaries: its parts have
// fixed lengths, and the checksum distinguishes it from other text.
func (s *Scanner) find(text []byte) []match {
	var found []match
	for at := 0; ; {
		// The mark behind a brand is rarer than the letters in it.
		next := bytes.IndexByte(text[at:], '_')
		if next < 0 {
			break
		}
		at += next + 1
		if at < 2 || !s.last[text[at-2]] {
			continue
		}
		if m, ok := s.keyBefore(text, at); ok {
			found = append(found, m)
			at = max(at, m.start+len(m.key)) // in UTF-16 some of it is read again
		}
	}
	for i := range s.forms {
		found = s.forms[i].find(text, found)
	}
	slices.SortFunc(found, func(a, b match) int { return cmp.Compare(a.start, b.start) })
	return found
}

// keyBefore returns the key whose brand ends before a place. In UTF-16, of either byte
// order, there is a zero between any two of its characters.
func (s *Scanner) keyBefore(text []byte, at int) (match, bool) {
	decode, width := decodePlain, 1
	if text[at-2] == 0 {
		decode, width = decodeUTF16, 2
	}
	for _, prefix := range s.brands {
		start := at - 1 - width*(len(prefix)-1)
		if start < 0 || width == 1 && string(text[start:at]) != prefix {
			continue
		}
		if m, ok := keyAt(text, start, prefix, decode); ok {
			return m, true
		}
	}
	return match{}, false
}

// keyAt returns the key of a brand that begins at a place, as decode reads it.
func keyAt(text []byte, start int, prefix string, decode decoder) (match, bool) {
	var buffer [apikey.MaxLength]byte
	text = text[start:min(len(text), start+maxEncoded)]
	if string(decode(text, buffer[:0:len(prefix)])) != prefix {
		return match{}, false
	}
	decoded := decode(text, buffer[:0])
	environment := bytes.IndexByte(decoded[len(prefix):], '_')
	end := len(prefix) + environment + apikey.BehindEnvironment
	if environment < 0 || end > len(decoded) {
		return match{}, false
	}
	key := string(decoded[:end])
	parts, err := apikey.Parse(key)
	if err != nil {
		return match{}, false
	}
	m := match{start: start, key: key, parts: parts}
	for i, c := range text {
		if c == '\n' && len(decode(text[:i], buffer[:0])) < end {
			m.more++
		}
	}
	return m, true
}

const (
	// chunkSize is how much of a stream is in memory.
	chunkSize = 1 << 20
	// maxEncoded is how many bytes an encoded key has at most.
	maxEncoded = 4 * apikey.MaxLength
)

// Scan reads a stream and calls found for each key. buffer is used again and again; nil
// makes one.
func (s *Scanner) Scan(ctx context.Context, r io.Reader, buffer []byte, found func(Finding)) ([]byte, error) {
	if buffer == nil {
		buffer = make([]byte, chunkSize)
	}
	at := place{line: 1, column: 1} // of the buffer's first byte
	kept := 0                       // bytes of the chunk before
	for {
		if err := ctx.Err(); err != nil {
			return buffer, err
		}
		n, err := io.ReadFull(r, buffer[kept:])
		text := buffer[:kept+n]
		last := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !last {
			return buffer, err
		}
		cut := len(text)
		if !last { // the rest is scanned with the next chunk
			cut = max(0, len(text)-maxEncoded)
		}
		at = s.scanText(text, cut, at, found)
		if last {
			return buffer, nil
		}
		kept = copy(buffer, text[cut:])
	}
}

// scanText calls found for the keys that begin before a cut in a text, and returns the
// cut's place. at is the place of the text's first byte.
func (s *Scanner) scanText(text []byte, cut int, at place, found func(Finding)) place {
	done := 0
	for _, m := range s.find(text) {
		if m.start >= cut {
			break
		}
		at = at.after(text[done:m.start])
		done = m.start
		behind, _, _ := bytes.Cut(text[m.start:min(len(text), m.start+maxEncoded)], []byte("\n"))
		found(Finding{Parts: m.parts, Key: secret.New(m.key), Line: at.line, Column: at.column, more: m.more, Allowed: bytes.Contains(behind, []byte("fob:allow"))})
	}
	return at.after(text[done:cut])
}

type place struct{ line, column int }

// after returns the place behind a part of a text that begins here.
func (p place) after(part []byte) place {
	if n := bytes.Count(part, []byte{'\n'}); n > 0 {
		p.line += n
		p.column = 1
		part = part[bytes.LastIndexByte(part, '\n')+1:]
	}
	for _, c := range part {
		if c != 0 && c&0xC0 != 0x80 { // neither half of UTF-16, nor inside a character of UTF-8
			p.column++
		}
	}
	return p
}
