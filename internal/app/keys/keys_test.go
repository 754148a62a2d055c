package keys

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keys"
	"github.com/fobcli/fob/internal/app/apptest"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/records"
)

func TestRegistryName(t *testing.T) {
	for _, test := range []struct {
		config, variable, want string
		own                    bool
	}{
		{"", "", "", true},
		{"[keys]\nregistry = \"postgres://h/d\"\n", "", "postgres://h/d", false},
		{"[keys]\nregistry = \"postgres://h/d\"\n", "sqlite:/x", "sqlite:/x", false},
	} {
		m := apptest.New(t, test.config)
		m.Environ["FOB_REGISTRY"] = test.variable
		if test.own {
			test.want = "sqlite:" + filepath.Join(m.Home, "data", "registry.db")
		}
		if dsn, own, err := RegistryName(m.App); dsn != test.want || own != test.own || err != nil {
			t.Errorf("%q %q: %s %t %v", test.config, test.variable, dsn, own, err)
		}
	}
}

func TestOpen(t *testing.T) {
	m := apptest.New(t, "")
	if _, err := Open(t.Context(), m.App, false); !errors.Is(err, apikey.ErrNoRegistry) {
		t.Errorf("%v", err)
	}
	called := false
	do := func(g *keys.Registrar) error { called = true; return nil }
	if err := IfAny(t.Context(), m.App, apikey.ModeUse, do); err != nil || called {
		t.Errorf("without a registry: %t, %v", called, err)
	}
	g, err := Open(t.Context(), m.App, true)
	if err != nil {
		t.Fatal(err)
	}
	g.Close()
	if err := IfAny(t.Context(), m.App, apikey.ModeUse, do); err != nil || !called {
		t.Errorf("with a registry: %t, %v", called, err)
	}
	for dsn, text := range map[string]string{"mysql://h/d": "FOB_REGISTRY", "x": "FOB_REGISTRY"} {
		m.Environ["FOB_REGISTRY"] = dsn
		if err := IfAny(t.Context(), m.App, apikey.ModeUse, do); !cli.IsUsage(err) || !strings.Contains(cli.CarriedHint(err), text) {
			t.Errorf("%s: %v (hint %q)", dsn, err, cli.CarriedHint(err))
		}
	}
}

func TestFormat(t *testing.T) {
	for _, test := range []struct {
		config, brand string
		environments  int
	}{
		{"", "fob", 4},
		{"[keys]\nbrand = \"acme\"\n", "acme", 4},
		{"[keys]\nenvironments = [\"prod\"]\n", "fob", 1},
		{"[keys]\nbrand = \"A!\"\n", "", 0},
		{"[keys]\nenvironments = [\"no spaces\"]\n", "", 0},
	} {
		format, err := Format(apptest.New(t, test.config).App)
		if (err == nil) != (test.brand != "") || err != nil && !cli.IsUsage(err) || err == nil && (format.Brand != test.brand || len(format.Environments) != test.environments) {
			t.Errorf("%q: %+v, %v", test.config, format, err)
		}
	}
}

