package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keys"
	"github.com/fobcli/fob/internal/app/apptest"
	appkeys "github.com/fobcli/fob/internal/app/keys"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/destination"
	"github.com/fobcli/fob/internal/httpclient"
	"github.com/fobcli/fob/internal/secret"
)

// fake is a destination that takes a value or does not.
type fake struct {
	name string
	err  error
	got  string
}

func (f *fake) Name() string              { return f.name }
func (*fake) Check(_ secret.Secret) error { return nil }
func (f *fake) Deliver(_ context.Context, value secret.Secret) error {
	f.got = value.Reveal()
	return f.err
}

// issue creates a key with destinations in the machine's registry.
func issue(t *testing.T, m *apptest.Machine, destinations ...string) string {
	t.Helper()
	g, err := appkeys.Open(t.Context(), m.App, true)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	_, records, err := g.Create(t.Context(), apikey.Record{Owner: "shop", Environment: "test", Destinations: destinations}, 1)
	if err != nil {
		t.Fatal(err)
	}
	return records[0].ID
}

func TestCheckConflicts(t *testing.T) {
	m := apptest.New(t, "[secret.db]\nto = [\"github:a/b#DB\", \"exec:run\"]\n")
	if err := CheckConflicts(t.Context(), m.App, []string{"github:a/b#KEY"}, nil, false); err != nil {
		t.Errorf("without a registry: %v", err)
	}
	id := issue(t, m, "github:a/b#KEY")
	for _, test := range []struct {
		name         string
		names, known []string
		force        bool
		owner        string // of the destination, in the error
	}{
		{"none", nil, nil, false, ""},
		{"free", []string{"github:a/b#OTHER"}, nil, false, ""},
		{"of a secret", []string{"github:a/b#OTHER", "github:a/b#DB"}, nil, false, `"db"`},
		{"of a key", []string{"github:a/b#KEY"}, nil, false, id},
		{"its own", []string{"github:a/b#KEY", "github:a/b#DB"}, []string{"github:a/b#KEY", "github:a/b#DB"}, false, ""},
		{"forced", []string{"github:a/b#KEY", "github:a/b#DB"}, nil, true, ""},
		{"a command takes several", []string{"exec:run"}, nil, false, ""},
	} {
		before := slices.Clone(test.names)
		err := CheckConflicts(t.Context(), m.App, test.names, test.known, test.force)
		if (err == nil) != (test.owner == "") || err != nil && (!cli.IsUsage(err) || !strings.Contains(err.Error(), test.owner) || !strings.Contains(cli.CarriedHint(err), "--force")) {
			t.Errorf("%s: %v (hint %q)", test.name, err, cli.CarriedHint(err))
		}
		if !slices.Equal(test.names, before) {
			t.Errorf("%s: the names were changed: %q", test.name, test.names)
		}
	}
	// The destination of a revoked key is free again.
	g, err := appkeys.Open(t.Context(), m.App, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Revoke(t.Context(), []string{id}, ""); err != nil {
		t.Fatal(err)
	}
	g.Close()
	if err := CheckConflicts(t.Context(), m.App, []string{"github:a/b#KEY"}, nil, false); err != nil {
		t.Errorf("of a revoked key: %v", err)
	}
}

func TestDeliverAll(t *testing.T) {
	refused := errors.New("403 Forbidden")
	for _, asJSON := range []bool{false, true} {
		m := apptest.New(t, "")
		good, bad, last := &fake{name: "a:good"}, &fake{name: "b:bad", err: refused}, &fake{name: "c:last"}
		delivered, failed := DeliverAll(t.Context(), m.App, []destination.Destination{good, bad, last}, secret.New("s3cret"), asJSON)
		if !slices.Equal(delivered, []string{"a:good", "c:last"}) || len(failed) != 1 || !errors.Is(failed, refused) || !errors.Is(failed, destination.ErrNotDelivered) {
			t.Errorf("%q, %v", delivered, failed)
		}
		for _, d := range []*fake{good, bad, last} { // a failure stops no other
			if d.got != "s3cret" {
				t.Errorf("%s got %q", d.name, d.got)
			}
		}
		if printed := m.Out.String() + m.Err.String(); strings.Contains(printed, "s3cret") {
			t.Errorf("the value is shown: %s", printed)
		}
		if !asJSON {
			if notes := m.Err.String(); m.Out.Len() > 0 || !strings.Contains(notes, "a:good") || strings.Contains(notes, "b:bad") {
				t.Errorf("%s %s", m.Out.String(), notes)
			}
			continue
		}
		var results []deliveryJSON
		if err := json.Unmarshal(m.Out.Bytes(), &results); err != nil || len(results) != 3 || !results[0].Delivered || results[1].Delivered || !strings.Contains(results[1].Problem, "403") {
			t.Errorf("%s: %v", m.Out.String(), err)
		}
	}
	if _, failed := DeliverAll(t.Context(), apptest.New(t, "").App, nil, secret.New("x"), false); failed.Err() != nil {
		t.Errorf("to no destination: %v", failed)
	}
}

func TestDestinations(t *testing.T) {
	m := apptest.New(t, "[commands]\nrun = [\"true\"]\n[profile.work]\nissuer = \"https://example.com\"\nclient_id = \"x\"\n")
	for _, test := range []struct {
		names, as []string
		want      []string
		text      string // of the error or its hint
	}{
		{nil, []string{"absent"}, nil, ""}, // what is not delivered needs no credential
		{[]string{"exec:run", "github:a/b#KEY", "exec:run"}, nil, []string{"exec:run", "github:a/b#KEY"}, ""},
		{[]string{"dotenv:/tmp/.env#KEY", "dotenv:/tmp/../tmp/.env#KEY"}, nil, []string{"dotenv:/tmp/.env#KEY"}, ""}, // typed: the folder is not checked
		{[]string{"github:a/b#KEY"}, []string{"work"}, []string{"github:a/b#KEY"}, ""},
		{[]string{"github:a/b#KEY"}, []string{"github=token/work"}, []string{"github:a/b#KEY"}, ""},
		{[]string{"github:a/b#KEY"}, []string{"absent"}, nil, "absent"},
		{[]string{"github:a/b#KEY"}, []string{"secret/absent"}, nil, "absent"},
		{[]string{"github:a/b#KEY"}, []string{"gitbuh=work"}, nil, "github, gitlab"},
		{[]string{"github:a/b#KEY"}, []string{"github="}, nil, "--as"},
		{[]string{"exec:absent"}, nil, nil, "[commands]"},
		{[]string{"github:a"}, nil, nil, "github:OWNER/REPO"},
		{[]string{"nowhere"}, nil, nil, "destinations"},
	} {
		dests, err := Destinations(m.App, test.names, test.as)
		if test.text != "" {
			if err == nil || !cli.IsUsage(err) && !errors.As(err, new(*config.SelectError)) || !strings.Contains(err.Error()+" "+cli.CarriedHint(err), test.text) {
				t.Errorf("%q %q: %v (hint %q)", test.names, test.as, err, cli.CarriedHint(err))
			}
			continue
		}
		if err != nil || !slices.Equal(DestinationNames(dests), append([]string{}, test.want...)) {
			t.Errorf("%q %q: %q, %v", test.names, test.as, DestinationNames(dests), err)
		}
	}
}

func TestCredentialsOf(t *testing.T) {
	cfg := &config.Config{Destination: config.Destination{As: map[string]string{"github": "work", "vault": "secret/vault"}}}
	for _, test := range []struct {
		as   []string
		want map[string]string
	}{
		{nil, map[string]string{"github": "work", "vault": "secret/vault"}},
		{[]string{"github=other"}, map[string]string{"github": "other", "vault": "secret/vault"}},
		{[]string{"other"}, map[string]string{"": "other"}},
		{[]string{"other", "vault=secret/v"}, map[string]string{"": "other", "vault": "secret/v"}},
	} {
		got, err := credentialsOf(cfg, test.as)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(test.want) {
			t.Errorf("%q: %v, %v", test.as, got, err)
		}
	}
}

func TestCredentialReference(t *testing.T) {
	for source, want := range map[string]string{"work": "token/work", "token/work": "token/work", "secret/a/b": "secret/a/b"} {
		if got := CredentialReference(source); got != want {
			t.Errorf("%s: %s", source, got)
		}
	}
}

func TestAddNames(t *testing.T) {
	names := make([]string, 1, 5)
	names[0] = "a"
	got := AddNames(names, []string{"b", "a", "b"})
	if !slices.Equal(got, []string{"a", "b"}) || names[:2][1] == "b" {
		t.Errorf("%q; the slice before: %q", got, names[:2])
	}
}

func TestKeyDestination_MarksWhatMayHaveArrived(t *testing.T) {
	for _, test := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{errors.New("403 Forbidden"), false},
		{context.Canceled, true},
		{fmt.Errorf("put: %w", context.DeadlineExceeded), true},
		{fmt.Errorf("put: %w", httpclient.ErrUnavailable), true},
	} {
		err := keyDestination{&fake{err: test.err}}.Deliver(t.Context(), apikey.Minted{}, apikey.Record{})
		if errors.Is(err, keys.ErrMayHaveArrived) != test.want || !errors.Is(err, test.err) {
			t.Errorf("%v: %v", test.err, err)
		}
	}
}

