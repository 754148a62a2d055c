package app_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/app/apptest"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/secret"
	"github.com/fobcli/fob/internal/secretstore"
)

// store stores a value of a secret that config.toml names.
func store(t *testing.T, m *apptest.Machine, name, value string) {
	t.Helper()
	cfg, err := m.Config()
	if err != nil {
		t.Fatal(err)
	}
	s, err := app.KnownSecret(cfg, name)
	if err != nil {
		t.Fatal(err)
	}
	v, err := m.SealedSecret(s)
	if err == nil {
		err = v.Set(t.Context(), secret.New(value))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestHeldSecret(t *testing.T) {
	const config = "[secret.\"a/b\"]\n[secret.empty]\n[secret.soon]\nexpires = 2026-12-02\n[secret.over]\nexpires = 2026-11-29\n[secret.later]\nexpires = 2027-02-01\n"
	for _, test := range []struct {
		name, secret string
		environ      map[string]string
		want         string
		text         string // of the error or its hint
		warning      string
	}{
		{"stored", "a/b", nil, "stored", "", ""},
		{"a variable overrides it", "a/b", map[string]string{"FOB_SECRET_A_B": "given"}, "given", "", ""},
		{"a variable without a table", "new", map[string]string{"FOB_SECRET_NEW": "given"}, "given", "", ""},
		{"an unknown name", "a/c", nil, "", "a/b", ""},
		{"another secret's variable", "a-b", map[string]string{"FOB_SECRET_A_B": "given"}, "", `"a/b"`, ""},
		{"without a value", "empty", nil, "", "empty", ""},
		{"expires soon", "soon", nil, "stored", "", "2026-12-02"},
		{"expired", "over", nil, "stored", "", "2026-11-29"},
		{"expires later", "later", nil, "stored", "", ""},
		{"no storage", "new", map[string]string{"FOB_STORAGE": "none"}, "", "FOB_SECRET_NEW", ""},
	} {
		m := apptest.New(t, config)
		for name, value := range test.environ {
			m.Environ[name] = value
		}
		for _, name := range []string{"a/b", "soon", "over", "later"} {
			if m.Environ["FOB_STORAGE"] == "file" {
				store(t, m, name, "stored")
			}
		}
		held, err := m.HeldSecret(t.Context(), test.secret)
		if held.Value.Reveal() != test.want || (err == nil) != (test.text == "") {
			t.Errorf("%s: %q, %v", test.name, held.Value.Reveal(), err)
		}
		if err != nil && !strings.Contains(err.Error()+cli.CarriedHint(err), test.text) {
			t.Errorf("%s: %v (hint %q)", test.name, err, cli.CarriedHint(err))
		}
		if warned := m.Err.String(); (warned != "") != (test.warning != "") || !strings.Contains(warned, test.warning) {
			t.Errorf("%s: %q", test.name, warned)
		}
	}
}

// An error of a secret has its name, so that the hint is a command that works.
func TestHeldSecret_ErrorsNameTheSecret(t *testing.T) {
	m := apptest.New(t, "[secret.empty]\n")
	_, err := m.HeldSecret(t.Context(), "empty")
	var named *secretstore.Error
	if !errors.As(err, &named) || named.Name != "empty" || !errors.Is(err, secretstore.ErrNoValue) {
		t.Errorf("%v", err)
	}
}

func TestShownSecret(t *testing.T) {
	m := apptest.New(t, "[secret.db]\nto = [\"exec:x\"]\nexpires = 2027-02-01\n[secret.empty]\n[secret.elsewhere]\nstorage = \"none\"\n")
	store(t, m, "db", "one")
	cfg, err := m.Config()
	if err != nil {
		t.Fatal(err)
	}
	shown := func(name string) app.SecretJSON { return m.ShownSecret(t.Context(), cfg, cfg.Secrets[name]) }
	if s := shown("db"); s.Problem != "" || s.Failure != nil || s.Storage != "file" || !s.SetAt.Equal(m.Time) || len(s.Destinations) != 1 || !s.ExpiresAt.Equal(time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("%+v", s)
	}
	if s := shown("empty"); s.Problem == "" || s.Failure != nil { // nothing is broken
		t.Errorf("%+v", s)
	}
	v, err := m.SealedSecret(cfg.Secrets["db"])
	if err != nil {
		t.Fatal(err)
	}
	failed := errors.New("503")
	err = v.Rotate(t.Context(), secretstore.Steps{
		Mint: func(context.Context, secret.Secret) (secretstore.Minted, error) {
			return secretstore.Minted{Value: secret.New("two")}, nil
		},
		Deliver: func(context.Context, secret.Secret) error { return failed },
	})
	if !errors.Is(err, failed) {
		t.Fatal(err)
	}
	if s := shown("db"); s.Rotation != "delivering" || !strings.Contains(s.Problem, "fob secret rotate db --resume") {
		t.Errorf("%+v", s)
	}
	other := apptest.New(t, "")
	other.Environ["FOB_HOME"], other.Environ["FOB_SEAL_KEY"] = m.Home, strings.Repeat("cd", 32)
	if s := other.ShownSecret(t.Context(), cfg, cfg.Secrets["db"]); s.Failure == nil || s.Problem == "" {
		t.Errorf("with another key: %+v", s)
	}
	m.Environ["FOB_SECRET_DB"] = "given"
	if s := shown("db"); s.Problem != "" || s.Storage != app.FromEnv {
		t.Errorf("%+v", s)
	}
}

func TestDeleteSecret(t *testing.T) {
	m := apptest.New(t, "[secret.db]\n")
	store(t, m, "db", "one")
	cfg, err := m.Config()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time there is none
		if err := m.DeleteSecret(t.Context(), cfg.Secrets["db"]); err != nil {
			t.Error(err)
		}
	}
	if _, err := m.HeldSecret(t.Context(), "db"); !errors.Is(err, secretstore.ErrNoValue) {
		t.Errorf("%v", err)
	}
}
