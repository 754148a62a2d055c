// Package registrytest is the one suite that every driver of the registry passes,
// against a real database.
package registrytest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keys"
)

// Driver is a kind of registry, and a back door to its rows.
type Driver struct {
	// New returns the name of a registry that is not there yet.
	New func(t *testing.T) (dsn string)
	// Open opens it as fob does.
	Open func(ctx context.Context, dsn string, mode apikey.Mode) (apikey.Registry, error)
	// DB opens the database behind it, to do what fob never does.
	DB        func(t *testing.T, dsn string) *sql.DB
	Explain   string // before a query: its plan, in the last column
	Analyze   string // counts the rows for the plans; may be ""
	KeysIndex string // the index of the ids of the keys
	// ModelSteps is how many operations the model test tries; FOB_MODEL_STEPS overrides it.
	ModelSteps int
}

// Run runs the suite.
func Run(t *testing.T, d Driver) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, *fixture)
	}{
		{"CreateAndVerify", testCreateAndVerify},
		{"Fields", testFields},
		{"Filter", testFilter},
		{"Sort", testSort},
		{"KeysPageByPage", testKeysPageByPage},
		{"Indexes", testIndexes},
		{"Update", testUpdate},
		{"Revoke", testRevoke},
		{"RevokeMany", testRevokeMany},
		{"G58_RevokedNeverRevives", testRevokedNeverRevives},
		{"G58_Expiry", testExpiry},
		{"Import", testImport},
		{"Rotate", testRotate},
		{"RotateCompromised", testRotateCompromised},
		{"G55_DeliveryFails", testDeliveryFails},
		{"G55_RotationStopped", testRotationStopped},
		{"G55_CompromisedAndKilled", testCompromisedAndKilled},
		{"G55_LeaseOfAClockAhead", testLeaseOfAClockAhead},
		{"G55_KeepUntilDelivered", testKeepUntilDelivered},
		{"G55_StillUsed", testStillUsed},
		{"G55_AnswerLost", testAnswerLost},
		{"G55_RevokedAfterKill", testRevokedAfterKill},
		{"G55_NotedMeanwhile", testNotedMeanwhile},
		{"ManyDestinations", testManyDestinations},
		{"G55_RotateCrowd", testRotateCrowd},
		{"G55_StillToRotate", testStillToRotate},
		{"G55_LeaseOfADeadProcess", testLeaseOfADeadProcess},
		{"G55_KilledWhileRevoking", testKilledWhileRevoking},
		{"G55_LostLease", testLostLease},
		{"G55_TakeOverDuringDelivery", testTakeOverDuringDelivery},
		{"G55_NestedRotations", testNestedRotations},
		{"G55_TimesOfARevokedKey", testTimesOfARevokedKey},
		{"G55_Model", testModel},
		{"ChangesFromManyProcesses", testManyChanges},
		{"FirstUseByMany", testFirstUse},
		{"Changed", testChanged},
		{"Audit", testAudit},
		{"AuditFindsTampering", testTampering},
		{"AuditFindsTamperedBulkRevocation", testTamperedBulkRevocation},
		{"Check", testCheck},
		{"Pepper", testPepper},
		{"PepperTakenAway", testPepperTakenAway},
		{"G55_ForgedRotations", testForgedRotations},
		{"G55_ForgedCycle", testForgedCycle},
		{"G58_TimesOfALife", testTimesOfALife},
		{"Use", testUse},
		{"ID", testID},
		{"OlderServer", testOlderServer},
		{"NewerSchema", testNewerSchema},
		{"NoRegistry", testNoRegistry},
		{"G56_HostileNames", testHostileNames},
		{"FailedChangeChangesNothing", testFailedChange},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, newFixture(t, d)) })
	}
}

// fixture is a new registry under a clock of its own.
type fixture struct {
	*keys.Registrar
	driver Driver
	dsn    string
	mu     sync.Mutex
	time   time.Time
}

func newFixture(t *testing.T, d Driver) *fixture {
	t.Helper()
	f := &fixture{driver: d, dsn: d.New(t), time: time.Date(2026, 3, 29, 0, 30, 0, 0, time.UTC)}
	f.Registrar = f.open(t)
	return f
}

