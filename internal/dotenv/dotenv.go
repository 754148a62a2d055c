// Package dotenv reads and writes .env files, by the rules that shells and the common
// libraries share.
package dotenv

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

const (
	bom     = "\ufeff"
	blanks  = " \t"
	space   = blanks + "\r\n"
	digits  = "0123456789"
	letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

// Variable is an assignment, and the line on which it begins.
type Variable struct {
	Name, Value string
	Line        int
}

// SyntaxError is a line that cannot be read.
type SyntaxError struct {
	Line   int
	Reason string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Reason) }

var (
	errNoAssignment = errors.New("not NAME=VALUE")
	errUnclosed     = errors.New("a quote is not closed")
	errBehindQuote  = errors.New("text after the closing quote")
)

// IsName reports whether a text can be the name of a variable.
func IsName(name string) bool {
	return name != "" && strings.IndexByte(digits, name[0]) < 0 && strings.Trim(name, letters+digits+"_") == ""
}

// Parse returns the variables of a file in their order.
//
// A value may be in single quotes, where no character is special, or in double quotes,
// where \\ \" \$ \` \n and \r are; both may span lines. Any other value ends before a blank
// and a #, which begin a comment.
func Parse(text string) ([]Variable, error) {
	var variables []Variable
	number := 1
	for rest := strings.TrimPrefix(text, bom); rest != ""; {
		var s statement
		var err error
		s, rest, err = cut(rest)
		if err == nil && s.isAssignment && !IsName(s.name) {
			err = errNoAssignment
		}
		if err != nil {
			return nil, &SyntaxError{number, err.Error()}
		}
		if s.isAssignment {
			variables = append(variables, Variable{s.name, unquote(s.raw), number})
		}
		number += strings.Count(s.text(), "\n")
	}
	return variables, nil
}

// Set sets a variable in the text of a file: wherever it is assigned, or else at the end.
// Nothing else changes. The value contains neither NUL nor CR.
func Set(text, name, value string) (string, error) {
	var b strings.Builder
	rest, hasBOM := strings.CutPrefix(text, bom)
	if hasBOM {
		b.WriteString(bom)
	}
	isSet := false
	for number := 1; rest != ""; {
		var s statement
		var err error
		s, rest, err = cut(rest)
		isIt := s.isAssignment && s.name == name
		if errors.Is(err, errUnclosed) || isIt && err != nil {
			return "", &SyntaxError{number, err.Error()}
		}
		number += strings.Count(s.text(), "\n")
		if isIt {
			isSet = true
			s.raw = quote(value, strings.Trim(s.after, space) != "")
		}
		b.WriteString(s.text())
	}
	if isSet {
		return b.String(), nil
	}
	end := "\n"
	if strings.Contains(text, "\r\n") {
		end = "\r\n"
	}
	if text != "" && text != bom && !strings.HasSuffix(text, "\n") {
		b.WriteString(end)
	}
	return b.String() + Line(name, value) + end, nil
}

// Get returns the last value of a variable, or "". It skips lines that cannot be read.
func Get(text, name string) (value string) {
	for rest := strings.TrimPrefix(text, bom); rest != ""; {
		var s statement
		if s, rest, _ = cut(rest); s.isAssignment && s.name == name {
			value = unquote(s.raw)
		}
	}
	return value
}

// ReplaceKey replaces a key wherever it is in a text, comments included. Both keys have the same
// length and consist of letters, digits and _; old is the old one or its beginning.
func ReplaceKey(text, old, value string) string {
	var b strings.Builder
	for behind := len(value) - len(old); old != "" && behind >= 0; {
		before, rest, found := strings.Cut(text, old)
		if !found {
			break
		}
		replacement := old
		if behind <= len(rest) && strings.Trim(rest[:behind], letters+digits) == "" {
			replacement, rest = value, rest[behind:]
		}
		b.WriteString(before + replacement)
		text = rest
	}
	return b.String() + text
}

// Line is an assignment without its line ending. The value contains neither NUL nor CR.
func Line(name, value string) string { return name + "=" + quote(value, false) }

// statement is an assignment, a comment or an empty line. The value is raw, with its quotes;
// a comment on the same line and the line ending are after it.
type statement struct {
	before, raw, after string
	name               string
	isAssignment       bool
}

func (s statement) text() string { return s.before + s.raw + s.after }

