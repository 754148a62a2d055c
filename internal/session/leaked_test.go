package session

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/authservertest"
	"github.com/fobcli/fob/internal/secret"
)

// holds returns which token of the login a text is.
func (f *fixture) holds(text string) string {
	f.t.Helper()
	token, err := f.Holds(f.t.Context(), secret.New(text))
	if err != nil {
		f.t.Fatal(err)
	}
	return token
}

func TestHolds(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	if token := f.holds("x"); token != "" {
		t.Errorf("without a login: %q", token)
	}
	f.mustLogin()
	access := f.token(TokenOptions{})
	narrow := f.token(TokenOptions{Target: NewTarget([]string{"openid"}, "")})
	r, err := f.load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{access: StepAccessToken, narrow: StepAccessToken, r.RefreshToken.Reveal(): StepRefreshToken, "x": "", access + " ": ""} {
		if token := f.holds(text); token != want {
			t.Errorf("%q, not %q", token, want)
		}
	}
}

// A folder whose name is a pattern hides no cached token, and none survives there.
func TestI82_FolderThatIsAPattern(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	f.Paths.Cache = filepath.Join(t.TempDir(), "cache[1]")
	f.mustLogin()
	narrow := f.token(TokenOptions{Target: NewTarget([]string{"openid"}, "")})
	if token := f.holds(narrow); token != StepAccessToken {
		t.Errorf("%q", token)
	}
	if err := f.dropCaches(); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(filepath.Join(f.Paths.Cache, "tokens")); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}

// A refresh token that only the journal has belongs to the login, too.
func TestHolds_Journal(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	f.mustLogin()
	f.failSaves = true
	if _, err := f.Token(t.Context(), force); err == nil {
		t.Fatal("it was saved")
	}
	tokens := f.server.IssuedTokens()
	found := 0
	for _, token := range tokens {
		if f.holds(token) == StepRefreshToken {
			found++
		}
	}
	if found != 2 {
		t.Errorf("%d refresh tokens of %d tokens are the login's", found, len(tokens))
	}
}

// A file that cannot be trusted or read is an error, and not another value.
func TestHolds_Unreadable(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	f.mustLogin()
	path := f.cache(Target{}).path
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(t.TempDir(), "x"), path); err != nil {
		t.Skip(err) // Windows
	}
	if token, err := f.Holds(t.Context(), secret.New("x")); !errors.Is(err, atomicfile.ErrUnsafe) {
		t.Errorf("%q, %v", token, err)
	}
}

// The leaked access token is revoked where only the cache of a target has it, and the login with it.
func TestRevoke_LeakedAccessToken(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	f.mustLogin()
	access := f.token(TokenOptions{})
	narrow := f.token(TokenOptions{Target: NewTarget([]string{"openid"}, "")})
	for _, leaked := range []string{narrow, access} {
		before := f.server.Count("revocation")
		steps, err := f.Revoke(t.Context(), secret.New(leaked))
		if err != nil || f.server.Introspect(leaked) || len(steps) != f.server.Count("revocation")-before {
			t.Errorf("%v, %v, still active: %t", steps, err, f.server.Introspect(leaked))
		}
		for _, step := range steps {
			if step.Err != nil {
				t.Error(step)
			}
		}
	}
	if state := f.Status(t.Context()).State; state != StateEnded {
		t.Errorf("the login is %s", state)
	}
}

// Of a token that came with a refusal and the one before it, nobody knows which one works: both
// are the login's, and a logout revokes both.
func TestB30_RevokesTheTokenThatWorkedBefore(t *testing.T) {
	f, server := atOddServer(t, authservertest.Response{Status: 400, Body: `{"error":"invalid_scope","refresh_token":"second"}`})
	server.Answer("/revoke", authservertest.Response{})
	if _, err := f.Token(t.Context(), TokenOptions{}); err == nil {
		t.Fatal("no refusal")
	}
	r := f.stored()
	r.Metadata.RevocationEndpoint = server.URL + "/revoke"
	if err := f.save(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{"first", "second"} {
		if found := f.holds(token); found != StepRefreshToken {
			t.Errorf("%s is %q", token, found)
		}
	}
	steps, err := f.Logout(t.Context(), false)
	if err != nil || len(steps) != 2 || steps[0].Err != nil || steps[1].Err != nil {
		t.Errorf("%v, %v", steps, err)
	}
	var revoked []string
	for _, form := range server.Forms("/revoke") {
		revoked = append(revoked, form.Get("token"))
	}
	if !slices.Equal(revoked, []string{"second", "first"}) {
		t.Errorf("revoked: %q", revoked)
	}
}
