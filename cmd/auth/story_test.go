package auth

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/authservertest"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/session"
)

func TestLogin_ThenTokenRefreshLogout(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	if notes := f.login(); !strings.Contains(notes, "Logged in to work as ") || !strings.Contains(notes, "Next: fob token work") {
		t.Error(notes)
	}
	first, _ := f.must(NewToken, "work")
	if again, _ := f.must(NewToken, "work", "--header"); again != "Authorization: Bearer "+first {
		t.Errorf("%q, then %q", first, again)
	}
	if s := f.status("work"); s.State != session.StateValid || s.Storage != "file" || s.Server != f.issuer.Issuer() || !s.Selected {
		t.Errorf("%+v", s)
	}
	if _, notes := f.must(NewRefresh, "--all"); !strings.HasPrefix(notes, "work: refreshed") {
		t.Error(notes)
	}
	if second, _ := f.must(NewToken, "work"); second == first || f.issuer.Introspect(strings.TrimSpace(second)) != true {
		t.Errorf("%q after a refresh of %q", second, first)
	}
	if _, notes := f.must(NewLogout, "work", "--dry-run"); !strings.Contains(notes, "would revoke the refresh token") || f.status("work").State != session.StateValid {
		t.Error(notes)
	}
	last, _ := f.must(NewToken, "work")
	if _, notes := f.must(NewLogout, "work"); !strings.Contains(notes, "work: refresh token revoked.") || f.issuer.Introspect(strings.TrimSpace(last)) {
		t.Error(notes)
	}
	if s := f.status("work"); s.State != session.StateLoggedOut {
		t.Errorf("%+v", s)
	}
	if _, _, err := f.run(NewToken, "work"); !errors.Is(err, session.ErrLoginRequired) {
		t.Error(err)
	}
	if _, notes := f.must(NewLogout, "work"); !strings.Contains(notes, "nothing to do") {
		t.Error(notes)
	}
}

func TestLogin_FailureKeepsTheOldLogin(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	f.login()
	before, _ := f.must(NewToken, "work")
	if err := f.issuer.InjectFault("access-denied", 1); err != nil {
		t.Fatal(err)
	}
	_, _, err := f.run(NewLogin, "work", "--no-browser")
	failed, ok := errors.AsType[*cli.ProfileError](err)
	if !ok || failed.Profile != "work" || !failed.InLogin || !strings.Contains(err.Error(), "the previous login is unchanged") {
		t.Errorf("%v", err)
	}
	if after, _ := f.must(NewToken, "work"); after != before {
		t.Errorf("%q, before %q", after, before)
	}
}

func TestLogin_RevokeOld(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	f.login()
	old, _ := f.must(NewToken, "work")
	if notes := f.login("--revoke-old"); !strings.Contains(notes, "(--revoke-old)") || f.issuer.Introspect(strings.TrimSpace(old)) {
		t.Error(notes)
	}
	if token, _ := f.must(NewToken, "work"); token == old {
		t.Error("the token is the old one")
	}
}

func TestLogin_Registers(t *testing.T) {
	f := newFixture(t, authservertest.Options{Registration: true})
	if _, notes := f.must(NewLogin, "work", "--issuer", f.issuer.Issuer(), "--no-browser"); !strings.Contains(notes, "Registered fob as a client of "+f.issuer.Issuer()) {
		t.Error(notes)
	}
	if s := f.status("work"); !s.Registered || s.ClientID == "" {
		t.Errorf("%+v", s)
	}
	if _, _, err := f.run(NewProfile, "remove", "work"); err == nil {
		t.Error("a profile with a login was removed")
	}
	f.must(NewLogout, "work")
	if _, _, err := f.run(NewProfile, "remove", "work"); err == nil || !strings.Contains(err.Error(), "the client that fob registered") {
		t.Error(err)
	}
	if _, notes := f.must(NewLogout, "work", "--unregister"); !strings.Contains(notes, "client registration removed") {
		t.Error(notes)
	}
	f.must(NewProfile, "remove", "work")
}

func TestLogin_ClientCredentials(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	args := []string{"svc", "--issuer", f.issuer.Issuer(), "--client-id", "fob-service", "--grant", "client_credentials", "--client-secret-stdin"}
	f.In = strings.NewReader("wrong\n")
	_, _, err := f.run(NewLogin, args...)
	if failed, ok := errors.AsType[*cli.ProfileError](err); !ok || !failed.InLogin || !oauth.RefusesClient(err) || strings.Contains(err.Error(), "wrong") {
		t.Errorf("%v", err)
	}
	f.In = strings.NewReader(authservertest.ClientSecret + "\n")
	f.must(NewLogin, args...)
	if s := f.status("svc"); s.Grant != "client_credentials" {
		t.Errorf("%+v", s)
	}
	if token, _ := f.must(NewToken, "svc"); !f.issuer.Introspect(strings.TrimSpace(token)) {
		t.Errorf("%q", token)
	}
}

