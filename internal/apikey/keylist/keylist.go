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
	"strconv"
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

// Options configures how the columns of CSV are read.
type Options struct {
	Fields        map[string]string // by a column's name, in lower case: its field, or "" to skip it
	ExtraMetadata bool              // other columns are metadata
}

// NewReader detects whether the list is in JSON lines or in CSV, whose first line has the
// columns' names, separated by commas, semicolons or tabs.
func NewReader(r io.Reader, opts Options) (*Reader, error) {
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
		if len(opts.Fields) > 0 || opts.ExtraMetadata {
			return nil, &LineError{1, errors.New("columns can be mapped in CSV only")}
		}
		list.next = func() (Line, error) { return list.readJSON(buffered) }
		return list, nil
	}
	return list, list.startCSV(buffered, opts)
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

// metadataPrefix begins the name of a field with metadata.
const metadataPrefix = "metadata."

// readerOf returns how a field is read, or nil if there is none of that name.
func readerOf(field string) func(*Line, string) error {
	name, isMetadata := strings.CutPrefix(field, metadataPrefix)
	switch {
	case field == "":
		return func(*Line, string) error { return nil }
	case !isMetadata || name == "":
		return readColumns()[field]
	}
	return func(l *Line, value string) error {
		if l.Metadata == nil {
			l.Metadata = make(map[string]string)
		}
		if value != "" {
			l.Metadata[name] = value
		}
		return nil
	}
}

// Fields returns the names of the fields, except those of metadata.
func Fields() []string { return slices.Sorted(maps.Keys(readColumns())) }

// CheckField checks the field of a column; "" skips it.
func CheckField(field string) error {
	if readerOf(field) == nil {
		return fmt.Errorf("unknown field %.80q", field)
	}
	return nil
}

// readTime reads a date, or RFC 3339, or seconds or milliseconds since 1970.
func readTime(to *time.Time, text string) (err error) {
	if text == "" {
		return nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && 0 <= n && n < maxSeconds*1000 {
		if n < maxSeconds {
			n *= 1000
		}
		*to = time.UnixMilli(n).UTC()
		return nil
	}
	if *to, err = time.Parse(time.RFC3339, text); err != nil {
		if *to, err = time.Parse(time.DateOnly, text); err != nil {
			return fmt.Errorf("invalid time %.40q: use a date such as 2027-01-31, RFC 3339, or seconds since 1970", text)
		}
	}
	return nil
}

// maxSeconds is in the year 5138; as milliseconds, in 1973.
const maxSeconds = 1e11

// findDelimiter returns the delimiter that is most frequent in the first line.
func findDelimiter(buffered *bufio.Reader) rune {
	head, _ := buffered.Peek(maxLine)
	head, _, _ = bytes.Cut(head, []byte("\n"))
	count := func(delimiter rune) int { return bytes.Count(head, []byte(string(delimiter))) }
	return slices.MaxFunc([]rune(",;\t"), func(a, b rune) int { return count(a) - count(b) })
}

func (r *Reader) startCSV(buffered *bufio.Reader, opts Options) error {
	delimiter := findDelimiter(buffered)
	input := &lineLimiter{Reader: buffered, left: maxLine}
	table := csv.NewReader(input)
	table.Comma, table.ReuseRecord = delimiter, true
	head, err := table.Read()
	r.at = 1
	if err != nil {
		_, err = explainCSV(err, 1, delimiter)
		return &LineError{1, err}
	}
	readers, err := opts.readers(head)
	if err != nil {
		return &LineError{1, err}
	}
	r.next = func() (Line, error) {
		input.left = maxLine
		cells, err := table.Read()
		if errors.Is(err, io.EOF) {
			return Line{}, err
		}
		if err != nil {
			r.at, err = explainCSV(err, r.at+1, delimiter)
			return Line{}, err
		}
		r.at, _ = table.FieldPos(0)
		var l Line
		for i, cell := range cells {
			if err := readers[i](&l, strings.TrimSpace(cell)); err != nil {
				return l, err
			}
		}
		return l, nil
	}
	return nil
}

// readers returns how each column is read.
func (o *Options) readers(head []string) (readers []func(*Line, string) error, err error) {
	fields := make(map[string]bool)
	unused := maps.Clone(o.Fields)
	for i, column := range head {
		column = strings.TrimSpace(column)
		lower := strings.ToLower(column)
		field, mapped := o.Fields[lower]
		delete(unused, lower)
		switch {
		case mapped:
		case strings.HasPrefix(lower, metadataPrefix):
			field = metadataPrefix + column[len(metadataPrefix):]
		case readColumns()[lower] == nil && o.ExtraMetadata && !mayEndKey(lower):
			field = metadataPrefix + column
		default:
			field = lower
		}
		read := readerOf(field)
		switch {
		case read == nil, field == "" && !mapped:
			return nil, fmt.Errorf("column %d has an unknown name; the first line must name the columns, separated by commas, semicolons or tabs: %s, metadata.NAME; --map renames or skips a column", i+1, strings.Join(Fields(), ", "))
		case fields[field] && field != "":
			return nil, fmt.Errorf("column %d is the second one for its field", i+1)
		}
		fields[field] = true
		readers = append(readers, read)
	}
	switch {
	case len(unused) > 0:
		return nil, fmt.Errorf("there is no column %.40q to map", slices.Sorted(maps.Keys(unused))[0])
	case !fields["key"] && !fields["hash"]:
		return nil, errors.New("there is no column 'key' and none 'hash'")
	}
	return readers, nil
}

// mayEndKey reports whether a column of this name may say that a key is no longer valid. As
// metadata, it would be ignored.
func mayEndKey(column string) bool {
	words := []string{"revo", "expir", "disab", "enab", "activ", "delet", "status"}
	return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(column, word) })
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
func explainCSV(err error, line int, delimiter rune) (int, error) {
	if parse, ok := errors.AsType[*csv.ParseError](err); ok {
		if errors.Is(err, csv.ErrFieldCount) {
			return parse.StartLine, fmt.Errorf("%w: the first line separates its columns by %s", csv.ErrFieldCount,
				map[rune]string{',': "commas", ';': "semicolons", '\t': "tabs"}[delimiter])
		}
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
	case strings.HasPrefix(l.Hash, "$"): // bcrypt, Argon2 and others in the modular crypt format
		kind, _, _ := strings.Cut(l.Hash[1:], "$")
		return fmt.Errorf("the hash has the format $%.12s$, of bcrypt, Argon2 or the like: fob finds keys by their SHA-256, which cannot be computed from it; import the keys themselves, or issue new ones", kind)
	case l.Hash != "":
		l.Digest, err = apikey.ParseDigest(l.Hash)
	}
	for _, text := range l.Metadata {
		if text != "" && (text == l.Key || l.Digest.Equal(apikey.DigestOf(text))) {
			return errors.New("the metadata has the key itself, which is not to be stored")
		}
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
