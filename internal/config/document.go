package config

import (
	"bytes"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

const byteOrderMark = "\ufeff"

// document is config.toml as a list of statements, each with the blanks and comments before
// it, so that an edit touches only its own lines.
type document struct {
	statements []statement
	tail       string // text after the last statement
	newline    string
}

type statement struct {
	lead     string   // whole lines before the statement
	text     string   // from the line's start to its newline
	table    []string // the header's table, or the one that contains the key
	key      []string // nil: a header
	valueAt  int      // offsets of the value in text
	valueTo  int
	comments []string // in the value, between the lines of an array
}

// newDocument splits a text that must be valid TOML.
func newDocument(text []byte) *document {
	d := &document{newline: "\n"}
	if bytes.Contains(text, []byte("\r\n")) {
		d.newline = "\r\n"
	}
	parser := unstable.Parser{KeepComments: true}
	parsed := bytes.TrimPrefix(text, []byte(byteOrderMark))
	parser.Reset(parsed)
	source, at, base := string(text), 0, len(text)-len(parsed)
	var table []string
	for parser.NextExpression() {
		node := parser.Expression()
		if node.Kind == unstable.Comment {
			continue
		}
		s := statement{table: table}
		var parts []string
		start, end := 0, 0
		for key := node.Key(); key.Next(); {
			raw := key.Node().Raw
			if len(parts) == 0 {
				start = strings.LastIndexByte(source[:base+int(raw.Offset)], '\n') + 1
			}
			end = base + int(raw.Offset+raw.Length)
			parts = append(parts, string(key.Node().Data))
		}
		if node.Kind == unstable.KeyValue {
			s.key, s.comments = parts, commentsIn(node.Value())
			value := strings.TrimLeft(source[end+strings.IndexByte(source[end:], '=')+1:], " \t")
			end = base + int(node.Raw.Offset+node.Raw.Length)
			s.valueAt, s.valueTo = len(source)-len(value)-start, end-start
		} else {
			s.table = parts
		}
		end = lineEnd(source, end)
		s.lead, s.text = source[at:start], source[start:end]
		table, at = s.table, end
		d.statements = append(d.statements, s)
	}
	d.tail = source[at:]
	return d
}

func lineEnd(text string, at int) int {
	if i := strings.IndexByte(text[at:], '\n'); i >= 0 {
		return at + i + 1
	}
	return len(text)
}

func commentsIn(value *unstable.Node) []string {
	var comments []string
	for child := value.Children(); child.Next(); {
		if child.Node().Kind == unstable.Comment {
			comments = append(comments, strings.TrimSpace(string(child.Node().Data)))
		}
		comments = append(comments, commentsIn(child.Node())...)
	}
	return comments
}

// is reports whether the statement sets a key of a table, also by dotted keys.
func (s *statement) is(table []string, key string) bool {
	if len(s.key) == 1 {
		return s.key[0] == key && slices.Equal(s.table, table)
	}
	return s.key != nil && slices.Equal(slices.Concat(s.table, s.key), slices.Concat(table, []string{key}))
}

// set sets a key of a table, or removes it if the value is empty.
func (d *document) set(table []string, key, value string) {
	at := slices.IndexFunc(d.statements, func(s statement) bool {
		return s.is(table, key)
	})
	switch {
	case at >= 0 && value == "":
		d.remove(at)
	case at >= 0:
		s := &d.statements[at]
		for _, comment := range s.comments {
			s.lead += comment + d.newline
		}
		s.comments = nil
		s.text = s.text[:s.valueAt] + value + s.text[s.valueTo:]
		s.valueTo = s.valueAt + len(value)
	case value != "":
		d.insert(table, key, value)
	}
}

// remove deletes a statement and keeps the comments before it.
func (d *document) remove(at int) {
	lead := d.statements[at].lead
	if at+1 < len(d.statements) {
		d.statements[at+1].lead = lead + d.statements[at+1].lead
	} else {
		d.tail = lead + d.tail
	}
	d.statements = slices.Delete(d.statements, at, at+1)
}

// insert adds a key after the last one of its table.
func (d *document) insert(table []string, key, value string) {
	s := statement{table: table, key: []string{key}, text: key + " = " + value + d.newline, valueAt: len(key) + 3, valueTo: len(key) + 3 + len(value)}
	last := -1
	for i := range d.statements {
		if slices.Equal(d.statements[i].table, table) {
			last = i
		}
	}
	if last < 0 && len(table) > 0 {
		d.addTable(table)
		last = len(d.statements) - 1
	}
	if last >= 0 {
		d.endLine(last)
	} else if len(d.statements) > 0 {
		// The comment at the top of the file is about the file, not about this key.
		s.lead, d.statements[0].lead = d.statements[0].lead, d.newline
	} else {
		s.lead, d.tail = d.tail, ""
		if s.lead != "" && !strings.HasSuffix(s.lead, "\n") {
			s.lead += d.newline
		}
	}
	d.statements = slices.Insert(d.statements, last+1, s)
}

// endLine appends a newline to a statement that lacks one.
func (d *document) endLine(at int) {
	if s := &d.statements[at]; !strings.HasSuffix(s.text, "\n") {
		s.text += d.newline
	}
}

// addTable appends a table to the document, unless it exists.
func (d *document) addTable(table []string) {
	if slices.ContainsFunc(d.statements, func(s statement) bool {
		return slices.Equal(s.table, table) || len(table) > 0 && s.is(table[:len(table)-1], table[len(table)-1])
	}) {
		return
	}
	lead := d.tail
	if len(d.statements) > 0 {
		d.endLine(len(d.statements) - 1)
		if strings.TrimSpace(lead) != "" && !strings.HasSuffix(lead, "\n") {
			lead += d.newline
		}
		lead += d.newline
	} else if lead != "" {
		lead = strings.TrimRight(lead, "\r\n") + d.newline + d.newline
	}
	d.tail = ""
	d.statements = append(d.statements, statement{lead: lead, table: table, text: "[" + quoteTable(table) + "]" + d.newline})
}

// quoteTable returns the name of a table, with quotes where TOML requires them.
func quoteTable(table []string) string {
	parts := make([]string, len(table))
	for i, part := range table {
		if parts[i] = part; strings.Contains(part, "/") {
			parts[i] = quoteTOML(part)
		}
	}
	return strings.Join(parts, ".")
}

// removeTable deletes a table with its keys and the comments between them, but not those
// before its header.
func (d *document) removeTable(table []string) {
	in := func(s statement) bool { return slices.Equal(s.table, table) }
	first := slices.IndexFunc(d.statements, in)
	if first < 0 {
		return
	}
	for i := first + 1; i < len(d.statements) && in(d.statements[i]); {
		d.statements[i].lead = ""
		d.remove(i)
	}
	d.remove(first)
}

func (d *document) bytes() []byte {
	var b strings.Builder
	for _, s := range d.statements {
		b.WriteString(s.lead)
		b.WriteString(s.text)
	}
	b.WriteString(d.tail)
	return []byte(b.String())
}
