package config

import (
	"bytes"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

const byteOrderMark = "\ufeff"

// document is the text of config.toml as a list of statements, each with the
// blanks and comments before it, so that a change touches its own lines alone.
type document struct {
	statements []statement
	tail       string // what stands behind the last statement
	newline    string
}

// statement is a table header or a key with its value.
type statement struct {
	lead    string   // what stands before it: whole lines
	text    string   // from the line's start to its end, newline included
	table   []string // the table that a header opens, or that a key is in
	key     []string // nil: a header
	valueAt int      // where in text the value begins and ends
	valueTo int
}

func newDocument(text []byte) *document {
	d := &document{newline: "\n"}
	if bytes.Contains(text, []byte("\r\n")) {
		d.newline = "\r\n"
	}
	source := string(text)
	var table []string
	for at := 0; at < len(source); {
		start := skipBlank(source, at)
		if start == len(source) {
			d.tail = source[at:]
			break
		}
		lineStart := max(at, strings.LastIndexByte(source[:start], '\n')+1)
		value, end := statementEnd(source, start)
		s := statement{lead: source[at:lineStart], text: source[lineStart:end], table: table, valueTo: value - lineStart}
		s.read(start - lineStart)
		table, at = s.table, end
		d.statements = append(d.statements, s)
	}
	return d
}

func skipBlank(text string, at int) int {
	for at < len(text) {
		switch {
		case strings.HasPrefix(text[at:], byteOrderMark):
			at += len(byteOrderMark)
		case strings.IndexByte(" \t\r\n", text[at]) >= 0:
			at++
		case text[at] == '#':
			at = lineEnd(text, at)
		default:
			return at
		}
	}
	return at
}

func lineEnd(text string, at int) int {
	if i := strings.IndexByte(text[at:], '\n'); i >= 0 {
		return at + i + 1
	}
	return len(text)
}

// statementEnd is where a statement ends, at the first newline that is in no string and
// no open bracket, and where its last value does, before the blanks and the comment behind
// it. The text is known to be TOML.
func statementEnd(text string, at int) (value, line int) {
	for depth := 0; at < len(text); {
		switch c := text[at]; {
		case c == '"' || c == '\'':
			at = stringEnd(text, at)
			value = at
			continue
		case c == '#':
			at = lineEnd(text, at)
			if depth == 0 {
				return value, at
			}
			continue
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			depth--
		case c == '\n' && depth == 0:
			return value, at + 1
		}
		if strings.IndexByte(" \t\r\n", text[at]) < 0 {
			value = at + 1
		}
		at++
	}
	return value, len(text)
}

func stringEnd(text string, at int) int {
	quote := text[at : at+1]
	if long := strings.Repeat(quote, 3); strings.HasPrefix(text[at:], long) {
		quote = long
	}
	for at += len(quote); at < len(text); at++ {
		switch {
		case text[at] == '\\' && quote[0] == '"':
			at++
		case strings.HasPrefix(text[at:], quote):
			at += len(quote)
			for len(quote) == 3 && at < len(text) && text[at] == quote[0] {
				at++ // a long string may end in up to two quotes of its own
			}
			return at
		}
	}
	return len(text)
}

// read takes the statement apart; at is where it begins in its text.
func (s *statement) read(at int) {
	parser := unstable.Parser{}
	parser.Reset([]byte(s.text))
	if !parser.NextExpression() {
		return
	}
	node := parser.Expression()
	var parts []string
	for key := node.Key(); key.Next(); {
		parts = append(parts, string(key.Node().Data))
	}
	if node.Kind != unstable.KeyValue {
		s.table = parts
		return
	}
	s.key = parts
	for at < len(s.text) && s.text[at] != '=' {
		if c := s.text[at]; c == '"' || c == '\'' {
			at = stringEnd(s.text, at)
			continue
		}
		at++
	}
	s.valueAt = at + 1 + len(s.text[at+1:]) - len(strings.TrimLeft(s.text[at+1:], " \t"))
}

// set gives a key of a table a value, or removes it where the value is empty.
func (d *document) set(table []string, key, value string) {
	at := slices.IndexFunc(d.statements, func(s statement) bool {
		return s.key != nil && slices.Equal(slices.Concat(s.table, s.key), slices.Concat(table, []string{key}))
	})
	switch {
	case at >= 0 && value == "":
		d.remove(at)
	case at >= 0:
		s := &d.statements[at]
		for _, comment := range commentsIn(s.text[s.valueAt:s.valueTo]) {
			s.lead += comment + d.newline
		}
		s.text = s.text[:s.valueAt] + value + s.text[s.valueTo:]
		s.valueTo = s.valueAt + len(value)
	case value != "":
		d.insert(table, key, value)
	}
}

// commentsIn are the comments between the lines of an array.
func commentsIn(value string) []string {
	var comments []string
	for at := 0; at < len(value); {
		switch value[at] {
		case '"', '\'':
			at = stringEnd(value, at)
		case '#':
			end := lineEnd(value, at)
			comments = append(comments, strings.TrimSpace(value[at:end]))
			at = end
		default:
			at++
		}
	}
	return comments
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

// insert puts a new key behind the last one of its table.
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
		// The first lines of the file are about the file, not about this key.
		s.lead, d.statements[0].lead = d.statements[0].lead, d.newline
	} else {
		s.lead, d.tail = d.tail, ""
		if s.lead != "" && !strings.HasSuffix(s.lead, "\n") {
			s.lead += d.newline
		}
	}
	d.statements = slices.Insert(d.statements, last+1, s)
}

// endLine makes sure that another line can follow a statement.
func (d *document) endLine(at int) {
	if s := &d.statements[at]; !strings.HasSuffix(s.text, "\n") {
		s.text += d.newline
	}
}

// addTable opens a table at the end of the document, unless it is there.
func (d *document) addTable(table []string) {
	if slices.ContainsFunc(d.statements, func(s statement) bool {
		return slices.Equal(s.table, table) || s.key != nil && slices.Equal(slices.Concat(s.table, s.key), table)
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
	d.statements = append(d.statements, statement{lead: lead, table: table, text: "[" + dotted(table) + "]" + d.newline})
}

// dotted writes the name of a table: what is no bare key is quoted.
func dotted(table []string) string {
	parts := make([]string, len(table))
	for i, part := range table {
		if parts[i] = part; strings.Contains(part, "/") {
			parts[i] = quoteTOML(part)
		}
	}
	return strings.Join(parts, ".")
}

// removeTable deletes a table with its keys and the comments among them; what
// stands before its header stays.
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
