package seal

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"
)

var work = Context{Kind: "login", Profile: "work", Issuer: "https://sso.example.com", ClientID: "fob"}

// fixedKey is for envelopes that are the same in every run.
func fixedKey(t testing.TB) Key {
	t.Helper()
	key, err := KeyFromBytes(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// sealByHand is the envelope as its description has it, written a second time
// without a line of the package.
func sealByHand(t testing.TB, key []byte, c Context, nonce, plaintext []byte) []byte {
	t.Helper()
	derive := func(info string, size int) []byte {
		out, err := hkdf.Key(sha256.New, key, nil, info, size)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	var context []byte
	for _, field := range []string{c.Kind, c.Profile, c.Issuer, c.ClientID} {
		context = append(binary.BigEndian.AppendUint32(context, uint32(len(field))), field...)
	}
	contextHash := sha256.Sum256(context)
	header := bytes.Join([][]byte{[]byte("fob1"), {1}, derive("fob1 key id", 8), contextHash[:8], nonce}, nil)
	aead, err := chacha20poly1305.NewX(derive("fob1 seal "+c.Kind, 32))
	if err != nil {
		t.Fatal(err)
	}
	return aead.Seal(bytes.Clone(header), nonce, plaintext, append(bytes.Clone(header), context...))
}

func TestEnvelopeIsAsDescribed(t *testing.T) {
	key := NewKey()
	envelope := key.Seal(work, []byte("refresh token"))
	if want := sealByHand(t, key.Bytes(), work, envelope[nonceAt:headerSize], []byte("refresh token")); !bytes.Equal(envelope, want) {
		t.Errorf("the envelope is\n%x, by its description\n%x", envelope, want)
	}
}

// What this version wrote must open for ever: a change here needs a version 2.
func TestOldEnvelopeOpens(t *testing.T) {
	envelope, err := hex.DecodeString("666f623101e58967eda109514b71026e0e666a7aa57477656e74792d666f7572206279746573206e6f6e636521e0f8fa06042fcde3acfb8150b765a26425b3e619117d28219ed07e2f71")
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := fixedKey(t).Open(work, envelope); err != nil || string(plain) != "refresh token" {
		t.Errorf("Open() = %q, %v", plain, err)
	}
}

func TestSealOpen(t *testing.T) {
	key := NewKey()
	for _, size := range []int{0, 1, 500, 64 << 10} {
		plain := bytes.Repeat([]byte{'x'}, size)
		envelope := key.Seal(work, plain)
		if size > 8 && bytes.Contains(envelope, plain[:8]) {
			t.Errorf("%d bytes: the plaintext stands in the envelope", size)
		}
		opened, err := key.Open(work, envelope)
		if err != nil || !bytes.Equal(opened, plain) {
			t.Errorf("%d bytes: Open() = %d bytes, %v", size, len(opened), err)
		}
	}
	if bytes.Equal(key.Seal(work, nil), key.Seal(work, nil)) {
		t.Error("two envelopes of the same bytes are equal")
	}
}

func TestF47FlipEveryBit(t *testing.T) {
	key := NewKey()
	envelope := key.Seal(work, []byte("refresh token"))
	for i := range envelope {
		want := ErrTampered
		switch {
		case i < keyIDAt:
			want = ErrFormat
		case i < contextIDAt:
			want = ErrWrongKey
		case i < nonceAt:
			want = ErrWrongContext
		}
		for bit := range 8 {
			flipped := bytes.Clone(envelope)
			flipped[i] ^= 1 << bit
			if _, err := key.Open(work, flipped); !errors.Is(err, want) {
				t.Fatalf("byte %d, bit %d: %v, want %v", i, bit, err, want)
			}
		}
	}
}

func TestF47CutOrGrown(t *testing.T) {
	key := NewKey()
	envelope := key.Seal(work, []byte("refresh token"))
	for n := range envelope {
		want := ErrTampered
		if n < headerSize+chacha20poly1305.Overhead {
			want = ErrFormat
		}
		if _, err := key.Open(work, envelope[:n]); !errors.Is(err, want) {
			t.Fatalf("cut to %d bytes: %v, want %v", n, err, want)
		}
	}
	if _, err := key.Open(work, append(envelope, 0)); !errors.Is(err, ErrTampered) {
		t.Errorf("a byte was added: %v", err)
	}
}

// The hashes in the header are public: who copies those of the victim's record
// into another one must still not be believed.
func TestF48ForgedHeader(t *testing.T) {
	key := NewKey()
	own, foreign := key.Seal(work, []byte("x")), key.Seal(Context{Kind: work.Kind, Profile: "play"}, []byte("y"))
	copy(foreign[contextIDAt:nonceAt], own[contextIDAt:nonceAt])
	if _, err := key.Open(work, foreign); !errors.Is(err, ErrTampered) {
		t.Errorf("a copied context: %v", err)
	}
	stranger := NewKey().Seal(work, []byte("z"))
	copy(stranger[keyIDAt:contextIDAt], own[keyIDAt:contextIDAt])
	if _, err := key.Open(work, stranger); !errors.Is(err, ErrTampered) {
		t.Errorf("a copied key ID: %v", err)
	}
}

func TestF48SwappedRecords(t *testing.T) {
	key := NewKey()
	envelope := key.Seal(work, []byte("x"))
	for name, other := range map[string]Context{
		"kind":     {"secret", work.Profile, work.Issuer, work.ClientID},
		"profile":  {work.Kind, "play", work.Issuer, work.ClientID},
		"issuer":   {work.Kind, work.Profile, work.Issuer + "/", work.ClientID},
		"client":   {work.Kind, work.Profile, work.Issuer, "fob2"},
		"boundary": {work.Kind, work.Profile + "h", strings.TrimPrefix(work.Issuer, "h"), work.ClientID},
	} {
		if _, err := key.Open(other, envelope); !errors.Is(err, ErrWrongContext) {
			t.Errorf("F48 another %s: %v", name, err)
		}
	}
}

func TestF49WrongKeyIsNotTampering(t *testing.T) {
	envelope := NewKey().Seal(work, []byte("x"))
	if _, err := NewKey().Open(work, envelope); !errors.Is(err, ErrWrongKey) || errors.Is(err, ErrTampered) {
		t.Errorf("F49: %v", err)
	}
}

func TestKeys(t *testing.T) {
	for _, size := range []int{0, 31, 33} {
		if _, err := KeyFromBytes(make([]byte, size)); err == nil {
			t.Errorf("a key of %d bytes is accepted", size)
		}
	}
	key := NewKey()
	again, err := KeyFromBytes(key.Bytes())
	if err != nil || again.ID() != key.ID() {
		t.Errorf("KeyFromBytes(Bytes()) is another key: %v", err)
	}
	key.Bytes()[0] ^= 1
	if again.ID() != key.ID() {
		t.Error("a key can be changed through Bytes")
	}
	if NewKey().ID() == key.ID() {
		t.Error("two new keys are one")
	}
}

func TestKeyIsNotPrinted(t *testing.T) {
	key := fixedKey(t)
	held := struct{ key Key }{key} // fmt calls no method here
	for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%s", "%q", "%d"} {
		if got := fmt.Sprintf(verb, key); got != "[redacted]" {
			t.Errorf("%s shows %s", verb, got)
		}
		for _, form := range []string{"07070707", "7 7 7 7", "\x07\x07", `\a\a`, "0x7, 0x7"} {
			if got := fmt.Sprintf(verb, held); strings.Contains(got, form) {
				t.Errorf("%s shows a key in a field: %s", verb, got)
			}
		}
	}
}

// The zero key is known to everybody, so that nothing may be sealed under it.
func TestZeroKeyIsNoKey(t *testing.T) {
	for name, use := range map[string]func(){
		"Seal": func() { Key{}.Seal(work, nil) },
		"Open": func() { _, _ = Key{}.Open(work, NewKey().Seal(work, nil)) },
		"ID":   func() { Key{}.ID() },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s works without a key", name)
				}
			}()
			use()
		}()
	}
}

func FuzzOpen(f *testing.F) {
	key := fixedKey(f)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, envelope []byte) {
		before := bytes.Clone(envelope)
		plain, err := key.Open(work, envelope)
		if !bytes.Equal(envelope, before) {
			t.Fatal("Open changed what it was given")
		}
		switch {
		case err == nil:
			if !bytes.Equal(envelope, sealByHand(t, key.Bytes(), work, envelope[nonceAt:headerSize], plain)) {
				t.Fatalf("bytes that nobody sealed open to %q", plain)
			}
		case plain != nil:
			t.Fatalf("%q came with %v", plain, err)
		case !errors.Is(err, ErrFormat) && !errors.Is(err, ErrWrongKey) && !errors.Is(err, ErrWrongContext) && !errors.Is(err, ErrTampered):
			t.Fatalf("an error of another kind: %v", err)
		}
	})
}
