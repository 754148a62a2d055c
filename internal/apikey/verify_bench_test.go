package apikey

import (
	"testing"
	"time"
)

// atHand is a minted key, its record and what it is asked for.
func atHand(t testing.TB) (string, *Record, Need) {
	t.Helper()
	m, err := Mint("acme", "live")
	if err != nil {
		t.Fatal(err)
	}
	r := &Record{
		ID: m.ID, Digest: m.Digest, Owner: "billing", Environment: "live", Scopes: []string{"orders:read", "orders:write"},
		CreatedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
	return m.Key.Reveal(), r, Need{Environment: "live", Scopes: []string{"orders:write"}}
}

func verify(text string, r *Record, need Need, now time.Time) error {
	p, err := Present(text, need)
	if err != nil {
		return err
	}
	return p.Check(r, nil, need, now)
}

func TestVerifyAllocatesNothing(t *testing.T) {
	text, r, need := atHand(t)
	now := r.CreatedAt.Add(time.Hour)
	other, _, _ := atHand(t)
	for _, c := range []struct {
		name string
		text string
		r    *Record
		want error
	}{
		{"a good key", text, r, nil},
		{"an unknown id", text, &Record{}, errUnknown},
		{"a wrong secret", other, r, errUnknown},
	} {
		var got error
		if n := testing.AllocsPerRun(100, func() { got = verify(c.text, c.r, need, now) }); n != 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
		if got != c.want { //nolint:errorlint // the very value: another one would be an allocation
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// BenchmarkVerify is a verification with the record at hand.
func BenchmarkVerify(b *testing.B) {
	text, r, need := atHand(b)
	now := r.CreatedAt.Add(time.Hour)
	b.ReportAllocs()
	for b.Loop() {
		if err := verify(text, r, need, now); err != nil {
			b.Fatal(err)
		}
	}
}
