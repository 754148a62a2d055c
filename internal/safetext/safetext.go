// Package safetext makes text from elsewhere inert before a person sees it.
package safetext

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxLine is how many characters of a remote text are shown.
const MaxLine = 200

// Line returns s as one harmless line of at most MaxLine characters. Line breaks
// and tabs become spaces; control characters (C0, C1), format characters (bidi
// controls, zero-width and tag characters) and invalid UTF-8 are dropped.
func Line(s string) string {
	var b strings.Builder
	count := 0
	for i, r := range s {
		if r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD") {
			continue
		}
		switch {
		case unicode.IsSpace(r):
			r = ' '
		case !unicode.IsGraphic(r):
			continue
		}
		if count == MaxLine {
			return b.String() + "…"
		}
		b.WriteRune(r)
		count++
	}
	return strings.TrimSpace(b.String())
}
