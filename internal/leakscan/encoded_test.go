package leakscan

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf16"
)

func encodeUTF16(text string, low, high int) string {
	var b strings.Builder
	for _, unit := range utf16.Encode([]rune(text)) {
		pair := [2]byte{}
		pair[low], pair[high] = byte(unit), byte(unit>>8)
		b.Write(pair[:])
	}
	return b.String()
}

func percentEncode(text, format string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		fmt.Fprintf(&b, format, c)
	}
	return b.String()
}

func wrap(text string, width int) string {
	var lines []string
	for ; len(text) > width; text = text[width:] {
		lines = append(lines, text[:width])
	}
	return strings.Join(append(lines, text), "\r\n")
}

func TestScan_Encodings(t *testing.T) {
	for _, brand := range []string{"acme", "fob", "ab", "a1", "zzzzzzzzzzzz"} {
		k := key(t, brand)
		s := scanner(t, brand)
		for name, encode := range map[string]func(string) string{
			"UTF-16LE":               func(x string) string { return encodeUTF16("a: "+x+"\n", 0, 1) },
			"UTF-16BE":               func(x string) string { return encodeUTF16("a: "+x+"\n", 1, 0) },
			"UTF-16LE with a BOM":    func(x string) string { return encodeUTF16("\ufeff"+x, 0, 1) },
			"UTF-16BE with a BOM":    func(x string) string { return encodeUTF16("\ufeff"+x, 1, 0) },
			"UTF-16BE alone":         func(x string) string { return encodeUTF16(x, 1, 0) },
			"UTF-16 in an odd place": func(x string) string { return "x" + encodeUTF16(x, 0, 1) },
			"a Kubernetes Secret":    func(x string) string { return "data:\n  key: " + base64.StdEncoding.EncodeToString([]byte(x)) + "\n" },
			"Basic": func(x string) string {
				return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("user:"+x))
			},
			"Basic, password only": func(x string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(":"+x)) },
			"base64 of a file": func(x string) string {
				return base64.StdEncoding.EncodeToString([]byte("\xff\xfe\n??>>" + x + "\n??>>"))
			},
			"base64 for URLs": func(x string) string {
				return base64.RawURLEncoding.EncodeToString([]byte("{\"\xff\xfe??>" + x + "??>\"}"))
			},
			"base64 in lines": func(x string) string {
				return "-----\r\n" + wrap(base64.StdEncoding.EncodeToString([]byte("xyz"+x+"\n")), 40) + "\r\n-----\n"
			},
			"percent, underscores":       func(x string) string { return "?key=" + strings.ReplaceAll(x, "_", "%5F") + "&b=1" },
			"percent, lower underscores": func(x string) string { return "?key%3d" + strings.ReplaceAll(x, "_", "%5f") },
			"percent, all":               func(x string) string { return percentEncode("k="+x+"&", "%%%02X") },
			"percent, all in lower case": func(x string) string { return percentEncode(x, "%%%02x") },
			"hex":                        func(x string) string { return hex.EncodeToString([]byte("KEY=" + x + "\n")) },
			"hex in upper case":          func(x string) string { return strings.ToUpper(hex.EncodeToString([]byte(x))) },
		} {
			got := scanned(t, s, encode(k))
			if len(got) != 1 || got[0].Key.Reveal() != k || got[0].Brand != brand {
				t.Errorf("%s, %s: %d found", brand, name, len(got))
			}
			if broken := scanned(t, s, encode(k[:len(k)-7]+"0000000")); len(broken) != 0 {
				t.Errorf("%s, %s: a wrong checksum is found", brand, name)
			}
		}
	}
}

// An encoded key is found once, in its place, wherever it is in a stream.
func TestScan_EncodedAcrossChunks(t *testing.T) {
	k := key(t, "acme")
	s := scanner(t, "acme")
	for name, encoded := range map[string]string{
		"UTF-16":  encodeUTF16(k, 0, 1),
		"base64":  base64.StdEncoding.EncodeToString([]byte(k)),
		"percent": percentEncode(k, "%%%02X"),
		"hex":     hex.EncodeToString([]byte(k)),
	} {
		for at := range 3 * maxEncoded {
			text := strings.Repeat(".", at) + "\n" + encoded + "\n" + strings.Repeat(".", 2*maxEncoded)
			var found []Finding
			if _, err := s.Scan(t.Context(), strings.NewReader(text), make([]byte, 2*maxEncoded), func(f Finding) { found = append(found, f) }); err != nil {
				t.Fatal(err)
			}
			if len(found) != 1 || found[0].Line != 2 || found[0].Column != 1 {
				t.Fatalf("%s at %d: %+v", name, at, found)
			}
		}
	}
}

// All alignments, whatever bytes are before and behind.
func TestScan_Base64Property(t *testing.T) {
	s := scanner(t, "acme")
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 3000 {
		k := key(t, "acme")
		before, behind := make([]byte, i%300), make([]byte, random.IntN(10))
		for _, b := range [][]byte{before, behind} {
			for j := range b {
				b[j] = byte(random.IntN(256))
			}
		}
		for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.RawURLEncoding} {
			text := encoding.EncodeToString([]byte(string(before) + k + string(behind)))
			if got := scanned(t, s, text); len(got) != 1 || got[0].Key.Reveal() != k {
				t.Fatalf("%d bytes before: %d found", i, len(got))
			}
		}
	}
}

func TestScan_CountsCharacters(t *testing.T) {
	k := key(t, "acme")
	s := scanner(t, "acme")
	for text, want := range map[string][2]int{
		"é " + k:                              {1, 3},
		"\n日本 " + k:                           {2, 4},
		encodeUTF16("a\nb: "+k, 0, 1):         {2, 4},
		encodeUTF16("a\nb: "+k, 1, 0):         {2, 4},
		"x\n" + hex.EncodeToString([]byte(k)): {2, 1},
	} {
		if got := scanned(t, s, text); len(got) != 1 || got[0].Line != want[0] || got[0].Column != want[1] {
			t.Errorf("%q: %+v", text[:10], got)
		}
	}
}
