package registrytest

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keys"
	"github.com/fobcli/fob/internal/apikey/registry/sqlstore"
)

// fill imports keys of many owners, few of which expire, and returns their ids.
func (f *fixture) fill(t *testing.T, batches int) (ids []string) {
	t.Helper()
	for batch := range batches {
		records := make([]apikey.Record, keys.BatchSize)
		for i := range records {
			n := batch*len(records) + i
			digest := apikey.Digest(sha256.Sum256(fmt.Append(nil, n)))
			records[i] = apikey.Record{
				ID: apikey.ImportedID(digest), Digest: digest, Owner: fmt.Sprintf("owner%d", n%100), Environment: "live", CreatedAt: f.now(),
			}
			if n%100 == 0 {
				records[i].ExpiresAt = f.now().Add(time.Duration(n%7) * 24 * time.Hour)
			}
			ids = append(ids, records[i].ID)
		}
		if _, err := f.Import(t.Context(), records); err != nil {
			t.Fatal(err)
		}
	}
	return ids
}

// Lists are read lazily: a change to the last key shows even after the first was read, and a
// reader that stops early leaves nothing open.
func testKeysPageByPage(t *testing.T, f *fixture) {
	all := len(f.fill(t, 3))
	ids := f.ids(t, apikey.Filter{})
	last := ids[len(ids)-1]
	read := 0
	for r, err := range f.Registry.Keys(t.Context(), apikey.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if read++; read == 1 {
			f.update(t, last, func(r *apikey.Record) { r.Owner = "changed" })
		}
		if changed := r.Owner == "changed"; changed != (r.ID == last) {
			t.Errorf("key %d of %d has the owner %s", read, all, r.Owner)
		}
	}
	if read != all || len(slices.Compact(ids)) != all {
		t.Errorf("read %d of %d keys", read, all)
	}
	for _, filter := range []apikey.Filter{{}, {Sort: "expires"}, {EndsBefore: f.now().Add(30 * 24 * time.Hour)}} {
		for range 20 { // more than there are connections
			for _, err := range f.Registry.Keys(t.Context(), filter) {
				if err != nil {
					t.Fatal(err)
				}
				break
			}
		}
	}
	if ids := f.ids(t, apikey.Filter{IDs: []string{last, ids[0], last}}); len(ids) != 2 || ids[1] != last {
		t.Error(ids)
	}
}

func testSort(t *testing.T, f *fixture) {
	f.fill(t, 1)
	f.pass(time.Hour)
	_, later := f.key(t, apikey.Record{Owner: "a", Environment: "live", ExpiresAt: f.now().Add(1000 * time.Hour)})
	_, revoked := f.key(t, apikey.Record{Owner: "b", Environment: "live"})
	_, err := f.Revoke(t.Context(), []string{revoked}, "")
	if err == nil {
		err = f.Registry.Use(t.Context(), []apikey.Use{{ID: later, Count: 1, Last: f.now()}, {ID: revoked, Count: 1, Last: f.now().Add(time.Minute)}})
	}
	if err != nil {
		t.Fatal(err)
	}
	var records []apikey.Record
	for r, err := range f.Registry.Keys(t.Context(), apikey.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}
	soonest := func(r apikey.Record) int64 {
		if r.Ends().IsZero() {
			return 1 << 62
		}
		return r.Ends().UnixMilli()
	}
	for by, order := range map[string]func(r, s apikey.Record) int{
		"expires": func(r, s apikey.Record) int { return cmp.Compare(soonest(r), soonest(s)) },
		"used":    func(r, s apikey.Record) int { return s.LastUsedAt.Compare(r.LastUsedAt) },
		"owner":   func(r, s apikey.Record) int { return cmp.Compare(r.Owner, s.Owner) },
	} {
		var want []string
		for _, r := range slices.SortedStableFunc(slices.Values(records), order) {
			want = append(want, r.ID)
		}
		if got := f.ids(t, apikey.Filter{Sort: by}); !slices.Equal(got, want) {
			t.Errorf("by %s:\n%q, not\n%q", by, got, want)
		}
	}
}

// Each query uses an index, so that its cost does not depend on the number of other keys.
func testIndexes(t *testing.T, f *fixture) {
	ids := f.fill(t, 20)
	keysQuery := func(filter apikey.Filter) func() (string, []any) {
		return func() (string, []any) { return sqlstore.KeysQuery(filter, ids[0]) }
	}
	for index, query := range map[string]func() (string, []any){
		f.driver.KeysIndex: keysQuery(apikey.Filter{}),
		"api_key_by_owner": keysQuery(apikey.Filter{Owner: "owner7"}),
		"api_key_ends":     keysQuery(apikey.Filter{EndsAfter: f.now(), EndsBefore: f.now().Add(48 * time.Hour)}),
		"audit_log_key":    func() (string, []any) { return sqlstore.LogQuery(0, ids[:1]) },
	} {
		db := f.driver.DB(t, f.dsn)
		if f.driver.Analyze != "" {
			f.forge(t, f.driver.Analyze)
		}
		text, args := query()
		rows, err := db.QueryContext(t.Context(), f.driver.Explain+text, args...)
		if err != nil {
			t.Fatal(err)
		}
		columns, _ := rows.Columns()
		var plan strings.Builder
		for rows.Next() {
			cells := make([]any, len(columns))
			for i := range cells {
				cells[i] = new(string)
			}
			if err := rows.Scan(cells...); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintln(&plan, *cells[len(cells)-1].(*string))
		}
		sorts := strings.Contains(plan.String(), "TEMP B-TREE") // PostgreSQL may sort a few rows
		if err := rows.Close(); err != nil || !strings.Contains(plan.String(), index) || sorts && index != "api_key_ends" {
			t.Errorf("%s is not used: %v\n%s", index, err, plan.String())
		}
	}
}
