package auth

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/ci"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/dotenv"
	"github.com/fobcli/fob/internal/jwt"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/secret"
	"github.com/fobcli/fob/internal/session"
)

// Output formats of 'fob token'.

func printToken(a *app.App, token *session.Token, opts tokenOptions) error {
	value := token.Value
	if opts.IDToken {
		value = token.IDToken
	}
	if opts.Mask {
		maskInLog(a, value)
	}
	var err error
	switch {
	case opts.Inspect:
		return printInspection(a, value, opts.JSON)
	case opts.JSON:
		err = a.PrintJSON(newTokenJSON(token, opts.IDToken))
	default:
		_, err = fmt.Fprint(a.Out.Raw(), tokenText(token.Type, value.Reveal(), opts))
	}
	return err
}

func tokenText(tokenType, value string, opts tokenOptions) string {
	switch {
	case opts.Header:
		return fmt.Sprintf("Authorization: %s %s\n", tokenType, value)
	case opts.CurlConfig:
		return cli.CurlHeader("Authorization", tokenType+" "+value)
	case opts.Netrc != "":
		return cli.NetrcLine(opts.Netrc, cli.NetrcLogin, value)
	case opts.Env != "":
		return cli.ExportLine(opts.Shell, opts.Env, value)
	}
	return value + "\n"
}

// checkTokenForm rejects values that would change the format of the printed line.
func checkTokenForm(opts tokenOptions) error {
	switch {
	case opts.Env != "" && !dotenv.IsName(opts.Env):
		return cli.WithHint(cli.Usagef("invalid variable name %q", sanitize.Line(opts.Env)), "use letters, digits and _, and do not start with a digit")
	case opts.Netrc != "" && strings.Trim(strings.ToLower(opts.Netrc), "abcdefghijklmnopqrstuvwxyz0123456789.-") != "":
		return cli.WithHint(cli.Usagef("invalid host %q", sanitize.Line(opts.Netrc)), "write it without scheme, port and path: --netrc api.example.com")
	}
	return nil
}

// printBound prints the headers of one request with a token bound to a key (RFC 9449 §7.1).
// It tries again if another process replaces the token before its proof is created.
func printBound(ctx context.Context, a *app.App, p config.Profile, want session.TokenOptions, url string, opts tokenOptions) error {
	const tries = 3
	for try := 1; ; try++ {
		token, err := a.Token(ctx, p, want)
		if err != nil {
			return err
		}
		if token.Type != oauth.TypeDPoP {
			return cli.WithHint(cli.Usagef("the token of profile %q is not bound to a key", p.Name), "log in with a key: 'fob login %s --dpop'; or use --header", p.Name)
		}
		s, err := a.LocalSession(p)
		if err != nil {
			return err
		}
		proof, err := s.Proof(ctx, token, want.Target, opts.DPoP, url, opts.DPoPNonce)
		if errors.Is(err, session.ErrReplaced) && try < tries {
			want.ForceRefresh = false
			continue
		}
		if err != nil {
			return err
		}
		if opts.Mask {
			maskInLog(a, token.Value)
		}
		_, err = fmt.Fprintf(a.Out.Raw(), "Authorization: %s %s\nDPoP: %s\n", token.Type, token.Value.Reveal(), proof)
		return err
	}
}

type tokenJSON struct {
	AccessToken string    `json:"access_token,omitempty"`
	IDToken     string    `json:"id_token,omitempty"`
	TokenType   string    `json:"token_type,omitempty"`
	Scope       string    `json:"scope,omitempty"`
	ExpiresAt   time.Time `json:"expires_at,omitzero"` // RFC 3339, UTC
	ExpiresOn   int64     `json:"expires_on,omitzero"` // Unix seconds
}

func newTokenJSON(token *session.Token, idToken bool) tokenJSON {
	if idToken {
		return tokenJSON{IDToken: token.IDToken.Reveal()}
	}
	out := tokenJSON{AccessToken: token.Value.Reveal(), TokenType: token.Type, Scope: token.Scope, ExpiresAt: cli.UTCSeconds(token.ExpiresAt)}
	if !token.ExpiresAt.IsZero() {
		out.ExpiresOn = token.ExpiresAt.Unix()
	}
	return out
}

// maskInLog makes the CI system mask a text in its log.
func maskInLog(a *app.App, token secret.Secret) {
	line, known := ci.MaskCommand(a.Getenv, token)
	if !known {
		a.Warn("this machine's CI system, if any, has no command to mask a token in its log")
		return
	}
	a.PrintCommand(line)
}

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
