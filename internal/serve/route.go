package serve

import (
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/fobcli/fob/internal/apikey"
)

// Rule is what requests to a route need.
type Rule struct {
	Path    string   // /orders also matches /orders/; /orders/* matches both and everything below
	Methods []string // empty: all; GET includes HEAD
	Need    apikey.Need
	// Preflight allows browsers to ask without a key whether they may send such a request.
	Preflight bool
}

// CheckPath returns an error if no request can match a rule's path.
func CheckPath(path string) error {
	prefix, _ := strings.CutSuffix(path, "*")
	switch {
	case !strings.HasPrefix(path, "/"):
		return errors.New("its path must start with /, as in /orders/*")
	case strings.Contains(prefix, "*"):
		return errors.New("a * may only be the last character of a path")
	}
	if _, _, ok := checkPath(strings.Replace(path, "*", "x", 1)); !ok {
		return errors.New("requests for its path are refused: write it decoded, without %, #, ;, ?, \\ and //, and without a dot or a space at the end of a segment")
	}
	return nil
}

// route is a rule with its path normalized as readPath does for requests.
type route struct {
	Rule
	path, folded string
	isPrefix     bool
}

func newRoute(rule Rule) route {
	path, isPrefix := strings.CutSuffix(rule.Path, "*")
	if !isPrefix {
		path = withSlash(path)
	}
	return route{rule, path, foldPath(path), isPrefix}
}

func (r *route) covers(path string) bool {
	return path == r.path || r.isPrefix && strings.HasPrefix(path, r.path)
}

func (r *route) coversFolded(folded string) bool {
	covers := func(folded string) bool {
		return folded == r.folded || r.isPrefix && strings.HasPrefix(folded, r.folded)
	}
	return covers(folded) || strings.Contains(folded, "+") && covers(trimPluses(folded))
}

// trimPluses returns a folded path as read by services that decode a plus as a space, trim
// it and merge slashes.
func trimPluses(folded string) string {
	trimmed := "/"
	for segment := range strings.SplitSeq(folded, "/") {
		if segment = strings.Trim(segment, "+"); segment != "" {
			trimmed += segment + "/"
		}
	}
	return trimmed
}

func (r *route) coversMethod(method string) bool {
	return len(r.Methods) == 0 || slices.ContainsFunc(r.Methods, func(m string) bool {
		return strings.EqualFold(m, method) || strings.EqualFold(m, http.MethodGet) && strings.EqualFold(method, http.MethodHead)
	})
}

// ruleFor returns the first rule that matches. A path that matches a rule only when folded is
// rejected: services differ in whether they would treat it as the rule's path.
func (c *settings) ruleFor(method, uri string) (Rule, outcome) {
	path, folded, ok := readPath(uri)
	if !ok {
		return Rule{}, unclearPath
	}
	for i := range c.routes {
		r := &c.routes[i]
		switch {
		case !r.coversFolded(folded):
		case method == "" && len(r.Methods) > 0:
			return Rule{}, unclearPath
		case !r.coversMethod(method):
		case !r.covers(path):
			return Rule{}, unclearPath
		default:
			return r.Rule, allowed
		}
	}
	return Rule{}, noRule
}

// warnAboutSpellings logs rules that grant more than an earlier rule for the same path spelled
// differently.
func warnAboutSpellings(routes []route, log *slog.Logger) {
	for j := range routes {
		for i := range routes[:j] {
			guard, later := &routes[i], &routes[j]
			if later.grantsMore(guard) && later.respells(guard) {
				log.Warn("a serve.rule grants under another spelling what an earlier one guards: the earlier one applies, or the request is refused",
					"rule", j+1, "path", later.Path, "earlier_rule", i+1, "earlier_path", guard.Path)
			}
		}
	}
}

// grantsMore reports whether r may need less than the earlier rule guard.
func (r *route) grantsMore(guard *route) bool {
	if len(r.Methods) > 0 && !slices.ContainsFunc(r.Methods, guard.coversMethod) {
		return false
	}
	return guard.Need.Environment != "" && guard.Need.Environment != r.Need.Environment ||
		slices.ContainsFunc(guard.Need.Scopes, func(scope string) bool { return !slices.Contains(r.Need.Scopes, scope) })
}

