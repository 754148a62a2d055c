// Package keylist reads and writes lists of API keys: JSON lines, as exported by fob, and
// CSV. A list contains hashes; one to import may contain keys.
package keylist

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/sanitize"
)

// Line is a key in a list. Times are RFC 3339.
type Line struct {
	Key  string `json:"key,omitempty"`  // the key itself, only in a list to import
	Hash string `json:"hash,omitempty"` // its SHA-256, or with a pepper its HMAC-SHA-256
	apikey.Record
}

const maxLine = 64 << 10

// LineError is an invalid line.
type LineError struct {
	Line int // from 1
	Err  error
}

// Error omits words that are as long as a key: any column, or its name, may contain one.
func (e *LineError) Error() string {
	words := strings.Split(e.Err.Error(), " ")
	for i, word := range words {
		if len(word) >= apikey.MinLength {
			words[i] = "…"
		}
	}
	return fmt.Sprintf("line %d: %s", e.Line, strings.Join(words, " "))
}

func (e *LineError) Unwrap() error { return e.Err }

// Reader reads a list line by line.
type Reader struct {
	at   int
	next func() (Line, error)
}

// NewReader detects whether the list is in JSON lines or in CSV, whose first line has the
// columns' names.
func NewReader(r io.Reader) (*Reader, error) {
	buffered := bufio.NewReaderSize(sanitize.NewReader(r), maxLine)
	start, err := buffered.Peek(1)
	for err == nil && (start[0] == '\n' || start[0] == '\r' || start[0] == ' ') {
		_, _ = buffered.Discard(1)
		start, err = buffered.Peek(1)
	}
	if errors.Is(err, io.EOF) {
		return &Reader{next: func() (Line, error) { return Line{}, io.EOF }}, nil
	}
	if err != nil {
		return nil, err
	}
	list := &Reader{}
	if start[0] == '[' {
		return nil, &LineError{1, errors.New("it is a JSON array: write one object a line, as jq -c '.[]' does")}
	}
	if start[0] == '{' {
		list.next = func() (Line, error) { return list.readJSON(buffered) }
		return list, nil
	}
	return list, list.startCSV(buffered)
}

// Read returns the next line and its number, or io.EOF. An error of a line is a *LineError.
func (r *Reader) Read() (Line, int, error) {
	l, err := r.next()
	if err != nil && !errors.Is(err, io.EOF) {
		err = &LineError{r.at, err}
	}
	return l, r.at, err
}

func errLong() error { return fmt.Errorf("it is longer than %d bytes", maxLine) }

func (r *Reader) readJSON(buffered *bufio.Reader) (Line, error) {
	for {
		text, err := buffered.ReadSlice('\n')
		if len(text) > 0 {
			r.at++
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			return Line{}, errLong()
		}
		if err != nil && len(text) == 0 {
			return Line{}, err
		}
		if text = bytes.TrimSpace(text); len(text) > 0 {
			return parseJSON(text)
		}
	}
}

func parseJSON(text []byte) (Line, error) {
	var l Line
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&l); err != nil {
		if kind, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return l, fmt.Errorf("%q is not of type %s", strings.TrimPrefix(kind.Field, "Record."), kind.Type)
		}
		if name, unknown := strings.CutPrefix(err.Error(), "json: unknown field "); unknown {
			return l, fmt.Errorf("there is no field %.80s", name)
		}
		if _, ok := errors.AsType[*time.ParseError](err); ok {
			return l, errors.New("a time in it is not as RFC 3339 has it")
		}
		return l, errors.New("it is not a JSON object")
	}
	if decoder.More() {
		return l, errors.New("there is something behind the JSON object")
	}
	return l, nil
}

