// Package leakscan finds API keys where they must not be: in files, in git's history and
// in streams. It never shows what it finds.
package leakscan

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/secret"
)

// Finding is a key that stands where it was looked for.
type Finding struct {
	apikey.Parts
	Key    secret.Secret
	Path   string // of the file; "" for a stream
	Commit string // in git's history: where it came in
	Line   int    // from 1
	Column int    // in bytes, from 1
}

// Scanner looks for the keys of some brands. What has a key's shape and a wrong
// checksum is none.
type Scanner struct{ brands [][]byte }

// NewScanner looks for the keys of brands, one at least.
func NewScanner(brands []string) (*Scanner, error) {
	s := &Scanner{}
	for _, brand := range brands {
		if err := apikey.CheckBrand(brand); err != nil {
			return nil, err
		}
		s.brands = append(s.brands, []byte(brand+"_"))
	}
	if len(s.brands) == 0 {
		return nil, errors.New("there is no brand to look for")
	}
	return s, nil
}

type match struct {
	start, end int
	parts      apikey.Parts
}

func (m match) finding(text []byte, line, column int) Finding {
	return Finding{Parts: m.parts, Key: secret.New(string(text[m.start:m.end])), Line: line, Column: column}
}

// find returns the keys in a text, in their order. A key is one only where no letter or
// digit stands before or behind it. last reports that the text ends there.
func (s *Scanner) find(text []byte, last bool) []match {
	var found []match
	for at := 0; ; {
		// The mark behind a brand is rarer than the letters in it.
		next := bytes.IndexByte(text[at:], '_')
		if next < 0 {
			return found
		}
		at += next + 1
		start, branded := s.startOfKey(text, at)
		if !branded {
			continue
		}
		end := endOfKey(text, at)
		if end == len(text) && !last {
			continue // it may go on: the next piece has it whole
		}
		if parts, err := apikey.Parse(string(text[start:end])); err == nil {
			found = append(found, match{start, end, parts})
			at = end
		}
	}
}

// startOfKey is where a key must begin whose brand ends at a place, if one does.
func (s *Scanner) startOfKey(text []byte, at int) (start int, branded bool) {
	for _, brand := range s.brands {
		start = at - len(brand)
		if start >= 0 && (start == 0 || !isWord(text[start-1])) && string(text[start:at]) == string(brand) {
			return start, true
		}
	}
	return 0, false
}

// endOfKey is where a key must end whose brand ends at a place: behind the third
// part, or where that cannot be.
func endOfKey(text []byte, at int) int {
	parts := 0
	for end := at; end < len(text) && end-at < apikey.MaxLength; end++ {
		if isWord(text[end]) {
			continue
		}
		if text[end] != '_' || parts == 2 {
			return end
		}
		parts++
	}
	return min(len(text), at+apikey.MaxLength)
}

func isWord(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}

const (
	// chunkSize is how much of a stream is in memory.
	chunkSize = 1 << 20
	// overlap is what of one chunk is looked at again with the next: a key, and what
	// stands before and behind it.
	overlap = apikey.MaxLength + 2
)

// Scan looks through a stream and hands over what it finds. buffer is used again and
// again; nil makes one.
func (s *Scanner) Scan(ctx context.Context, r io.Reader, buffer []byte, found func(Finding)) ([]byte, error) {
	if buffer == nil {
		buffer = make([]byte, chunkSize)
	}
	line, column := 1, 1 // of the buffer's first byte
	kept, seen := 0, 0   // bytes from the chunk before; up to where keys were found
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
		at := 0
		for _, m := range s.find(text, last) {
			if m.start < seen {
				continue // found with the chunk before
			}
			l, c := advance(text[:m.start], line, column)
			found(m.finding(text, l, c))
			at = max(at, m.end)
		}
		if last {
			return buffer, nil
		}
		cut := max(0, len(text)-overlap)
		line, column = advance(text[:cut], line, column)
		kept = copy(buffer, text[cut:])
		seen = max(0, at-cut)
	}
}

// advance moves a place in a text on behind a part of it.
func advance(part []byte, line, column int) (int, int) {
	if n := bytes.Count(part, []byte{'\n'}); n > 0 {
		return line + n, len(part) - bytes.LastIndexByte(part, '\n')
	}
	return line, column + len(part)
}