func (r *route) respells(guard *route) bool {
	inCase := (guard.coversFolded(r.folded) || r.coversFolded(guard.folded)) && !guard.covers(r.path) && !r.covers(guard.path)
	inSlash := !r.isPrefix && guard.covers(r.path) && r.Path != guard.Path && (!guard.isPrefix || !strings.HasPrefix(r.Path, guard.path))
	return inCase || inSlash
}

// readPath returns a URI's path decoded, with a slash at its end, and the same path folded.
// It accepts only paths that all common parsers read in the same way.
func readPath(uri string) (path, folded string, ok bool) {
	raw, _, _ := strings.Cut(uri, "?")
	if !strings.HasPrefix(raw, "/") { // absolute form, or X-Original-URL of some proxies
		scheme, rest, _ := strings.Cut(raw, "://")
		host, below, found := strings.Cut(rest, "/")
		if !found || host == "" || strings.ContainsFunc(host, isNotHost) || !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") {
			return "", "", false
		}
		raw = "/" + below
	}
	if !isPlainlyEscaped(raw) || strings.ContainsFunc(uri, isASCIIControl) {
		return "", "", false
	}
	decoded, err := url.PathUnescape(raw)
	if err != nil {
		return "", "", false
	}
	return checkPath(decoded)
}

func isASCIIControl(r rune) bool { return r < ' ' || r == 0x7f }

func isAlphanumeric(c rune) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

func isNotHost(c rune) bool { return !isAlphanumeric(c) && !strings.ContainsRune(".-_:[]", c) }

// isPlainlyEscaped reports whether only those characters are escaped that must be: some
// routers match paths undecoded, for which /%61dmin is not /admin.
func isPlainlyEscaped(raw string) bool {
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case c <= ' ', c >= 0x7f, strings.IndexByte("\"<>`{}", c) >= 0:
			return false
		case c == '%':
			if len(raw) < i+3 {
				return false
			}
			code, err := strconv.ParseUint(raw[i+1:i+3], 16, 8)
			if err != nil || isAlphanumeric(rune(code)) || strings.ContainsRune("-._~/", rune(code)) {
				return false
			}
		}
	}
	return true
}

// checkPath is readPath for a decoded path.
func checkPath(decoded string) (path, folded string, ok bool) {
	path = withSlash(decoded)
	folded = foldPath(path)
	if !utf8.ValidString(path) || strings.ContainsAny(folded, `\;#?%`) || strings.Contains(folded, ":$") || // Windows' data streams
		strings.ContainsFunc(folded, isControlOrDecomposed) || strings.Count(folded, "/") != strings.Count(path, "/") {
		return "", "", false
	}
	if path == "/" {
		return path, folded, true
	}
	for _, p := range []string{path, folded} {
		for segment := range strings.SplitSeq(p[1:len(p)-1], "/") {
			if segment == "" || strings.HasSuffix(segment, ".") || strings.TrimFunc(segment, isBlank) != segment {
				return "", "", false
			}
		}
	}
	return path, folded, true
}

// isControlOrDecomposed also reports combining characters (Latin, Japanese, Korean): some
// services compose them, and would then match a rule that fob does not.
func isControlOrDecomposed(r rune) bool {
	return unicode.IsControl(r) || '\u0300' <= r && r <= '\u036f' || '\u1100' <= r && r <= '\u11ff' || r == '\u3099' || r == '\u309a'
}

// isBlank reports whether services may trim a character: white space, and in JavaScript the
// byte order mark.
func isBlank(r rune) bool { return unicode.IsSpace(r) || r == '\ufeff' }

func withSlash(path string) string { return strings.TrimSuffix(path, "/") + "/" }

// foldPath removes what some services do not distinguish: case (lower or upper case may be
// compared), full-width ASCII (Windows), space and plus (form decoding), and invisible
// characters (HFS+).
func foldPath(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '+'
		case r >= '！' && r <= '～':
			r -= '！' - '!'
		case r > unicode.MaxASCII && unicode.Is(unicode.Cf, r):
			return -1
		}
		return unicode.ToLower(unicode.ToUpper(r))
	}, s)
}
