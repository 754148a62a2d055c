package sanitize

import (
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf16"
)

func encode(order binary.AppendByteOrder, text string) string {
	var out []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		out = order.AppendUint16(out, unit)
	}
	return string(out)
}

func TestNewReader_DecodesWhatPowerShellWrites(t *testing.T) {
	for name, test := range map[string]struct{ in, want string }{
		"empty":                 {"", ""},
		"one byte":              {"a", "a"},
		"UTF-8":                 {"sécret\r\n", "sécret\r\n"},
		"UTF-8 with a mark":     {"\ufeffsécret\n", "sécret\n"},
		"only a mark":           {"\ufeff", ""},
		"little-endian":         {encode(binary.LittleEndian, "\ufeffs€cret😀\r\nb\rc\r\n"), "s€cret😀\nb\rc\n"},
		"big-endian":            {encode(binary.BigEndian, "\ufeffs€cret"), "s€cret"},
		"only a mark, UTF-16":   {"\xff\xfe", ""},
		"arbitrary bytes":       {"\xef\xbb\xbe\x80", "\xef\xbb\xbe\x80"},
		"a NUL that is no half": {"a\x00bc", "a\x00bc"},
	} {
		for how, in := range map[string]io.Reader{"at once": strings.NewReader(test.in), "by byte": iotest.OneByteReader(strings.NewReader(test.in))} {
			if got, err := io.ReadAll(NewReader(in)); string(got) != test.want || err != nil {
				t.Errorf("%s, %s: %q, %v", name, how, got, err)
			}
		}
	}
	for name, in := range map[string]string{
		"little-endian without a mark": encode(binary.LittleEndian, "secret"),
		"big-endian without a mark":    encode(binary.BigEndian, "secret"),
		"half a character":             "\xff\xfea",
		"half a surrogate pair":        "\xff\xfe\x3d\xd8",
		"UTF-32":                       "\xff\xfe\x00\x00a\x00\x00\x00",
	} {
		if got, err := Decode([]byte(in)); !errors.Is(err, ErrUTF16) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}
