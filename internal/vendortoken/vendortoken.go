// Package vendortoken recognizes the tokens of well-known services by their shape.
package vendortoken

import (
	_ "embed"
	"path"
	"strconv"
	"strings"
)

// Token is what a value looks like.
type Token struct {
	Kind     string
	RevokeAt string // a page of the service
}

//go:embed vendors.txt
var table string

// Identify returns what a value looks like, if that is known.
func Identify(value string) (t Token, known bool) {
	if strings.ContainsAny(value, " \t\r\n") {
		return Token{}, false
	}
	for line := range strings.Lines(table) {
		column := strings.Split(strings.TrimSpace(line), " | ")
		if len(column) != 4 {
			continue
		}
		least, open := strings.CutSuffix(column[1], "+")
		length, _ := strconv.Atoi(least)
		matches, _ := path.Match(column[0], strings.ReplaceAll(value, "/", "_")) // a * matches no slash
		if matches && (len(value) == length || open && len(value) > length) {
			return Token{column[2], column[3]}, true
		}
	}
	return Token{}, false
}
