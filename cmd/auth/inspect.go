package auth

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/jwt"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/secret"
)

// printInspection prints the content of a token, which is not sent anywhere.
func printInspection(a *app.App, token secret.Secret, asJSON bool) error {
	seen, err := jwt.DecodeJWT(token)
	if err != nil {
		return cli.WithHint(err, "run 'fob status' to see when it expires")
	}
	if asJSON {
		return a.PrintJSON(seen)
	}
	a.Note("These are the token's claims. Its signature was not verified.")
	rows := [][]string{}
	for _, name := range sortedNames(seen.Header, "alg", "typ", "kid") {
		rows = append(rows, []string{"header " + sanitize.Line(name), claimText(a, name, seen.Header[name])})
	}
	for _, name := range sortedNames(seen.Claims, "iss", "sub", "aud", "exp", "nbf", "iat", "jti") {
		rows = append(rows, []string{sanitize.Line(name), claimText(a, name, seen.Claims[name])})
	}
	return a.PrintTable(rows)
}

// sortedNames returns the names in a part of a token, those in first before all others.
func sortedNames(part map[string]any, first ...string) []string {
	rank := func(name string) int {
		if i := slices.Index(first, name); i >= 0 {
			return i
		}
		return len(first)
	}
	return slices.SortedFunc(maps.Keys(part), func(a, b string) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
	})
}

func claimText(a *app.App, name string, value any) string {
	if at, ok := jwt.TimeOf(name, value); ok {
		return fmt.Sprintf("%s (%s)", cli.TimeText(at), cli.AgoText(at, a.Now()))
	}
	if text, ok := value.(string); ok {
		return sanitize.Line(text)
	}
	text, _ := json.Marshal(value) // it was decoded from JSON
	return sanitize.Line(string(text))
}