func TestPeppers(t *testing.T) {
	m := apptest.New(t, "")
	set := func(name, value string) error {
		return records.ChangePeppers(t.Context(), m.App, func(peppers map[string][]byte) error {
			if value == "" {
				delete(peppers, name)
				return nil
			}
			peppers[name] = []byte(value)
			return nil
		})
	}
	if peppers, err := records.ReadPeppers(t.Context(), m.App); len(peppers) > 0 || err != nil {
		t.Errorf("%v %v", peppers, err)
	}
	for _, err := range []error{set("p1", "one"), set("p2", "two"), set("p1", "")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if pepper, err := Pepper(t.Context(), m.App, "p2"); err != nil || string(pepper.Secret) != "two" || pepper.ID != "p2" {
		t.Errorf("%v %v", pepper.ID, err)
	}
	for id, hint := range map[string]string{"p1": "fob key pepper export p1", "../x; rm": ""} {
		_, err := Pepper(t.Context(), m.App, id)
		if !errors.Is(err, apikey.ErrUnknownPepper) || !strings.Contains(cli.CarriedHint(err), hint) || hint == "" && strings.Contains(cli.CarriedHint(err), "rm") {
			t.Errorf("%s: %v (hint %q)", id, err, cli.CarriedHint(err))
		}
	}
	failed := errors.New("refused")
	if err := records.ChangePeppers(t.Context(), m.App, func(peppers map[string][]byte) error { clear(peppers); return failed }); !errors.Is(err, failed) {
		t.Errorf("%v", err)
	}
	if peppers, _ := records.ReadPeppers(t.Context(), m.App); len(peppers) != 1 {
		t.Errorf("a refused change was saved: %d peppers", len(peppers))
	}
	other := apptest.New(t, "")
	other.Environ["FOB_HOME"], other.Environ["FOB_SEAL_KEY"] = m.Home, strings.Repeat("cd", 32)
	if _, err := records.ReadPeppers(t.Context(), other.App); !errors.As(err, new(*records.PeppersError)) {
		t.Errorf("with another key: %v", err)
	}
	// The last one leaves no record.
	if err := set("p2", ""); err != nil {
		t.Fatal(err)
	}
	store, err := m.Store(config.StorageFile)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Get(t.Context(), records.PeppersContext); !errors.Is(err, credstore.ErrNotFound) {
		t.Errorf("an empty record is left: %v", err)
	}
	none := apptest.New(t, "")
	none.Environ["FOB_STORAGE"] = "none"
	if _, err := records.ReadPeppers(t.Context(), none.App); !cli.IsUsage(err) {
		t.Errorf("without a storage: %v", err)
	}
}

func TestReadID(t *testing.T) {
	m := apptest.New(t, "")
	g, err := Open(t.Context(), m.App, true)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	minted, created, err := g.Create(t.Context(), apikey.Record{Owner: "shop", Environment: "test"}, 1)
	if err != nil {
		t.Fatal(err)
	}
	text, id := minted[0].Key.Reveal(), created[0].ID
	if _, err := g.Revoke(t.Context(), []string{id}, ""); err != nil {
		t.Fatal(err)
	}
	stranger, err := apikey.Mint("fob", "test")
	if err != nil {
		t.Fatal(err)
	}
	for stdin, want := range map[string]string{
		text: id, "  " + text + "\n": id, // whatever its state
		stranger.Key.Reveal(): "", "": "", "hello": "", text + "\n" + text: "", strings.Repeat("x", 70<<10): "",
	} {
		m.In = strings.NewReader(stdin)
		got, err := ReadID(t.Context(), m.App, g)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%.20q: %q, %v", stdin, got, err)
		}
		if err != nil && len(stdin) > 20 && strings.Contains(err.Error(), stdin[len(stdin)-20:]) {
			t.Error("the key is in the error")
		}
	}
}

func TestNewJSON(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 5e8, time.FixedZone("x", 3600))
	for _, test := range []struct {
		record apikey.Record
		want   string
	}{
		{apikey.Record{ID: "id", CreatedAt: now}, `{"id":"id","owner":"","environment":"","scopes":[],"state":"active","created_at":"2026-11-30T11:00:00Z"}`},
		{apikey.Record{ID: "id", Owner: "shop", Environment: "live", Scopes: []string{"a"}, CreatedAt: now, ExpiresAt: now.Add(time.Hour), Uses: 2, Digest: apikey.DigestOf("x"), Pepper: "p1"},
			`{"id":"id","owner":"shop","environment":"live","scopes":["a"],"state":"active","created_at":"2026-11-30T11:00:00Z","expires_at":"2026-11-30T12:00:00Z","expires_on":1796040000,"uses":2}`},
	} {
		if got, err := json.Marshal(NewJSON(test.record, now)); err != nil || string(got) != test.want {
			t.Errorf("%s, not %s", got, test.want)
		}
	}
}

func TestText_IsInert(t *testing.T) {
	hostile := "\x1b[31mred\n"
	for _, text := range []string{Text(apikey.Record{ID: hostile, Owner: hostile, Environment: hostile}), ScopesText([]string{hostile})} {
		if strings.ContainsAny(text, "\x1b\n") {
			t.Errorf("%q", text)
		}
	}
	scopes := []string{hostile}
	if ScopesText(scopes); scopes[0] != hostile {
		t.Error("the record was changed")
	}
}

// A use is written to a file, and reaches the registry with the next command.
func TestNoteUse(t *testing.T) {
	m := apptest.New(t, "")
	g, err := Open(t.Context(), m.App, true)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	_, created, err := g.Create(t.Context(), apikey.Record{Owner: "shop", Environment: "test"}, 1)
	if err != nil {
		t.Fatal(err)
	}
	id := created[0].ID
	NoteUse(t.Context(), m.App, g, id)
	NoteUse(t.Context(), m.App, g, id)
	if r, err := g.Find(t.Context(), id); err != nil || r.Uses != 0 {
		t.Errorf("%d uses, %v", r.Uses, err)
	}
	// Commands with another registry leave it where it is.
	m.Environ["FOB_REGISTRY"] = "sqlite:" + filepath.Join(m.Home, "other.db")
	other, err := Open(t.Context(), m.App, true)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	FoldUses(t.Context(), m.App, other)
	FoldUses(t.Context(), m.App, g)
	if r, err := g.Find(t.Context(), id); err != nil || r.Uses != 2 || !r.LastUsedAt.Equal(m.Time) || m.Err.Len() > 0 {
		t.Errorf("%d uses, %v, %s", r.Uses, err, m.Err.String())
	}
}
