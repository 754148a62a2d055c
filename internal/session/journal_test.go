package session

import (
	"encoding/base64"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/authservertest"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/seal"
	"github.com/fobcli/fob/internal/secret"
)

func (f *fixture) journalText() string {
	f.t.Helper()
	content, err := os.ReadFile(f.Session.journal().path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		f.t.Fatal(err)
	}
	return string(content)
}

func TestAFailedSaveLosesNothing(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	f.mustLogin()
	f.failSaves = true
	if _, err := f.Token(t.Context(), force); !errors.Is(err, credstore.ErrNotWritten) {
		t.Errorf("Token() = %v", err)
	}
	if journal := f.journalText(); journal == "" || strings.Contains(journal, "authservertest") {
		t.Errorf("the journal is %q", journal)
	}
	f.failSaves = false
	f.token(force) // with reuse detection, only the rotated token works
	if f.journalText() != "" || len(f.warned) != 1 || !strings.Contains(f.warned[0], "recovered") {
		t.Errorf("journal %q, the user was told %q", f.journalText(), f.warned)
	}
	f.token(force)
	if len(f.warned) != 1 {
		t.Errorf("it is recovered again: %q", f.warned)
	}
}

func TestB26AnswerLostAfterTheServerRotated(t *testing.T) {
	f := newFixture(t, authservertest.Options{Grace: time.Hour})
	f.mustLogin()
	f.injectFault("drop-after-rotate")
	if _, err := f.Token(t.Context(), force); !errors.Is(err, oauth.ErrUnavailable) {
		t.Errorf("B26: %v", err)
	}
	if f.journalText() != journalIntent {
		t.Errorf("B26: the journal is %q", f.journalText())
	}
	f.token(force)
	if f.journalText() != "" {
		t.Errorf("B26: the journal is still %q", f.journalText())
	}
}

func TestB26WithoutGraceItIsSaid(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	f.mustLogin()
	f.injectFault("drop-after-rotate")
	if _, err := f.Token(t.Context(), force); !errors.Is(err, oauth.ErrUnavailable) {
		t.Errorf("B26: %v", err)
	}
	_, err := f.Token(t.Context(), force)
	if !errors.Is(err, ErrLoginRequired) || !strings.Contains(err.Error(), "interrupted before its response") {
		t.Errorf("B26: %v", err)
	}
	if n := f.server.Count("token/refresh"); n != 2 {
		t.Errorf("B26: %d requests, one retry was wanted", n)
	}
}

func TestTheJournalEndsWithItsLogin(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	leave := func() {
		t.Helper()
		f.mustLogin()
		f.failSaves = true
		if _, err := f.Token(t.Context(), force); err == nil {
			t.Fatal("the save did not fail")
		}
		f.failSaves = false
	}
	leave()
	f.mustLogin()
	if f.journalText() != "" {
		t.Error("a new login leaves the journal of the old one")
	}
	leave()
	if steps, err := f.Logout(t.Context(), false); err != nil || steps[0].Err != nil || f.journalText() != "" {
		t.Errorf("Logout() = %+v, %v, journal %q", steps, err, f.journalText())
	}
}

func TestF47ChangedJournal(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	f.mustLogin()
	if err := f.Session.journal().write([]byte("something else")); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Token(t.Context(), force); !errors.Is(err, seal.ErrFormat) || errors.Is(err, ErrLoginRequired) || f.server.Count("token/refresh") != 0 {
		t.Errorf("F47: %v", err)
	}
	f.token(TokenOptions{}) // the cached token needs no journal
}

// Whatever stands in a journal, the record keeps its refresh token or takes one that
// was sealed for this login.
func FuzzJournal(f *testing.F) {
	key := seal.NewKey()
	r := &record{head: head{CacheKey: sealedSecret{secret.New(base64.StdEncoding.EncodeToString(key.Bytes()))}}}
	s := &Session{Profile: config.Profile{Name: "work", Issuer: "https://sso.example.com", ClientID: "fob"}}
	f.Add([]byte(journalIntent), false)
	f.Add([]byte(`{"refresh_token":"x"}`), true)
	f.Add([]byte(`{"refresh_token":"x","refresh_expires_at":"9999-99-99T00:00:00Z"}`), true)
	f.Add([]byte(`{"refresh_token":{}}`), true)
	f.Fuzz(func(t *testing.T, content []byte, sealed bool) {
		if sealed {
			content = key.Seal(s.journal().context, content)
		}
		var next rotation
		err := s.journal().open(r.head, content, &next)
		if err == nil && !sealed {
			t.Error("it opened, and nobody has sealed it")
		}
		if err == nil {
			next.apply(r)
			if _, err := r.marshal(); err != nil {
				t.Errorf("the record cannot be kept any more: %v", err)
			}
		}
	})
}