func TestLogin_WithToken(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	f.login()
	token, _ := f.must(NewToken, "work")
	args := []string{"copy", "--issuer", f.issuer.Issuer(), "--client-id", "fob-test", "--with-token"}
	f.In = strings.NewReader(token)
	f.must(NewLogin, args...)
	if copied, _ := f.must(NewToken, "copy"); copied != token {
		t.Errorf("%q, want %q", copied, token)
	}
	for text, want := range map[string]string{
		"two words\n": "the token on stdin", "": "stdin is empty", `{"token_type":"Bearer"}`: "the token on stdin",
		`{"refresh_token":"unknown"}`: "check the refresh token", "unknown": "check the token",
	} {
		f.In = strings.NewReader(text)
		if _, _, err := f.run(NewLogin, args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if copied, _ := f.must(NewToken, "copy"); copied != token {
		t.Errorf("%q after logins that failed, want %q", copied, token)
	}
}

func TestLogin_Device(t *testing.T) {
	f := newFixture(t, authservertest.Options{DeviceInterval: 1})
	args := []string{"work", "--issuer", f.issuer.Issuer(), "--client-id", "fob-test", "--device"}
	if err := f.issuer.InjectFault("device-denied", 1); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.run(NewLogin, args...); err == nil {
		t.Error("a login that was denied has succeeded")
	}
	_, notes := f.must(NewLogin, args...)
	if !strings.Contains(notes, "and enter the code\n\n  ") || !strings.Contains(notes, "Waiting until ") || !strings.Contains(notes, "Logged in to work") {
		t.Error(notes)
	}
	if _, _, err := f.run(NewLogin, "svc", "--issuer", f.issuer.Issuer(), "--client-id", "fob-service", "--device"); !oauth.RefusesClient(err) {
		t.Error(err)
	}
}

// With FOB_STORAGE=none no stored login is used or shown as if it could be.
func TestLogin_NotUsedWithoutStorage(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	f.login()
	f.Environ["FOB_STORAGE"] = "none"
	_, _, err := f.run(NewToken, "work")
	if !errors.Is(err, session.ErrLoginRequired) || !strings.Contains(cli.CarriedHint(err), "FOB_TOKEN_WORK") {
		t.Error(err)
	}
	if s := f.status("work"); s.State != session.StateLoggedOut || s.Storage != "none" {
		t.Errorf("%+v", s)
	}
	_, _, err = f.run(NewStatus, "work")
	if !strings.Contains(cli.CarriedHint(err), "FOB_TOKEN_WORK") {
		t.Error(err)
	}
}

// GitHub's device flow needs no secret, and its browser flow does.
func TestLogin_DeviceWithoutSecret(t *testing.T) {
	f := newFixture(t, authservertest.Options{DeviceInterval: 1})
	args := []string{"work", "--provider", "github", "--issuer", f.issuer.Issuer(), "--client-id", "fob-test", "--scope", "openid offline_access"}
	_, _, err := f.run(NewLogin, append(args, "--no-browser")...)
	if !cli.IsUsage(errors.Unwrap(err)) || !strings.Contains(err.Error(), "this client requires a secret") {
		t.Error(err)
	}
	f.must(NewLogin, append(args, "--device")...)
	f.must(NewRefresh, "work")
}

func TestLogin_IdentityStoresNothing(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	f.Environ["FOB_ID_TOKEN"] = f.issuer.IdentityToken(f.issuer.Issuer())
	if _, notes := f.must(NewLogin, "ci", "--issuer", f.issuer.Issuer(), "--client-id", "fob-ci", "--grant", "token-exchange", "--identity", "gitlab"); !strings.Contains(notes, "It stores nothing") {
		t.Error(notes)
	}
	if token, _ := f.must(NewToken, "ci"); !f.issuer.Introspect(strings.TrimSpace(token)) {
		t.Errorf("%q", token)
	}
	if _, err := os.Stat(filepath.Join(f.Home, "data")); err == nil {
		if entries, _ := os.ReadDir(filepath.Join(f.Home, "data", "logins")); len(entries) > 0 {
			t.Errorf("%v is stored", entries)
		}
	}
	if _, notes := f.must(NewLogout, "ci"); !strings.Contains(notes, "nothing is stored for it") {
		t.Error(notes)
	}
}

func TestLogout_AllPurge(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	f.login()
	token, _ := f.must(NewToken, "work")
	removed := 0
	f.Removers = append(f.Removers, func(_ context.Context, dryRun bool) {
		if !dryRun {
			removed++
		}
	})
	_, _, err := f.run(NewLogout, "--all", "--purge")
	checkUsage(t, "without a terminal", err, "--purge deletes every login", "--yes")
	if _, notes := f.must(NewLogout, "--all", "--purge", "--dry-run"); !strings.Contains(notes, "would delete ") || removed != 0 || !f.issuer.Introspect(strings.TrimSpace(token)) {
		t.Errorf("%d, %s", removed, notes)
	}
	if _, notes := f.must(NewLogout, "--all", "--purge", "--yes"); !strings.Contains(notes, "Nothing of fob is left") || removed != 1 || f.issuer.Introspect(strings.TrimSpace(token)) {
		t.Errorf("%d, %s", removed, notes)
	}
	if app.PathExists(filepath.Join(f.Home, "config.toml")) || app.PathExists(filepath.Join(f.Home, "data")) {
		t.Error("files are left")
	}
}
