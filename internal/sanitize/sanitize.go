// Package sanitize makes text from other parties harmless before it is shown.
package sanitize

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxLine is the maximum length of remote text in characters.
const MaxLine = 200

// Line returns s as one harmless line of at most MaxLine characters, shortened with "…".
// Line breaks and runs of spaces become one space, because many spaces could fill the line
// and fake the next. Control characters (C0, C1), invisible characters, invalid UTF-8 and
// commands for CI systems are removed.
func Line(s string) string { return cleanLine(s, MaxLine) }

// Lines is Line for a text of several lines without a limit on its length.
func Lines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = cleanLine(lines[i], len(s))
	}
	return strings.Join(lines, "\n")
}

// Part is Line for a part of a line, without a limit on its length. It keeps a space at
// either end.
func Part(s string) string {
	text := cleanLine(s, len(s))
	if first, _ := utf8.DecodeRuneInString(s); text != "" && unicode.IsSpace(first) {
		text = " " + text
	}
	if last, _ := utf8.DecodeLastRuneInString(s); text != "" && unicode.IsSpace(last) {
		text += " "
	}
	return text
}

// Text is Lines for a text with a layout: it keeps tabs and runs of spaces.
func Text(s string) string {
	kept := strings.Builder{}
	count, last := 0, rune(0) // of the line, without leading spaces
	for i, r := range s {
		switch {
		case r == '\n':
			count, last = 0, 0
		case r == '\t', r == ' ':
			last = 0
			count += min(count, 1)
		case unicode.IsSpace(r):
			r, last = ' ', 0
			count += min(count, 1)
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD"), !isVisible(r), completesCommand(last, r, count):
			continue
		default:
			count++
			last = r
		}
		kept.WriteRune(r)
	}
	return kept.String()
}

// minRedacted is the minimum length of secrets that are redacted: shorter ones are parts of
// ordinary words.
const minRedacted = 4

// RedactLine is Line for a text that may contain secrets, which it replaces by "***". It
// searches again after removing invisible characters and before shortening: a program may
// write UTF-16, with a NUL after each letter.
func RedactLine(s string, secrets ...string) string {
	return Line(Redact(Lines(Redact(s, secrets...)), secrets...))
}

// Redact replaces secrets in a text by "***".
func Redact(s string, secrets ...string) string {
	for _, secret := range secrets {
		if len(secret) >= minRedacted {
			s = strings.ReplaceAll(s, secret, "***")
		}
	}
	return s
}

func cleanLine(s string, most int) string {
	kept := strings.Builder{}
	count, blank, last := 0, false, rune(0)
	for i, r := range s {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD"), !isVisible(r) && !unicode.IsSpace(r):
			continue
		case unicode.IsSpace(r):
			blank = count > 0
			continue
		case blank:
			kept.WriteByte(' ')
			count++
			blank = false
		case completesCommand(last, r, count):
			continue
		}
		if count >= most {
			return strings.TrimRight(kept.String(), " ") + "…"
		}
		kept.WriteRune(r)
		count++
		last = r
	}
	return kept.String()
}

// completesCommand reports whether r completes what CI runners treat as a command in a
// job's log: ##vso[…], ##[…] and ##teamcity[…] anywhere, ::…:: at the start of a line. A
// command from a server could set a variable of the job's next steps.
func completesCommand(last, r rune, count int) bool {
	return last == r && (r == '#' || r == ':' && count == 1)
}

// JSON returns equivalent JSON with \u escapes for characters that terminals or CI runners
// act on, or that are invisible.
func JSON(text []byte) []byte {
	inert := make([]byte, 0, len(text))
	for _, r := range string(text) {
		switch {
		case r == '\n', ' ' <= r && r <= '~' && r != '#', r > '~' && Line(string(r)) == string(r):
			inert = utf8.AppendRune(inert, r)
		case r > 0xFFFF:
			high, low := utf16.EncodeRune(r)
			inert = fmt.Appendf(inert, `\u%04x\u%04x`, high, low)
		default:
			inert = fmt.Appendf(inert, `\u%04x`, r)
		}
	}
	return inert
}

// IsVisibleASCII reports whether s is one or more visible ASCII characters (VCHAR of RFC
// 5234 §B.1), as required of tokens, scopes and client IDs, and does not look like a CI
// runner's command.
func IsVisibleASCII(s string) bool {
	return s != "" && !strings.HasPrefix(s, "::") && !strings.Contains(s, "##") && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

// isVisible returns false for controls, format characters (bidi, zero-width, tags), and for
// fillers and selectors, which Unicode counts as letters or marks.
func isVisible(r rune) bool {
	const blankBraille = '\u2800'
	return unicode.IsGraphic(r) && r != blankBraille &&
		!unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// ShellQuote quotes a path as one word of a command, without shortening it, and escapes
// invisible characters.
func ShellQuote(path string) string {
	if strings.Contains(path, "\n") || Lines(path) != path {
		var b strings.Builder
		for _, c := range []byte(path) {
			fmt.Fprintf(&b, `\%03o`, c)
		}
		return "$'" + b.String() + "'"
	}
	if strings.ContainsFunc(path, func(r rune) bool {
		return !strings.ContainsRune("/._-+:@,%", r) && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) {
		return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	return path
}