// cut cuts the first statement off a text, whole also where it returns an error, unless a
// quote is not closed.
func cut(text string) (s statement, rest string, err error) {
	line := firstLine(text)
	left, value, found := strings.Cut(line, "=")
	comment := strings.TrimSpace(line)
	switch {
	case comment == "" || comment[0] == '#':
		return statement{before: line}, text[len(line):], nil
	case !found:
		return statement{before: line}, text[len(line):], errNoAssignment
	}
	s = statement{name: nameOf(left), isAssignment: true}
	unquoted := value
	for _, comment := range []string{" #", "\t#"} {
		unquoted, _, _ = strings.Cut(unquoted, comment)
	}
	unquoted = strings.TrimRight(unquoted, space)
	start := len(left) + 1 + len(unquoted) - len(strings.TrimLeft(unquoted, blanks))
	end := len(left) + 1 + len(unquoted)
	if start < end && (text[start] == '"' || text[start] == '\'') {
		if end = closingQuote(text, start) + 1; end == 0 {
			return s, "", errUnclosed
		}
		line = text[:end+len(firstLine(text[end:]))]
		if !isComment(line[end:]) {
			err = errBehindQuote
		}
	}
	s.before, s.raw, s.after = text[:start], text[start:end], line[end:]
	return s, text[len(line):], err
}

// nameOf returns what is left of a =, without a leading export.
func nameOf(left string) string {
	name := strings.TrimSpace(left)
	if exported, found := strings.CutPrefix(name, "export"); found && strings.TrimLeft(exported, blanks) != exported {
		name = strings.TrimLeft(exported, blanks)
	}
	return name
}

// firstLine returns the first line of a text, with its ending.
func firstLine(text string) string { return strings.SplitAfterN(text, "\n", 2)[0] }

// closingQuote returns where the quote that opens at start is closed, or -1.
func closingQuote(text string, start int) int {
	for i := start + 1; i < len(text); i++ {
		switch {
		case text[i] == '\\' && text[start] == '"':
			i++
		case text[i] == text[start]:
			return i
		}
	}
	return -1
}

// isComment reports whether the rest of a line after a quoted value is empty or a comment.
// Without a blank before it, shells take a # as a part of the value.
func isComment(text string) bool {
	trimmed := strings.Trim(text, space)
	return trimmed == "" || trimmed[0] == '#' && text[0] != '#'
}

// quote quotes a value, if it must, in the way that most readers understand (see NotReadBy).
func quote(value string, must bool) string {
	switch {
	case !must && value != "" && strings.Trim(value, letters+digits+"_-./:@%+,") == "":
		return value
	case !needsEscapes(value):
		return "'" + value + "'"
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`").Replace(value) + `"`
}

// needsEscapes reports whether a value cannot be in single quotes. Many readers take \' as
// an escaped quote there.
func needsEscapes(value string) bool {
	return strings.Contains(value, "'") || strings.HasSuffix(value, `\`)
}

func unquote(raw string) string {
	if raw == "" || raw[0] != '"' && raw[0] != '\'' {
		return raw
	}
	value := strings.ReplaceAll(raw[1:len(raw)-1], "\r\n", "\n")
	if raw[0] == '\'' {
		return value
	}
	return strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\$`, "$", "\\`", "`", `\n`, "\n", `\r`, "\r").Replace(value)
}

// NotReadBy returns which common readers of .env files read another value than the one that
// Line writes. The end-to-end tests compare it with the readers themselves.
func NotReadBy(value string) []string {
	isText, escapes, endsInBackslash := utf8.ValidString(value), needsEscapes(value), strings.HasSuffix(value, `\`)
	escaped := func(characters string) bool { return escapes && strings.ContainsAny(value, characters) }
	var readers []string
	note := func(reader string, fails bool) {
		if fails {
			readers = append(readers, reader)
		}
	}
	note("npm's dotenv", !isText || escaped("\\\"$`"))
	note("node --env-file", !isText || escaped("\\\"$`"))
	note("python-dotenv", !isText || escaped("$`") || endsInBackslash || !escapes && strings.Contains(value, `\\`) || isInterpolated(value))
	note("Docker Compose", escaped("`"))
	note("godotenv", escapes && strings.HasSuffix(value, `"`) || endsInBackslash)
	note("fob exec --env-file", strings.Contains(value, "fob://"))
	return readers
}

// isInterpolated reports whether python-dotenv replaces a ${NAME} or ${NAME:-DEFAULT}: it does
// in single quotes, too.
func isInterpolated(value string) bool {
	for {
		_, rest, found := strings.Cut(value, "${")
		if !found {
			return false
		}
		end := strings.IndexAny(rest, "}:")
		if end >= 0 && (rest[end] == '}' || strings.HasPrefix(rest[end:], ":-") && strings.Contains(rest[end:], "}")) {
			return true
		}
		value = rest
	}
}
