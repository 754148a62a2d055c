package mask

import (
	"bytes"
	"strings"
	"testing"
)

func masked(t *testing.T, secrets []string, pieces ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := NewWriter(&b, secrets)
	for _, piece := range pieces {
		if n, err := w.Write([]byte(piece)); err != nil || n != len(piece) {
			t.Fatal(n, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestSecretsAreMaskedHoweverTheyCome(t *testing.T) {
	secrets := []string{"hunter2", "", "hunter2-longer", "aaab"}
	for text, want := range map[string]string{
		"":                           "",
		"x hunter2 y":                "x *** y",
		"hunter2hunter2":             "******",
		"hunter":                     "hunter",
		"aaaaab aab":                 "aa*** aab",
		"hunter2-longer":             "***", // not the end of the longer one behind the shorter
		"hunter2-long":               "***-long",
		"line\nhunter2\nhunter2\r\n": "line\n***\n***\r\n",
	} {
		if got := masked(t, secrets, text); got != want {
			t.Errorf("%q: %q", text, got)
		}
		if got := masked(t, secrets, strings.Split(text, "")...); got != want {
			t.Errorf("%q by the byte: %q", text, got)
		}
	}
}

func FuzzPiecesMakeNoDifference(f *testing.F) {
	f.Add("ab", "abcd", "xabcabcdab")
	f.Add("aa", "aab", "aaaab")
	f.Fuzz(func(t *testing.T, one, other, text string) {
		secrets := []string{one, other}
		whole, pieces := masked(t, secrets, text), masked(t, secrets, strings.Split(text, "")...)
		if whole != pieces {
			t.Errorf("%q in %q: %q at once, %q in pieces", secrets, text, whole, pieces)
		}
	})
}

func FuzzWriter(f *testing.F) {
	f.Add("secret", "a secret b", 3)
	f.Add("aab", "aaab", 1)
	f.Fuzz(func(t *testing.T, secret, text string, at int) {
		if secret == "" || strings.Contains(placeholder, secret) || strings.ContainsAny(secret, placeholder) {
			return
		}
		at = min(max(at, 0), len(text))
		got := masked(t, []string{secret}, text[:at], text[at:])
		if strings.Contains(got, secret) && !strings.Contains(strings.ReplaceAll(text, secret, placeholder), secret) {
			t.Errorf("%q, %q: %q", secret, text, got)
		}
	})
}