// Each outcome of a failed rotation names the keys, and a command that works as it stands.
func TestDeliveryErrors(t *testing.T) {
	failed := []*keys.DeliveryError{{Destination: "b:bad", Err: errors.New("403 Forbidden")}}
	arrived := []apikey.Delivery{{Destination: "a:good", Status: apikey.DeliveryDone}}
	now := time.Now()
	for _, test := range []struct {
		name       string
		old        apikey.Record
		rotation   apikey.Rotation
		text, hint string
	}{
		{"revoked", apikey.Record{RevokedAt: now}, apikey.Rotation{Phase: apikey.PhaseDelivering, Deliveries: arrived}, "old is revoked", "fob key rotate --resume old"},
		{"revoked soon", apikey.Record{RetiresAt: now}, apikey.Rotation{Phase: apikey.PhaseDelivering}, "within 30 s", "fob key rotate --resume old"},
		{"partly delivered", apikey.Record{}, apikey.Rotation{Phase: apikey.PhaseDelivering, Deliveries: arrived}, "still valid, and so is new", "fob key rotate --resume old"},
		{"nowhere", apikey.Record{}, apikey.Rotation{Phase: apikey.PhaseAbandoned}, "still valid", "run it again"},
	} {
		test.old.ID = "old"
		rotated := keys.Rotated{Old: test.old, New: apikey.Record{ID: "new"}, Rotation: test.rotation, Failed: failed}
		var failures cli.Failures
		err := Errors(errors.New("joined"), rotated)
		if !errors.As(err, &failures) || len(failures) != 2 || !errors.Is(failures[0], keys.ErrNotDelivered) {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if left := failures[1]; !errors.Is(left, cli.ErrUnfinished) || !strings.Contains(left.Error(), test.text) || !strings.Contains(cli.CarriedHint(left), test.hint) {
			t.Errorf("%s: %v (hint %q)", test.name, left, cli.CarriedHint(left))
		}
	}
	other := errors.New("registry is read-only")
	if err := Errors(other, keys.Rotated{}); !errors.Is(err, other) {
		t.Errorf("without a failed delivery: %v", err)
	}
}

func TestStdoutDestination(t *testing.T) {
	minted, err := apikey.Mint("fob", "test")
	if err != nil {
		t.Fatal(err)
	}
	text, r := minted.Key.Reveal(), apikey.Record{ID: minted.ID, Predecessor: "old"}
	for _, test := range []struct {
		many, json bool
		want       string // a prefix
	}{{false, false, text + "\n"}, {true, false, "old " + text + "\n"}, {true, true, `{"key":"` + text + `","id":"` + minted.ID}} {
		m := apptest.New(t, "")
		d := &StdoutDestination{A: m.App, Bar: m.NewProgress("", 0), Many: test.many, JSON: test.json}
		if err := d.Deliver(t.Context(), minted, r); err != nil || !strings.HasPrefix(m.Out.String(), test.want) || strings.Count(m.Out.String(), "\n") != 1 {
			t.Errorf("%+v: %q, %v", test, m.Out.String(), err)
		}
	}
}

// A destination that does not take such a key is refused before there is a key.
func TestKeyDestinations(t *testing.T) {
	m := apptest.New(t, "")
	dests, err := KeyDestinations(m.App, nil, []string{m.Dotenv("KEY")}, nil, "test")
	if err != nil || len(dests) != 1 {
		t.Errorf("%v %v", dests, err)
	}
	if _, err := KeyDestinations(m.App, nil, []string{m.Dotenv("KEY")}, nil, "no environment"); err == nil {
		t.Error("a key of an invalid environment")
	}
}

// A registry may be shared: what it names must be below dotenv_roots, unless the user types it.
func TestKeyDestinations_Recorded(t *testing.T) {
	m, elsewhere := apptest.New(t, ""), "dotenv:"+filepath.ToSlash(filepath.Join(t.TempDir(), ".env"))+"#KEY"
	for _, test := range []struct {
		recorded, typed, want []string
	}{
		{[]string{m.Dotenv("KEY")}, nil, []string{m.Dotenv("KEY")}},
		{[]string{elsewhere}, nil, nil},
		{[]string{elsewhere}, []string{m.Dotenv("KEY")}, nil},
		{[]string{elsewhere, m.Dotenv("A")}, []string{m.Dotenv("B"), elsewhere}, []string{m.Dotenv("A"), m.Dotenv("B"), elsewhere}},
	} {
		dests, err := KeyDestinations(m.App, test.recorded, test.typed, nil, "test")
		refused := err != nil && strings.Contains(err.Error(), "dotenv_roots")
		if !slices.Equal(DestinationNames(dests), test.want) || refused != (test.want == nil) {
			t.Errorf("%q %q: %q, %v", test.recorded, test.typed, DestinationNames(dests), err)
		}
	}
}
