package dotenv

import (
	"strings"
	"unicode/utf8"
)

// NotReadBy returns which common readers of .env files read another value than the one that
// Line writes. The end-to-end tests compare it with the readers themselves.
func NotReadBy(value string) []string {
	isText, escapes, endsInBackslash := utf8.ValidString(value), needsEscapes(value), strings.HasSuffix(value, `\`)
	escaped := func(characters string) bool { return escapes && strings.ContainsAny(value, characters) }
	var readers []string
	for _, reader := range []struct {
		name  string
		fails bool
	}{
		{"npm's dotenv", !isText || escaped("\\\"$`")},
		{"node --env-file", !isText || escaped("\\\"$`")},
		{"python-dotenv", !isText || escaped("$`") || endsInBackslash || !escapes && strings.Contains(value, `\\`) || isInterpolated(value)},
		{"Docker Compose", escaped("`")},
		{"godotenv", escapes && strings.HasSuffix(value, `"`) || endsInBackslash},
		{"fob exec --env-file", strings.Contains(value, "fob://")},
	} {
		if reader.fails {
			readers = append(readers, reader.name)
		}
	}
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
