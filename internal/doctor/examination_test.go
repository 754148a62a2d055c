package doctor

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/registry"
	"github.com/fobcli/fob/internal/app/apptest"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/secret"
)

// endpoints keep the examination from asking a server.
const endpoints = "client_id = 'fob'\nauthorization_endpoint = 'https://sso.example.com/a'\ntoken_endpoint = 'https://sso.example.com/t'\n"

// find examines a machine and returns the findings of a check.
func find(t *testing.T, m *apptest.Machine, check string, profiles ...string) []Finding {
	t.Helper()
	m.Hint = func(err error) string {
		profile := "PROFILE"
		if named, ok := errors.AsType[*cli.ProfileError](err); ok {
			profile = named.Profile
		}
		return "run 'fob login " + profile + "'"
	}
	all, err := Examine(t.Context(), m.App, profiles, false, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if strings.Contains(f.Detail+f.Fix, "PROFILE") && f.Check != configurationCheck || (f.Fix == "") != (f.State == OK || f.State == NotChecked) {
			t.Errorf("%+v", f)
		}
	}
	return slices.DeleteFunc(all, func(f Finding) bool { return f.Check != check })
}

func TestExamine(t *testing.T) {
	for name, test := range map[string]struct {
		config string
		check  string
		want   []Finding // Detail and Fix are parts
	}{
		"no profile":     {"", "login", nil},
		"logged out":     {"[profile.work]\n" + endpoints, "login", []Finding{{"login", "work", Warning, "logged out", "fob login work"}}},
		"an identity":    {"[profile.ci]\ngrant = 'jwt-bearer'\nidentity = 'github'\n" + endpoints, "login", []Finding{{"login", "ci", OK, "fob token ci", ""}}},
		"endpoints":      {"[profile.work]\n" + endpoints, "issuer", []Finding{{"issuer", "work", NotChecked, "names its endpoints", ""}}},
		"bad storage":    {"[profile.work]\nstorage = 'disk'\n" + endpoints, "storage", []Finding{{"storage", "work", Problem, `"disk"`, "fob login work"}}},
		"no storage":     {"[profile.work]\nstorage = 'none'\n" + endpoints, "storage", []Finding{{"storage", "", OK, "none", ""}}},
		"one file":       {"[profile.a]\n" + endpoints + "[profile.b]\nstorage = 'file'\n" + endpoints + "[secret.x]\nto = []\n", "encrypted file", []Finding{{"encrypted file", "", OK, "read back", ""}}},
		"redirect":       {"[profile.work]\n" + endpoints, "redirect", []Finding{{"redirect", "work", Warning, "another server could receive", "fob profile set work --redirect-uri"}}},
		"CA of all":      {"ca_file = '/nowhere.pem'\n", "CA file", []Finding{{"CA file", "", Problem, "/nowhere.pem", "ca_file in config.toml"}}},
		"CA of one":      {"[profile.work]\nca_file = '/nowhere.pem'\n" + endpoints, "CA file", []Finding{{"CA file", "work", Problem, "/nowhere.pem", "fob profile set work --ca-file"}}},
		"IPv6 redirect":  {"[profile.work]\nredirect_uri = 'http://[::1]/callback'\n" + endpoints, "loopback 127.0.0.1", []Finding{{"loopback 127.0.0.1", "", OK, "listen", ""}}},
		"broken":         {"[profile", "configuration", []Finding{{"configuration", "", Problem, "config.toml", "fob login"}}},
		"secret missing": {"[secret.x]\nto = []\n", "secret", []Finding{{"secret", "", Warning, "x: no value", "set it again: 'fob secret set x'"}}},
	} {
		t.Run(name, func(t *testing.T) {
			m := apptest.New(t, "")
			if err := os.WriteFile(filepath.Join(m.Home, "config.toml"), []byte(test.config), 0o600); err != nil {
				t.Fatal(err)
			}
			got := find(t, m, test.check)
			if len(got) != len(test.want) {
				t.Fatalf("%+v", got)
			}
			for i, want := range test.want {
				if f := got[i]; f.Profile != want.Profile || f.State != want.State || !strings.Contains(f.Detail, want.Detail) || !strings.Contains(f.Fix, want.Fix) {
					t.Errorf("%+v, want %+v", f, want)
				}
			}
		})
	}
}

func TestExamine_SecretsExpire(t *testing.T) {
	for expires, want := range map[string]string{
		"2026-11-29T12:00:00Z": "stripe has expired",
		"2026-12-03T12:00:00Z": "stripe expires in 3 days",
		"2027-11-29T12:00:00Z": "1 secret can be read, and none expires soon",
	} {
		m := apptest.New(t, "[secret.stripe]\nexpires = "+expires+"\n")
		v, err := m.SealedSecret(config.Secret{Name: "stripe"})
		if err == nil {
			err = v.Set(t.Context(), secret.New("canary"))
		}
		if err != nil {
			t.Fatal(err)
		}
		if found := find(t, m, "secret"); len(found) != 1 || found[0].Detail != want {
			t.Errorf("expires %s: %+v, want %q", expires, found, want)
		}
	}
}

// An examination changes nothing, and older machines may share the registry.
func TestExamine_OlderRegistryIsNotUpdated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "registry.db")
	m := apptest.New(t, "[keys]\nregistry = 'sqlite:"+path+"'\n")
	r, err := registry.Open(t.Context(), "sqlite:"+path, apikey.ModeCreate)
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	db, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("INSERT INTO revocation VALUES ('1AAAAAAAAAAA', 1, 1)"); err != nil {
		t.Fatal(err)
	}
	if got := find(t, m, "registry"); len(got) != 2 || got[1].State != Warning || got[1].Detail != "the revocation of 1 key is unfinished" || got[1].Fix != "run 'fob key revoke --resume'" {
		t.Errorf("%+v", got)
	}
	if _, err := db.Exec("UPDATE registry SET schema_version = 3"); err != nil {
		t.Fatal(err)
	}
	if got := find(t, m, "registry"); len(got) != 1 || got[0].State != Warning || !strings.Contains(got[0].Detail, "older fob") {
		t.Errorf("%+v", got)
	}
	var version int
	if err := db.QueryRow("SELECT schema_version FROM registry").Scan(&version); err != nil || version != 3 {
		t.Error(version, err)
	}
}

func TestExamine_UnknownProfile(t *testing.T) {
	if _, err := Examine(t.Context(), apptest.New(t, "").App, []string{"nobody"}, false, false); err == nil {
		t.Error("a profile that does not exist is examined")
	}
}
