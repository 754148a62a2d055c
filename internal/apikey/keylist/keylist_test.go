package keylist

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/apikey"
)

const hash = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"

// read reads a list to its end.
func read(text string) (lines []Line, numbers []int, err error) {
	list, err := NewReader(strings.NewReader(text), Options{})
	for err == nil {
		var l Line
		var at int
		if l, at, err = list.Read(); err == nil {
			lines, numbers = append(lines, l), append(numbers, at)
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return lines, numbers, err
}

func TestReadCSV(t *testing.T) {
	lines, numbers, err := read("\ufeffHash, owner,scopes,expires_at,disabled\n" + hash + ",\"Größe, Söhne\",a:b  c:d,2027-01-31,true\n\n" + hash + ",x,,,\n")
	if err != nil || len(lines) != 2 || numbers[1] != 4 {
		t.Fatal(lines, numbers, err)
	}
	l := lines[0]
	if l.Owner != "Größe, Söhne" || len(l.Scopes) != 2 || !l.Disabled || !l.ExpiresAt.Equal(time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("%+v", l)
	}
}

func TestReadJSON(t *testing.T) {
	lines, numbers, err := read("\n{\"hash\":\"" + hash + "\",\"owner\":\"a\"}\r\n\n{\"key\":\"k\"}")
	if err != nil || len(lines) != 2 || lines[0].Owner != "a" || lines[1].Key != "k" || numbers[0] != 1 {
		t.Error(lines, numbers, err)
	}
}

func TestBadLinesAreNamedAndNotShown(t *testing.T) {
	const canary = "sk_live_canary0123456789"
	for name, text := range map[string]string{
		"unknown column":     "key,colour\n" + canary + ",red\n",
		"no key":             "owner\nx\n",
		"no head":            canary + "\n",
		"too many cells":     "key\n" + canary + ",x\n",
		"a quote":            "key\n\"" + canary + "\n",
		"a date":             "key,expires_at\n" + canary + ",soon\n",
		"a flag":             "key,disabled\n" + canary + ",maybe\n",
		"not JSON":           "{\"key\":\"" + canary + "\"\n",
		"unknown field":      "{\"key\":\"" + canary + "\",\"x\":1}\n",
		"wrong type":         "{\"key\":[\"" + canary + "\"]}\n",
		"more behind":        "{\"key\":\"" + canary + "\"} {}\n",
		"a line too long":    "{\"key\":\"" + canary + strings.Repeat("x", maxLine) + "\"}\n",
		"a key as a name":    "{\"" + canary + "\":{\"owner\":\"x\"}}\n",
		"a key for a time":   "hash,created_at\n" + hash + "," + canary + "\n",
		"a key among others": "hash,created_at\n" + hash + ",\"x " + canary + " y\"\n",
		"a cell too long":    "key,note\n" + canary + "," + strings.Repeat("x", 2*maxLine) + "\n",
	} {
		_, _, err := read(text)
		var line *LineError
		if !errors.As(err, &line) || line.Line < 1 || strings.Contains(err.Error(), canary) || len(err.Error()) > 300 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What a line says where something else should stand is checked later, and may be a key.
func TestAKeyInAnyColumnIsNotShown(t *testing.T) {
	const canary = "sk_live_canary0123456789"
	for _, r := range []apikey.Record{
		{Owner: "x", Environment: canary}, {Owner: "x", Environment: "live", Scopes: []string{canary}},
		{Owner: "x", Environment: "live", Rate: canary}, {Owner: "x", Environment: "live", Metadata: map[string]string{canary: "\n"}},
	} {
		err := &LineError{1, r.CheckDraft()}
		if err.Err == nil || strings.Contains(err.Error(), canary) {
			t.Error(err)
		}
	}
}

func TestRead_NamesTheFieldOfAWrongType(t *testing.T) {
	if _, _, err := read(`{"owner":1}`); err == nil || err.Error() != `line 1: "owner" is not of type string` {
		t.Error(err)
	}
}

// A time that registries write as never must not make a key that was over good again.
func TestG58NoTimeBecomesNever(t *testing.T) {
	for _, text := range []string{
		"hash,revoked_at\n" + hash + ",1970-01-01\n", "hash,expires_at\n" + hash + ",1969-12-31T23:59:59.9999Z\n",
		"hash,expires_at\n" + hash + ",1970-01-01T01:00:00+01:00\n", "{\"hash\":\"" + hash + "\",\"retires_at\":\"1970-01-01T00:00:00.0009Z\"}\n",
	} {
		lines, _, err := read(text)
		if err == nil {
			err = lines[0].Finish()
		}
		if err == nil {
			t.Errorf("%q was understood", text)
		}
	}
}

// A column that says that a key is over is metadata only if the user says so.
func TestG58NoEndBecomesMetadata(t *testing.T) {
	for _, name := range []string{"Revoked", "revocation_date", "expiry", "expires", "is_active", "enabled", "deleted_at", "status"} {
		text := "hash,region," + name + "\n" + hash + ",eu,true\n"
		if _, err := readWith(Options{ExtraMetadata: true}, text); err == nil || !strings.Contains(err.Error(), "column 3 has an unknown name") {
			t.Errorf("%s: %v", name, err)
		}
		fields := map[string]string{strings.ToLower(name): "metadata.x"}
		if l, err := readWith(Options{Fields: fields, ExtraMetadata: true}, text); err != nil || l.Metadata["x"] != "true" {
			t.Errorf("%s, mapped: %v, %v", name, l.Metadata, err)
		}
	}
}

func TestH64NoKeyIsMetadata(t *testing.T) {
	const key = "sk_canary"
	for _, text := range []string{"hash,api_key\n" + apikey.DigestOf(key).String() + "," + key + "\n", "key,again\n" + key + "," + key + "\n"} {
		l, err := readWith(Options{ExtraMetadata: true}, text)
		if err == nil {
			err = l.Finish()
		}
		if err == nil || strings.Contains(err.Error(), key) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestRecordAccepts(t *testing.T) {
	if err := (&Line{Hash: hash, Record: apikey.Record{Metadata: map[string]string{"x": ""}}}).Finish(); err != nil {
		t.Error(err)
	}
}

func TestRecordRefuses(t *testing.T) {
	for _, l := range []Line{{}, {Key: "k", Hash: hash}, {Key: "k", Record: apikey.Record{ID: "1AAAAAAAAAAA"}}, {Hash: "abc"}} {
		if err := l.Finish(); err == nil {
			t.Errorf("%+v", l)
		}
	}
}

// What is written is read again as it was, and holds no key.
func TestWriteAndRead(t *testing.T) {
	m, err := apikey.Mint("acme", "live")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
	want := apikey.Record{
		ID: m.ID, Digest: m.Digest, Pepper: "p", Owner: "<a&b>", Environment: "live", Scopes: []string{"a:b"}, Rate: "1/s", Note: "\"",
		Metadata: map[string]string{"x": "y"}, CreatedAt: at, ExpiresAt: at, Disabled: true, RetiresAt: at, RevokedAt: at, Predecessor: "1AAAAAAAAAAA",
	}
	var b bytes.Buffer
	if err := Write(&b, want); err != nil {
		t.Fatal(err)
	}
	if apikey.LooksLikeKey(b.String()) {
		t.Error(b.String())
	}
	lines, _, err := read(b.String())
	if err != nil || len(lines) != 1 {
		t.Fatal(err)
	}
	if err := lines[0].Finish(); err != nil {
		t.Fatal(err)
	}
	got := lines[0].Record
	if got.Sum() != want.Sum() {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func readWith(opts Options, text string) (Line, error) {
	list, err := NewReader(strings.NewReader(text), opts)
	if err != nil {
		return Line{}, err
	}
	l, _, err := list.Read()
	return l, err
}

func TestReadCSV_Delimiters(t *testing.T) {
	for _, text := range []string{
		"hash;owner;scopes;note\n" + hash + ";shop;a:b c:d;1,5\n",
		"hash\towner\tscopes\tnote\r\n" + hash + "\tshop\ta:b c:d\t\"1,5\"\r\n",
		"hash,owner,scopes,note\n" + hash + ",shop,a:b c:d,\"1,5\"\n",
		"hash;owner;scopes;\"note\"\n" + hash + ";shop;a:b c:d;1,5", // no line break at the end
	} {
		if l, err := readWith(Options{}, text); err != nil || l.Hash != hash || l.Owner != "shop" || len(l.Scopes) != 2 || l.Note != "1,5" {
			t.Errorf("%q: %+v %v", text, l, err)
		}
	}
	for text, want := range map[string]string{
		"hash|owner\n" + hash + "|shop\n":       "separated by commas, semicolons or tabs",
		"hash:owner\n" + hash + ":shop\n":       "separated by commas, semicolons or tabs",
		"hash,owner\n" + hash + ";shop\n":       "the first line separates its columns by commas",
		"hash;owner\n" + hash + "\tshop\n":      "the first line separates its columns by semicolons",
		"hash\towner\n" + hash + "\tshop\tx\n":  "the first line separates its columns by tabs",
		"hash,owner,Owner\n" + hash + ",a,b\n":  "the second one for its field",
		",hash\nx," + hash + "\n":               "column 1 has an unknown name",
		"hash,metadata.\n" + hash + ",x\n":      "column 2 has an unknown name",
		"hash,created_at\n" + hash + ",17e8\n":  "invalid time",
		"hash,created_at\n" + hash + ",1e400\n": "invalid time",
	} {
		if _, err := readWith(Options{}, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestReadCSV_Columns(t *testing.T) {
	opts := Options{Fields: map[string]string{"sha256": "hash", "customer": "owner", "plan": "metadata.tier", "junk": ""}}
	const head, row = "SHA256,Customer,plan,junk,metadata.Team\n", hash + ",shop,pro,x,blue\n"
	l, err := readWith(opts, head+row)
	if err != nil || l.Hash != hash || l.Owner != "shop" || len(l.Metadata) != 2 || l.Metadata["tier"] != "pro" || l.Metadata["Team"] != "blue" {
		t.Errorf("%+v %v", l, err)
	}
	for name, test := range map[string]struct {
		opts       Options
		text, want string
	}{
		"an unknown column":  {Options{}, "hash,Region\n" + hash + ",eu\n", "column 2 has an unknown name"},
		"a missing column":   {Options{Fields: map[string]string{"customer": "owner"}}, "hash\n" + hash + "\n", `no column "customer"`},
		"an unknown field":   {Options{Fields: map[string]string{"x": "colour"}}, "hash,x\n" + hash + ",red\n", "column 2 has an unknown name"},
		"no metadata's name": {Options{Fields: map[string]string{"x": "metadata."}}, "hash,x\n" + hash + ",red\n", "column 2 has an unknown name"},
		"a field twice":      {Options{Fields: map[string]string{"x": "owner"}}, "hash,x,owner\n" + hash + ",a,b\n", "the second one"},
		"metadata twice":     {Options{ExtraMetadata: true}, "hash,x,metadata.x\n" + hash + ",a,b\n", "the second one"},
		"the hash skipped":   {Options{Fields: map[string]string{"hash": ""}}, "hash\n" + hash + "\n", "no column 'key'"},
		"JSON":               {Options{ExtraMetadata: true}, "{}", "CSV only"},
	} {
		if _, err := readWith(test.opts, test.text); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	l, err = readWith(Options{ExtraMetadata: true}, "hash,Region,empty\n"+hash+",eu,\n")
	if err != nil || len(l.Metadata) != 1 || l.Metadata["Region"] != "eu" {
		t.Errorf("%+v %v", l, err)
	}
}

func TestCheckField(t *testing.T) {
	for field, known := range map[string]bool{"": true, "owner": true, "metadata.plan": true, "onwer": false, "metadata.": false, "Owner": false} {
		if err := CheckField(field); (err == nil) != known || err != nil && !strings.Contains(err.Error(), `"`+field+`"`) {
			t.Errorf("%q: %v", field, err)
		}
	}
}

func TestReadCSV_EpochTimes(t *testing.T) {
	want := time.Date(2027, 1, 31, 12, 0, 0, 0, time.UTC)
	for _, text := range []string{"1801396800", "1801396800000", "2027-01-31T12:00:00Z", " 1801396800 "} {
		if l, err := readWith(Options{}, "hash,expires_at\n"+hash+","+text+"\n"); err != nil || !l.ExpiresAt.Equal(want) {
			t.Errorf("%s: %s %v", text, l.ExpiresAt, err)
		}
	}
	for _, text := range []string{"0", "-1"} { // G58: not never
		if l, err := readWith(Options{}, "hash,expires_at\n"+hash+","+text+"\n"); err == nil && l.Finish() == nil {
			t.Errorf("%s: %s", text, l.ExpiresAt)
		}
	}
	if _, err := readWith(Options{}, "hash,expires_at\n"+hash+",9999999999999999\n"); err == nil {
		t.Error("a time in the year 318857 is accepted")
	}
}

func TestFinish_RefusesPasswordHashes(t *testing.T) {
	for text, kind := range map[string]string{
		"$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW": "$2b$",
		"$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA":                 "$argon2id$",
	} {
		err := &LineError{1, (&Line{Hash: text}).Finish()}
		if err.Err == nil || !strings.Contains(err.Error(), kind) || !strings.Contains(err.Error(), "SHA-256") || strings.Contains(err.Error(), text[len(text)-10:]) {
			t.Errorf("%v", err)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte("key,owner\nx,y\n"))
	f.Add([]byte("{\"hash\":\"" + hash + "\"}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		list, err := NewReader(bytes.NewReader(text), Options{ExtraMetadata: len(text)%2 == 0})
		for n := 0; err == nil; n++ {
			var l Line
			if l, _, err = list.Read(); err == nil {
				_ = l.Finish()
			}
			if n > len(text) {
				t.Fatal("more lines than characters")
			}
		}
	})
}
