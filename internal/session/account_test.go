package session

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/authservertest"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/seal"
)

// loginAs is a login that has arrived and is not saved yet.
func (f *fixture) loginAs(fault string) Login {
	f.t.Helper()
	client, request := f.request()
	back, err := authservertest.Redirect(f.t.Context(), request.URL(), http.DefaultClient)
	if err != nil {
		f.t.Fatal(err)
	}
	q, err := request.ParsePasted(back)
	if err != nil {
		f.t.Fatal(err)
	}
	if fault != "" {
		if err := f.server.InjectFault(fault, 1); err != nil {
			f.t.Fatal(err)
		}
	}
	response, err := client.Exchange(f.t.Context(), request, q.Get("code"))
	if err != nil {
		f.t.Fatal(err)
	}
	return Login{Client: client, Response: response, Scopes: []string{"openid"}, Nonce: request.Nonce}
}

func (f *fixture) mustBe(subject string) {
	f.t.Helper()
	if got := f.Status(f.t.Context()).Account.Subject; got != subject {
		f.t.Errorf("the login is of %q, not %q", got, subject)
	}
}

func TestI69_AnotherAccountNeedsConsent(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	f.mustLogin()
	f.mustBe("ada")

	if _, err := f.Save(t.Context(), f.loginAs("id-token-eve")); !errors.Is(err, ErrOtherAccount) {
		t.Errorf("without anybody to ask: %v", err)
	}
	f.mustBe("ada")
	if n := f.server.Count("revocation"); n != 1 {
		t.Errorf("%d tokens were revoked, not the refused one", n)
	}

	refusal := errors.New("no")
	login := f.loginAs("id-token-eve")
	login.Switch = func(_ context.Context, from, to Account) error {
		if from.Subject != "ada" || to.Subject != "eve" {
			t.Errorf("asked about %+v and %+v", from, to)
		}
		f.mustBe("ada")
		return refusal
	}
	if _, err := f.Save(t.Context(), login); !errors.Is(err, refusal) {
		t.Errorf("refused: %v", err)
	}
	f.mustBe("ada")

	login = f.loginAs("id-token-eve")
	login.Switch = func(context.Context, Account, Account) error { return nil }
	if _, err := f.Save(t.Context(), login); err != nil {
		t.Errorf("agreed: %v", err)
	}
	f.mustBe("eve")
}

// While one login asks, another is stored: the answer was not about that.
func TestI69_AccountThatChangedWhileItWasAsked(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	f.mustLogin()
	sibling := f.loginAs("id-token-namesake")
	sibling.Switch = func(context.Context, Account, Account) error { return nil }
	login := f.loginAs("id-token-eve")
	login.Switch = func(context.Context, Account, Account) error {
		_, err := f.Save(t.Context(), sibling)
		return err
	}
	if _, err := f.Save(t.Context(), login); !errors.Is(err, ErrReplaced) {
		t.Errorf("Save() = %v", err)
	}
	f.mustBe("another-ada")
}