// readColumns returns how each column of a CSV list is read.
func readColumns() map[string]func(*Line, string) error {
	return map[string]func(*Line, string) error{
		"key":         func(l *Line, v string) error { l.Key = v; return nil },
		"hash":        func(l *Line, v string) error { l.Hash = v; return nil },
		"pepper":      func(l *Line, v string) error { l.Pepper = v; return nil },
		"id":          func(l *Line, v string) error { l.ID = v; return nil },
		"owner":       func(l *Line, v string) error { l.Owner = v; return nil },
		"environment": func(l *Line, v string) error { l.Environment = v; return nil },
		"scopes":      func(l *Line, v string) error { l.Scopes = strings.Fields(v); return nil },
		"rate":        func(l *Line, v string) error { l.Rate = v; return nil },
		"note":        func(l *Line, v string) error { l.Note = v; return nil },
		"created_at":  func(l *Line, v string) error { return readTime(&l.CreatedAt, v) },
		"expires_at":  func(l *Line, v string) error { return readTime(&l.ExpiresAt, v) },
		"revoked_at":  func(l *Line, v string) error { return readTime(&l.RevokedAt, v) },
		"disabled": func(l *Line, v string) error {
			l.Disabled = v == "true" || v == "1"
			if v != "" && !l.Disabled && v != "false" && v != "0" {
				return errors.New("disabled is true or false")
			}
			return nil
		},
	}
}

func readTime(to *time.Time, text string) (err error) {
	if text == "" {
		return nil
	}
	if *to, err = time.Parse(time.RFC3339, text); err != nil {
		if *to, err = time.Parse(time.DateOnly, text); err != nil {
			return fmt.Errorf("invalid time %.40q: use a date such as 2027-01-31, or RFC 3339", text)
		}
	}
	return nil
}

func (r *Reader) startCSV(buffered *bufio.Reader) error {
	input := &lineLimiter{Reader: buffered, left: maxLine}
	table := csv.NewReader(input)
	table.ReuseRecord = true
	head, err := table.Read()
	r.at = 1
	if err != nil {
		_, err = explainCSV(err, 1)
		return &LineError{1, err}
	}
	names, columns := slices.Clone(head), readColumns()
	for i, name := range names {
		names[i] = strings.ToLower(strings.TrimSpace(name))
		if columns[names[i]] == nil {
			known := strings.Join(slices.Sorted(maps.Keys(columns)), ", ")
			return &LineError{1, fmt.Errorf("column %d has an unknown name; the first line must name the columns: %s", i+1, known)}
		}
	}
	if !slices.Contains(names, "key") && !slices.Contains(names, "hash") {
		return &LineError{1, errors.New("there is no column 'key' and none 'hash'")}
	}
	r.next = func() (Line, error) {
		input.left = maxLine
		cells, err := table.Read()
		if errors.Is(err, io.EOF) {
			return Line{}, err
		}
		if err != nil {
			r.at, err = explainCSV(err, r.at+1)
			return Line{}, err
		}
		r.at, _ = table.FieldPos(0)
		var l Line
		for i, cell := range cells {
			if err := columns[names[i]](&l, strings.TrimSpace(cell)); err != nil {
				return l, err
			}
		}
		return l, nil
	}
	return nil
}

// lineLimiter limits the size of a CSV record, including quoted line breaks: an unclosed
// quote must not swallow the rest of the file.
type lineLimiter struct {
	io.Reader
	left int
}

func (b *lineLimiter) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errLong()
	}
	n, err := b.Reader.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// explainCSV returns the line number of a CSV error, or line, and the error without the
// line's text, which may contain a key.
func explainCSV(err error, line int) (int, error) {
	if parse, ok := errors.AsType[*csv.ParseError](err); ok {
		return parse.StartLine, parse.Err
	}
	return line, err
}

// Finish completes the line's record as far as it can, before Importer.Complete, and rejects what
// a registry cannot store.
func (l *Line) Finish() (err error) {
	for _, at := range []*time.Time{&l.CreatedAt, &l.ExpiresAt, &l.RetiresAt, &l.RevokedAt} {
		if !at.IsZero() && apikey.Milliseconds(*at) <= 0 { // registries would store it as never
			return errors.New("a time is at the start of 1970 or before: leave it out where it means never")
		}
		*at = apikey.FromMilliseconds(apikey.Milliseconds(*at))
	}
	switch {
	case l.Key != "" && (l.Hash != "" || l.ID != "" || l.Pepper != ""):
		return errors.New("a line with a key needs no hash, pepper or id")
	case l.Key == "" && l.Hash == "":
		return errors.New("there is neither a key nor a hash")
	case l.Hash != "":
		l.Digest, err = apikey.ParseDigest(l.Hash)
	}
	return err
}

// Write adds a key's line, without the key, to a list in JSON lines.
func Write(w io.Writer, r apikey.Record) error {
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(Line{Hash: r.Digest.String(), Record: r})
	if err == nil {
		_, err = w.Write(sanitize.JSON(line.Bytes()))
	}
	return err
}
