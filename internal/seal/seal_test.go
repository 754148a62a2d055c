package seal

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

var work = Context{Kind: "login", Profile: "work", Issuer: "https://sso.example.com", ClientID: "fob"}

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
	for n := range envelope {
		if _, err := key.Open(work, envelope[:n]); err == nil {
			t.Fatalf("an envelope cut to %d bytes opens", n)
		}
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
	if _, err := KeyFromBytes(make([]byte, 31)); err == nil {
		t.Error("a key of 31 bytes is accepted")
	}
	key := NewKey()
	again, err := KeyFromBytes(key.Bytes())
	if err != nil || again.ID() != key.ID() {
		t.Errorf("KeyFromBytes(Bytes()) is another key: %v", err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%s"} {
		if got := fmt.Sprintf(verb, key); got != "[redacted]" {
			t.Errorf("%s shows %s", verb, got)
		}
	}
}

func FuzzOpen(f *testing.F) {
	key, err := KeyFromBytes(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{})
	f.Add([]byte("fob1\x01"))
	f.Add(append([]byte("fob1\x01"), make([]byte, headerSize)...))
	f.Add(key.Seal(work, []byte("x"))[:headerSize+3])
	f.Fuzz(func(t *testing.T, envelope []byte) {
		if plain, err := key.Open(work, envelope); err == nil {
			t.Fatalf("bytes that nobody sealed open to %q", plain)
		}
	})
}
