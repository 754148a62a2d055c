package auth

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/jwt"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/secret"
	"github.com/fobcli/fob/internal/session"
)

func compactJWT(header, claims string) secret.Secret {
	encode := base64.RawURLEncoding.EncodeToString
	return secret.New(encode([]byte(header)) + "." + encode([]byte(claims)) + ".c2ln")
}

func inspected(t *testing.T, token secret.Secret, asJSON bool) (string, error) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	a := app.New(strings.NewReader(""), &stdout, &stderr, map[string]string{"NO_COLOR": "1"})
	a.Clock = session.Clock{Now: func() time.Time { return time.Unix(1_800_000_000, 0) }}
	err := printInspection(a, token, asJSON)
	return stdout.String(), err
}

func TestInspection(t *testing.T) {
	token := compactJWT(`{"typ":"at+jwt","alg":"ES256","kid":"k"}`,
		`{"scope":"a b","exp":1800003599,"iat":1799999940.5,"aud":["x","y"],"iss":"https://sso.example.com","big":12345678901234567890}`)
	got, err := inspected(t, token, false)
	if err != nil {
		t.Fatal(err)
	}
	at := -1
	for _, want := range []string{
		"header alg", "ES256", "header typ", "at+jwt", "iss", "https://sso.example.com", "aud", `["x","y"]`,
		"exp", "2027-01-15 08:59:59 UTC (in 60 min)", "iat", "(60 s ago)", "big", "12345678901234567890", "scope", "a b",
	} {
		next := strings.Index(got[at+1:], want)
		if next < 0 {
			t.Fatalf("%q is not where it should be in\n%s", want, got)
		}
		at += next
	}
	if got, err := inspected(t, token, true); err != nil || !strings.Contains(got, `"big": 12345678901234567890`) || !strings.Contains(got, `"kid": "k"`) {
		t.Errorf("%s, %v", got, err)
	}
}

func TestH61ClaimsAreInert(t *testing.T) {
	const evil = `\u001b]52;c;aGk=\u0007\u202e\nroot\u009b31m`
	got, err := inspected(t, compactJWT(`{"alg":"`+evil+`","`+evil+`":1}`, `{"`+evil+`":"`+evil+`","n":{"`+evil+`":["`+evil+`"]},"exp":1e999,"iat":-1e300}`), false)
	if err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(got, "\x1b\x07\u202e\u009b") || strings.Count(got, "\n") != 6 {
		t.Errorf("H61: %q", got)
	}
}

func TestTokensThatSayNothing(t *testing.T) {
	good := compactJWT(`{"alg":"none"}`, `{}`).Reveal()
	for name, token := range map[string]string{
		"opaque": "canary-token", "five parts": "a.b.c.d.e", "no base64": "!canary.!canary.x", "no JSON": "Y2FuYXJ5.Y2FuYXJ5.x", "an array": "W10.W10.x",
		"null": "bnVsbA.bnVsbA.x", "two values": base64.RawURLEncoding.EncodeToString([]byte(`{}{}`)) + ".e30.x",
		"a million dots": strings.Repeat(".", 1<<20), "large": good + strings.Repeat("x", jwt.MaxInspected), "deep": compactJWT(`{}`, strings.Repeat(`{"a":`, 20000)+"1").Reveal(),
	} {
		out, err := inspected(t, secret.New(token), false)
		if !errors.Is(err, jwt.ErrOpaque) || out != "" || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %q, %v", name, out, err)
		}
	}
}

func TestH61ClaimsAreInertInJSON(t *testing.T) {
	hostile := "a\x1b]52;c;aGk=\a\u009b31m\u202e\u2066\u200b\ufeff\x7f\n\U000e0041é"
	quoted, err := json.Marshal(hostile)
	if err != nil {
		t.Fatal(err)
	}
	object := `{` + string(quoted) + `:[` + string(quoted) + `]}`
	got, err := inspected(t, compactJWT(object, object), true)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range got {
		if r != '\n' && r != ' ' && sanitize.Line(string(r)) != string(r) {
			t.Errorf("H61: %U stands in %q", r, got)
		}
	}
	var back struct{ Header, Claims map[string][]string }
	if err := json.Unmarshal([]byte(got), &back); err != nil || len(back.Header[hostile]) != 1 || back.Claims[hostile][0] != hostile {
		t.Errorf("it is not exact: %v\n%s", err, got)
	}
}

func TestMoreThanAnObjectIsNoJWT(t *testing.T) {
	for _, tail := range []string{"}", "]", "{}", " canary"} {
		if got, err := inspected(t, compactJWT(`{"alg":"none"}`, `{"sub":"canary"}`+tail), false); !errors.Is(err, jwt.ErrOpaque) || got != "" {
			t.Errorf("%q behind it: %q, %v", tail, got, err)
		}
	}
}