// open opens the registry once more, as another process would.
func (f *fixture) open(t *testing.T) *keys.Registrar {
	t.Helper()
	registry, err := f.driver.Open(t.Context(), f.dsn, apikey.ModeCreate)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { registry.Close() })
	return &keys.Registrar{
		Registry: registry, Format: apikey.DefaultFormat, Actor: "ada@example", Now: f.now, AddPepper: true,
		Peppers: func(_ context.Context, id string) (apikey.Pepper, error) {
			return apikey.Pepper{ID: id, Secret: []byte(strings.Repeat(id, 32))}, nil
		},
	}
}

func (f *fixture) now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.time
}

func (f *fixture) pass(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.time = f.time.Add(d)
}

var draft = apikey.Record{Owner: "billing", Environment: "live", Scopes: []string{"orders:read", "invoices:*"}}

// key makes one key and returns its text and id.
func (f *fixture) key(t *testing.T, like apikey.Record) (text, id string) {
	t.Helper()
	minted, records, err := f.Create(t.Context(), like, 1)
	if err != nil {
		t.Fatal(err)
	}
	return minted[0].Key.Reveal(), records[0].ID
}

func (f *fixture) update(t *testing.T, id string, change func(*apikey.Record)) {
	t.Helper()
	if _, err := f.Update(t.Context(), id, change); err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) record(t *testing.T, id string) apikey.Record {
	t.Helper()
	r, err := f.Registry.Key(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// refused fails unless a key is refused for a reason; "" is for accepted.
func (f *fixture) refused(t *testing.T, text string, want apikey.Reason, need apikey.Need) {
	t.Helper()
	_, err := f.Verify(t.Context(), text, need)
	var refused *apikey.RefusedError
	if want == "" && err == nil || errors.As(err, &refused) && refused.Reason == want {
		return
	}
	t.Errorf("verifying gives %v, not %q", err, want)
}

// audited fails unless the log is whole; it returns its head.
func (f *fixture) audited(t *testing.T) apikey.Head {
	t.Helper()
	head, err := f.audit(t, nil)
	if err != nil {
		t.Error(err)
	}
	return head
}

func (f *fixture) audit(t *testing.T, since *apikey.Head) (apikey.Head, error) {
	t.Helper()
	auditor := apikey.Auditor{Since: since}
	end, err := f.Registry.Log(t.Context(), 0, auditor.Check)
	if err != nil {
		return apikey.Head{}, err
	}
	return auditor.Finish(end)
}

func testCreateAndVerify(t *testing.T, f *fixture) {
	text, id := f.key(t, draft)
	r, err := f.Verify(t.Context(), text, apikey.Need{Environment: "live", Scopes: []string{"orders:read", "invoices:write"}})
	if err != nil || r.ID != id || r.Owner != "billing" {
		t.Fatalf("%+v, %v", r, err)
	}
	other, _ := f.key(t, draft)
	swapped := text[:len("fob_live_")+12] + other[len("fob_live_")+12:]
	f.refused(t, text[:len(text)-1]+"~", apikey.Unknown, apikey.Need{})
	f.refused(t, swapped, apikey.Mistyped, apikey.Need{})
	f.refused(t, text, apikey.OtherEnvironment, apikey.Need{Environment: "test"})
	f.refused(t, text, apikey.OutOfScope, apikey.Need{Scopes: []string{"orders:read", "orders:write"}})
	stranger, err := apikey.Mint("fob", "live")
	if err != nil {
		t.Fatal(err)
	}
	f.refused(t, stranger.Key.Reveal(), apikey.Unknown, apikey.Need{})
	f.refused(t, "short", apikey.Malformed, apikey.Need{})
	f.audited(t)
}

func testFields(t *testing.T, f *fixture) {
	want := apikey.Record{
		Owner: "Größe & Söhne", Environment: "test", Scopes: []string{"a:b", "*:*"}, Rate: "100/s", Note: "for 'them'; -- \"all\"",
		Metadata: map[string]string{"team": "blue", "ticket": "X-1"}, ExpiresAt: f.now().Add(time.Hour).UTC(),
	}
	_, id := f.key(t, want)
	got := f.record(t, id)
	want.ID, want.Digest, want.CreatedAt = got.ID, got.Digest, f.now()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func (f *fixture) ids(t *testing.T, filter apikey.Filter) []string {
	t.Helper()
	var ids []string
	for r, err := range f.Registry.Keys(t.Context(), filter) {
		if err != nil {
			t.Fatal(err)
		}
		if filter.Match(&r, f.now()) {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

func testFilter(t *testing.T, f *fixture) {
	_, a := f.key(t, draft)
	_, b := f.key(t, apikey.Record{Owner: "shop", Environment: "live", ExpiresAt: f.now().Add(24 * time.Hour)})
	_, c := f.key(t, apikey.Record{Owner: "shop", Environment: "test", Disabled: true})
	for _, test := range []struct {
		name   string
		filter apikey.Filter
		want   []string
	}{
		{"all", apikey.Filter{}, []string{a, b, c}},
		{"owner", apikey.Filter{Owner: "shop"}, []string{b, c}},
		{"owner and environment", apikey.Filter{Owner: "shop", Environment: "test"}, []string{c}},
		{"scope", apikey.Filter{Scope: "invoices:*"}, []string{a}},
		{"state", apikey.Filter{States: []apikey.State{apikey.Disabled}}, []string{c}},
		{"expiring", apikey.Filter{EndsBefore: f.now().Add(48 * time.Hour)}, []string{b}},
		{"not expiring yet", apikey.Filter{EndsBefore: f.now().Add(time.Hour)}, nil},
		{"unused", apikey.Filter{UnusedSince: f.now().Add(time.Hour)}, []string{a, b, c}},
		{"too young to be unused", apikey.Filter{UnusedSince: f.now()}, nil},
		{"ids", apikey.Filter{IDs: []string{a, c}}, []string{a, c}},
		{"one id", apikey.Filter{IDs: []string{b}}, []string{b}},
	} {
		got := f.ids(t, test.filter)
		slices.Sort(test.want)
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, not %v", test.name, got, test.want)
		}
	}
}

func testUpdate(t *testing.T, f *fixture) {
	text, id := f.key(t, draft)
	f.update(t, id, func(r *apikey.Record) { r.Disabled, r.Note = true, "paused" })
	f.refused(t, text, apikey.IsDisabled, apikey.Need{})
	f.update(t, id, func(r *apikey.Record) { r.Disabled = false })
	f.refused(t, text, "", apikey.Need{})
	if _, err := f.Update(t.Context(), id, func(r *apikey.Record) { r.Owner = "" }); err == nil {
		t.Error("a key without an owner")
	}
	before := f.audited(t)
	if _, err := f.Update(t.Context(), id, func(*apikey.Record) {}); err != nil || f.audited(t) != before {
		t.Error("a change of nothing was written down", err)
	}
	if _, err := f.Update(t.Context(), "1AAAAAAAAAAA", func(*apikey.Record) {}); !errors.Is(err, apikey.ErrNotFound) {
		t.Error(err)
	}
}

func testRevoke(t *testing.T, f *fixture) {
	text, id := f.key(t, draft)
	_, other := f.key(t, draft)
	if _, err := f.Revoke(t.Context(), []string{id, "1AAAAAAAAAAA"}, ""); !errors.Is(err, apikey.ErrNotFound) {
		t.Error(err)
	}
	f.refused(t, text, "", apikey.Need{}) // all or none
	revoked, err := f.Revoke(t.Context(), []string{id, other}, "left the company")
	if err != nil || revoked != 2 {
		t.Fatal(revoked, err)
	}
	f.refused(t, text, apikey.IsRevoked, apikey.Need{})
	if revoked, err := f.Revoke(t.Context(), []string{id}, ""); err != nil || revoked != 0 {
		t.Error("revoked twice", revoked, err)
	}
	f.rotate(t, id, keys.RotateOptions{}, keys.ErrNotRotatable)
	f.audited(t)
}

// One transaction revokes many keys. Settle completes their records, also after the process
// was killed; until then, every way to read a key shows it as revoked.
func testRevokeMany(t *testing.T, f *fixture) {
	const count = 2*keys.BatchSize + 7
	var ids, texts []string
	for len(ids) < count {
		minted, records, err := f.Create(t.Context(), draft, min(keys.BatchSize, count-len(ids)))
		if err != nil {
			t.Fatal(err)
		}
		for i := range records {
			ids, texts = append(ids, records[i].ID), append(texts, minted[i].Key.Reveal())
		}
	}
	good, goodID := f.key(t, draft)
	if n, err := f.Revoke(t.Context(), ids[:1], "first"); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	_, seen, err := f.Registry.Changed(t.Context(), 1<<62, 1)
	if err != nil {
		t.Fatal(err)
	}
	began := f.now()
	if n, err := f.Revoke(t.Context(), ids, "gone"); n != count-1 || err != nil {
		t.Fatal(n, err)
	}
	if changed, _, err := f.Registry.Changed(t.Context(), seen, 9); !slices.Equal(changed, []string{apikey.AllKeys}) || err != nil {
		t.Error("not one change:", changed, err)
	}
	f.pass(time.Hour)
	other := f.open(t)
	for _, text := range []string{texts[0], texts[1], texts[count-1]} {
		f.refused(t, text, apikey.IsRevoked, apikey.Need{})
	}
	if n, err := other.Revoke(t.Context(), ids[1:], ""); n != 0 || err != nil {
		t.Error("revoked twice:", n, err)
	}
	if _, err := other.Update(t.Context(), ids[2], func(r *apikey.Record) { r.Note = "x" }); !errors.Is(err, keys.ErrRevoked) {
		t.Error("a revoked key was changed:", err)
	}
	f.audited(t)
	for round, want := range []int{keys.BatchSize, keys.BatchSize, 6, 0} {
		if n, err := other.Settle(t.Context()); n != want || err != nil {
			t.Fatal(round, n, err)
		}
		f.audited(t)
		for r, err := range other.Registry.Keys(t.Context(), apikey.Filter{}) {
			if err != nil || r.ID != goodID && !r.RevokedAt.Equal(began) || r.ID == goodID && !r.RevokedAt.IsZero() {
				t.Fatal(round, r, err)
			}
		}
	}
	if _, err := f.Verify(t.Context(), good, apikey.Need{}); err != nil {
		t.Error(err)
	}
	details := make(map[string]int)
	if _, err := f.Registry.Log(t.Context(), 0, func(l apikey.Logged) error {
		if l.Action != apikey.ActionCreate {
			details[l.Action+" "+l.Detail]++
		}
		return nil
	}); err != nil || details["revoked gone"] != count-1 || details["revoke first"] != 1 || details[fmt.Sprintf("revoke-all %d: gone", count-1)] != 1 {
		t.Error(details, err)
	}
}

func testRevokedNeverRevives(t *testing.T, f *fixture) {
	text, id := f.key(t, draft)
	rotated := f.rotate(t, id, keys.RotateOptions{Overlap: time.Hour}, nil)
	f.pass(time.Hour)
	f.refused(t, text, apikey.IsRevoked, apikey.Need{})
	f.update(t, rotated.New.ID, func(r *apikey.Record) { r.Note = "any change" })
	f.pass(-24 * time.Hour) // a clock that was wrong
	f.refused(t, text, apikey.IsRevoked, apikey.Need{})
	if _, err := f.Update(t.Context(), id, func(r *apikey.Record) { r.Disabled = true }); !errors.Is(err, keys.ErrRevoked) {
		t.Error(err)
	}
	f.rotate(t, id, keys.RotateOptions{}, keys.ErrRotated)
	f.audited(t)
}

// The clock of the fixture stands at the night in which summer time begins: expiry
// is by UTC, and an hour is an hour.
func testExpiry(t *testing.T, f *fixture) {
	like := draft
	like.ExpiresAt = f.now().Add(time.Hour)
	text, _ := f.key(t, like)
	f.pass(time.Hour - time.Millisecond)
	f.refused(t, text, "", apikey.Need{})
	f.pass(time.Millisecond)
	f.refused(t, text, apikey.IsExpired, apikey.Need{})
	f.pass(24 * time.Hour)
	f.refused(t, text, apikey.IsExpired, apikey.Need{})
}

func testImport(t *testing.T, f *fixture) {
	foreign := "sk_" + strings.Repeat("A1b2", 10)
	var records []apikey.Record
	for _, text := range []string{foreign, foreign} {
		r, err := f.Importer().Complete(t.Context(), text, apikey.Record{Owner: "old", Environment: "live"})
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}
	hashed, err := f.Importer().Complete(t.Context(), "", apikey.Record{Owner: "old", Environment: "live", Digest: apikey.DigestOf(foreign + "2")})
	if err != nil {
		t.Fatal(err)
	}
	added, err := f.Import(t.Context(), append(records, hashed))
	if err != nil || added != 2 {
		t.Errorf("%d added, %v", added, err)
	}
	if added, err := f.Import(t.Context(), records); err != nil || added != 0 {
		t.Errorf("%d added again, %v", added, err)
	}
	f.refused(t, foreign, "", apikey.Need{Environment: "live"})
	f.refused(t, foreign+"2", "", apikey.Need{})
	f.refused(t, foreign+"3", apikey.Unknown, apikey.Need{})
	f.refused(t, foreign, apikey.OtherEnvironment, apikey.Need{Environment: "test"})
	foreignID := apikey.Record{ID: hashed.ID, Owner: "old", Environment: "live", Digest: apikey.DigestOf(foreign + "4")}
	if _, err := f.Importer().Complete(t.Context(), "", foreignID); err == nil {
		t.Error("a hash under the id of another key")
	}
	clash := records[0]
	clash.Digest[0]++
	if _, err := f.Import(t.Context(), []apikey.Record{hashed, clash}); err == nil {
		t.Error("another digest under the same id")
	}
	f.audited(t)
}

func testManyChanges(t *testing.T, f *fixture) {
	const processes, each = 8, 5
	var wg sync.WaitGroup
	for range processes {
		other := f.open(t)
		wg.Go(func() {
			for range each {
				if _, _, err := other.Create(t.Context(), draft, 1); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if head := f.audited(t); head.Seq != processes*each {
		t.Errorf("%d entries", head.Seq)
	}
}

func testFirstUse(t *testing.T, f *fixture) {
	dsn := f.driver.New(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			registry, err := f.driver.Open(t.Context(), dsn, apikey.ModeCreate)
			if err != nil {
				t.Error(err)
				return
			}
			registry.Close()
		})
	}
	wg.Wait()
}

func testPepper(t *testing.T, f *fixture) {
	before, id := f.key(t, draft)
	if err := f.SetPepper(t.Context(), "p"); err != nil {
		t.Fatal(err)
	}
	after, _ := f.key(t, draft)
	f.refused(t, before, "", apikey.Need{})
	f.refused(t, after, "", apikey.Need{})
	f.AddPepper = false
	if err := f.Rehash(t.Context(), before, f.record(t, id)); err != nil || f.record(t, id).Pepper != "" {
		t.Error("a hash without a pepper was given one unasked:", err)
	}
	f.AddPepper = true
	if err := f.Rehash(t.Context(), before, f.record(t, id)); err != nil {
		t.Fatal(err)
	}
	if r := f.record(t, id); r.Pepper != "p" || r.Digest.Equal(apikey.DigestOf(before)) {
		t.Error("the digest was not made again")
	}
	f.refused(t, before, "", apikey.Need{})
	f.Peppers = func(_ context.Context, id string) (apikey.Pepper, error) {
		return apikey.Pepper{ID: id, Secret: []byte("another")}, nil
	}
	f.refused(t, before, apikey.Unknown, apikey.Need{})
	f.audited(t)
}

func testUse(t *testing.T, f *fixture) {
	_, id := f.key(t, draft)
	before := f.audited(t)
	for i := range 3 {
		uses := []apikey.Use{{ID: id, Count: 2, Last: f.now().Add(-time.Duration(i) * time.Hour)}, {ID: "1unknownAAAA", Count: 1, Last: f.now()}}
		if err := f.Registry.Use(t.Context(), uses); err != nil {
			t.Fatal(err)
		}
	}
	for r, err := range f.Registry.Keys(t.Context(), apikey.Filter{}) {
		if err != nil || r.Uses != 6 || !r.LastUsedAt.Equal(f.now()) {
			t.Error(r.Uses, r.LastUsedAt, err)
		}
	}
	if f.audited(t) != before {
		t.Error("use is no change")
	}
}

func testID(t *testing.T, f *fixture) {
	ids := map[string]bool{}
	id := func(f *fixture) string {
		id, err := f.open(t).Registry.ID(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ids[id] = true
		return id
	}
	if first := id(f); first != id(f) || first == id(newFixture(t, f.driver)) {
		t.Error("the ids of one registry differ, or those of two do not", ids)
	}
	// One that an older fob has made gets an id.
	f.key(t, draft)
	f.downgrade(t)
	if upgraded := id(f); len(ids) != 3 || upgraded != id(f) {
		t.Error(ids)
	}
	for _, planted := range []string{"", "../../registry.db", strings.Repeat("0", 40)} {
		f.forge(t, "UPDATE registry SET id = '"+planted+"'")
		if got, err := f.Registry.ID(t.Context()); !errors.Is(err, apikey.ErrDamaged) {
			t.Error(planted, got, err)
		}
	}
}

// downgrade makes the registry one of version 0.1.0.
func (f *fixture) downgrade(t *testing.T) {
	t.Helper()
	f.forge(t, "ALTER TABLE registry DROP COLUMN id", "DROP TABLE revocation", "ALTER TABLE log_head RENAME TO audit_head", "UPDATE registry SET schema_version = 2")
}

// A server of an older version does not see bulk revocations: once they are possible, it must
// not get news of the registry, and refuses every key.
func testOlderServer(t *testing.T, f *fixture) {
	f.downgrade(t)
	older := f.driver.DB(t, f.dsn)
	poll := func() error {
		return older.QueryRow("SELECT seq FROM audit_head UNION ALL SELECT seq FROM audit_log WHERE seq > 9").Scan(new(int64))
	}
	if err := poll(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.driver.Open(t.Context(), f.dsn, apikey.ModeInspect); !errors.Is(err, apikey.ErrOlderSchema) {
		t.Error(err)
	}
	if err := poll(); err != nil {
		t.Error("an inspection updated the registry:", err)
	}
	f.open(t)
	if err := poll(); err == nil {
		t.Error("it still sees the log")
	}
}

func testNewerSchema(t *testing.T, f *fixture) {
	f.forge(t, "UPDATE registry SET schema_version = 1000")
	for _, mode := range []apikey.Mode{apikey.ModeInspect, apikey.ModeUse, apikey.ModeCreate} {
		if _, err := f.driver.Open(t.Context(), f.dsn, mode); !errors.Is(err, apikey.ErrNewerSchema) {
			t.Error(err)
		}
	}
}

func testNoRegistry(t *testing.T, f *fixture) {
	for _, mode := range []apikey.Mode{apikey.ModeInspect, apikey.ModeUse} {
		if _, err := f.driver.Open(t.Context(), f.driver.New(t), mode); !errors.Is(err, apikey.ErrNoRegistry) {
			t.Error(err)
		}
	}
}

func testHostileNames(t *testing.T, f *fixture) {
	for _, owner := range []string{"", "nul\x00", "right\u202eleft", "tab\t", strings.Repeat("x", 1<<20), "\xff"} {
		like := draft
		like.Owner = owner
		if _, _, err := f.Create(t.Context(), like, 1); err == nil || len(err.Error()) > 400 {
			t.Errorf("owner %.20q: %.80v", owner, err)
		}
	}
	like := draft
	like.Owner = `'; DROP TABLE api_key; --`
	like.Metadata = map[string]string{`"}'`: `\`}
	_, id := f.key(t, like)
	if ids := f.ids(t, apikey.Filter{Owner: like.Owner}); !slices.Equal(ids, []string{id}) {
		t.Error(ids)
	}
	for _, id := range []string{"' OR 1=1 --", "\x00", strings.Repeat("x", 1<<20)} {
		if _, err := f.Registry.Key(t.Context(), id); err == nil {
			t.Errorf("a key with id %.20q", id)
		}
	}
	f.audited(t)
}

func testFailedChange(t *testing.T, f *fixture) {
	_, id := f.key(t, draft)
	before := f.audited(t)
	broken := errors.New("broken")
	err := f.Registry.Change(t.Context(), func(tx apikey.Tx) error {
		r, err := tx.Key(id)
		r.Disabled = true
		return errors.Join(err, tx.Put(apikey.Event{At: f.now(), Action: apikey.ActionUpdate}, r), broken)
	})
	if !errors.Is(err, broken) || f.record(t, id).Disabled || f.audited(t) != before {
		t.Error("a failed change left something behind", err)
	}
}
