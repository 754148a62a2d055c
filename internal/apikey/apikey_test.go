package apikey

import (
	"crypto/sha256"
	"errors"
	"strings"
	"testing"
)

// example is the key that the format's description shows.
const example = "acme_live_1OOivdDZfQCU_bt6gO89NcUzYEW1pIKnvsU7LGdgMmGxA18PCV4"

func TestParseExample(t *testing.T) {
	parts, err := Parse(example)
	if err != nil || parts != (Parts{"acme", "live", "1OOivdDZfQCU"}) {
		t.Errorf("%+v, %v", parts, err)
	}
}

func TestMint(t *testing.T) {
	seen := make(map[string]bool)
	counts := make(map[byte]int)
	for range 1000 {
		m, err := Mint("acme", "live")
		if err != nil {
			t.Fatal(err)
		}
		text := m.Key.Reveal()
		parts, err := Parse(text)
		if err != nil || parts != m.Parts || !strings.HasPrefix(text, "acme_live_1") || len(text) != len(example) {
			t.Fatalf("%q: %+v, %v", text, parts, err)
		}
		if m.Digest != sha256.Sum256([]byte(text)) {
			t.Error("the digest is not that of the text")
		}
		if seen[m.ID] {
			t.Error("an id twice")
		}
		seen[m.ID] = true
		for i := range secretLength {
			counts[text[len("acme_live_1OOivdDZfQCU_")+i]]++
		}
	}
	// 32,000 characters of 62: 516 of each, give or take 23.
	for i := range len(alphabet) {
		if n := counts[alphabet[i]]; n < 350 || n > 700 {
			t.Errorf("%q came %d times", alphabet[i], n)
		}
	}
	for _, wrong := range [][2]string{{"", "live"}, {"a", "live"}, {"9acme", "live"}, {"Acme", "live"}, {"acme", "l"}, {"acme", "li_ve"}, {"thirteenchars", "live"}} {
		if _, err := Mint(wrong[0], wrong[1]); err == nil {
			t.Errorf("minted for %q", wrong)
		}
	}
}

// Every slip of one character, and every swap of neighbours, is found.
func TestChecksumFindsSlips(t *testing.T) {
	for i := range len(example) {
		for _, c := range []byte("0Az_~\x00") {
			if changed := example[:i] + string(c) + example[i+1:]; changed != example {
				if _, err := Parse(changed); err == nil {
					t.Errorf("%q was read", changed)
				}
			}
		}
		if i > 0 && example[i] != example[i-1] {
			if _, err := Parse(example[:i-1] + example[i:i+1] + example[i-1:i] + example[i+1:]); err == nil {
				t.Errorf("swapped at %d", i)
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, test := range []struct {
		text string
		want error
	}{
		{"", ErrFormat},
		{example + "x", ErrFormat},
		{example[:len(example)-1], ErrFormat},
		{" " + example, ErrFormat},
		{example + "\n", ErrFormat},
		{strings.Repeat("a", 1<<20), ErrFormat},
		{strings.ToUpper(example), ErrFormat},
		{strings.Replace(example, "_1OO", "_0OO", 1), ErrFormat}, // an id of an imported key
		{strings.Replace(example, "_1OO", "_2OO", 1), ErrFormat}, // a version to come
		{strings.Replace(example, "live", "test", 1), ErrChecksum},
		{strings.Replace(example, "acme", "acne", 1), ErrChecksum},
	} {
		if _, err := Parse(test.text); !errors.Is(err, test.want) {
			t.Errorf("%.70q: %v", test.text, err)
		}
	}
}

func TestLooksLikeKey(t *testing.T) {
	for _, text := range []string{example, "API_KEY_" + example, "x" + example + "y", "curl -H 'Bearer " + example + "'", example[:len(example)-6]} {
		if !LooksLikeKey(text) {
			t.Errorf("%q does not look like a key", text)
		}
	}
	for _, text := range []string{"", "_", "__", "web server, Frankfurt", "1OOivdDZfQCU", "da39a3ee5e6b4b0d3255bfef95601890afd80709", "snake_case_name_of_something"} {
		if LooksLikeKey(text) {
			t.Errorf("%q looks like a key", text)
		}
	}
}

func TestImportedID(t *testing.T) {
	id := ImportedID(DigestOf("sk_an_old_key_of_another_system"))
	if CheckID(id) != nil || id[0] != versionImported || id != ImportedID(DigestOf("sk_an_old_key_of_another_system")) || id == ImportedID(DigestOf("another")) {
		t.Error(id)
	}
	full := ImportedID(Digest{255, 255, 255, 255, 255, 255, 255, 255})
	if id := ImportedID(Digest{}); id != "000000000000" || full == id || full[0] != versionImported {
		t.Error(id, full)
	}
}

func TestParseDigest(t *testing.T) {
	d := DigestOf("x")
	for _, text := range []string{d.String(), strings.ToUpper(d.String()), "LXEWQrcmsERiYE/t6BuGcI3tMwbnK7aAOv2Qg2koMYE=", "LXEWQrcmsERiYE_t6BuGcI3tMwbnK7aAOv2Qg2koMYE"} {
		if got, err := ParseDigest(text); err != nil || len(text) == 64 && got != d {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "abc", d.String() + "00", strings.Repeat("z", 64)} {
		if _, err := ParseDigest(text); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(example)
	f.Add("acme_live_")
	f.Add("___")
	f.Fuzz(func(t *testing.T, text string) {
		parts, err := Parse(text)
		if err == nil && !strings.HasPrefix(text, parts.Brand+"_"+parts.Environment+"_"+parts.ID+"_") {
			t.Errorf("%q became %+v", text, parts)
		}
		if err == nil && !LooksLikeKey(text) {
			t.Errorf("%q is a key and does not look like one", text)
		}
		_, _ = Present(text, Need{})
	})
}