// A login that cannot be read now is not the same as none.
func TestI69_UnreadableLoginIsNotReplaced(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	f.mustLogin()
	right := f.Store
	f.Store = credstore.NewFile(credstore.FileOptions{DataDir: f.Paths.Data, Key: func(context.Context, bool) (seal.Key, error) {
		return seal.NewKey(), nil
	}})
	if _, err := f.Save(t.Context(), f.loginAs("id-token-eve")); !errors.Is(err, seal.ErrWrongKey) {
		t.Errorf("under another key: %v", err)
	}
	for _, unreadable := range []error{credstore.ErrLocked, credstore.ErrTimeout, credstore.ErrNoKey} {
		f.Store = credstore.NewFile(credstore.FileOptions{DataDir: f.Paths.Data, Key: func(_ context.Context, create bool) (seal.Key, error) {
			if create {
				return seal.NewKey(), nil
			}
			return seal.Key{}, unreadable
		}})
		if _, err := f.Save(t.Context(), f.loginAs("id-token-eve")); !errors.Is(err, unreadable) {
			t.Errorf("%v: %v", unreadable, err)
		}
	}
	f.Store = right
	f.mustBe("ada")

	// A damaged one can only be replaced.
	files, err := filepath.Glob(filepath.Join(f.Paths.Data, "records", "login", "*"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	sealed, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	sealed[len(sealed)-1] ^= 1
	if err := os.WriteFile(files[0], sealed, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Save(t.Context(), f.loginAs("id-token-eve")); err != nil {
		t.Errorf("damaged: %v", err)
	}
	f.mustBe("eve")
}

// The account may be known from elsewhere: another storage, another client.
func TestI69_AccountOfAnotherPlace(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	login := f.loginAs("")
	login.Before = Account{Subject: "eve"}
	if _, err := f.Save(t.Context(), login); !errors.Is(err, ErrOtherAccount) {
		t.Errorf("Save() = %v", err)
	}
	f.mustBe("")
	login = f.loginAs("")
	login.Before = Account{Subject: "ada"}
	if _, err := f.Save(t.Context(), login); err != nil {
		t.Errorf("the same account: %v", err)
	}
}

// Servers that do not speak OpenID Connect identify accounts in their own ways, or not at all.
func TestI69_AccountsWithoutASubject(t *testing.T) {
	var userinfo string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, userinfo)
	}))
	defer server.Close()
	for _, test := range []struct {
		from, to string // userinfo; empty: there is no such endpoint
		asks     bool
		warns    bool
	}{
		{`{"id": 1, "login": "alice"}`, `{"id": 2, "login": "mallory"}`, true, false},
		{`{"id": 1, "name": "Ada"}`, `{"id": 2, "name": "Ada"}`, true, false},
		{`{"id": 9007199254740992}`, `{"id": 9007199254740993}`, true, false},
		{`{"account_id": "a"}`, `{"account_id": "b"}`, true, false},
		{`{"uuid": "{a}"}`, `{"uuid": "{b}"}`, true, false},
		{`{"id": 1, "login": "alice"}`, `{"id": 1, "login": "renamed"}`, false, false},
		{`{"uuid": "a", "name": "A"}`, `{"uuid": "a", "name": "B"}`, false, false},
		{`{"id": {}, "name": "Ada"}`, `{"id": {}, "name": "Eve"}`, true, false},
		{`{"name": "Ada", "email": "a@example.com"}`, `{"name": "Ada", "email": "b@example.com"}`, true, false},
		{`{"name": "Ada"}`, `{"name": "Ada"}`, false, true},
		{`{"login": "ada"}`, `{"login": "eve"}`, true, false},
		{`{"name": "Ada"}`, `{"id": 1, "name": "Ada"}`, true, false}, // by an earlier fob
		{`{"id": 1}`, `{}`, true, false},
		{"", `{"id": 1}`, true, false},
		{`{"id": 1}`, "", true, false},
		{"", "", false, true},
	} {
		f := newFixture(t, authservertest.Options{})
		save := func(text string) error {
			login := f.loginAs("")
			login.Nonce, login.Brought = "", true // without an id_token
			metadata := *login.Client.Metadata
			if metadata.UserinfoEndpoint = server.URL; text == "" {
				metadata.UserinfoEndpoint = ""
			}
			login.Client.Metadata, userinfo = &metadata, text
			_, err := f.Save(t.Context(), login)
			return err
		}
		if err := save(test.from); err != nil || len(f.warned) != 0 {
			t.Fatalf("%s: %v, %q", test.from, err, f.warned)
		}
		before := f.Status(t.Context()).Account
		err := save(test.to)
		if errors.Is(err, ErrOtherAccount) != test.asks || !test.asks && err != nil || test.asks && f.Status(t.Context()).Account != before {
			t.Errorf("%s, then %s: %v", test.from, test.to, err)
		}
		if warned := len(f.warned) == 1 && strings.Contains(f.warned[0], "may not be the account"); warned != test.warns || !warned && len(f.warned) > 0 {
			t.Errorf("%s, then %s: %q", test.from, test.to, f.warned)
		}
	}
}
