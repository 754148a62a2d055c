package leakscan

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"strings"
)

// form is an encoded form of a brand's prefix. Text is decoded only where it occurs.
type form struct {
	prefix string
	anchor []byte // the part of the encoded prefix that is searched for
	before []int  // how many bytes may be from the start of the key to the anchor
	decode decoder
}

// encodedForms returns the forms of a prefix in hexadecimal digits, in percent encoding
// and in base64, which has three, by how many bytes are before the key.
func encodedForms(prefix string) []form {
	digits := hex.EncodeToString([]byte(prefix))
	name := len(prefix) - 1
	forms := []form{
		{prefix, []byte(digits), []int{0}, decodeHex},
		{prefix, []byte(strings.ToUpper(digits)), []int{0}, decodeHex},
		{prefix, []byte("%5"), []int{name, 3 * name}, decodePercent}, // of only "_", or of all
	}
	for shift := range 3 {
		// Without the characters that have bits of the bytes before and behind.
		text := base64.RawStdEncoding.EncodeToString([]byte("\x00\x00"[:shift] + prefix))
		first := (8*shift + 5) / 6
		anchor, before := []byte(text[first:8*(shift+len(prefix))/6]), first-8*shift/6
		for len(anchor) > 3 && isLower(anchor[0]) { // what is frequent in text is slow to search for
			anchor = anchor[1:]
			before++
		}
		forms = append(forms, form{prefix, anchor, []int{before}, decodeBase64(8 * shift % 6)})
	}
	return forms
}

func isLower(c byte) bool { return 'a' <= c && c <= 'z' }

// find appends the keys that are in this form.
func (f *form) find(text []byte, found []match) []match {
	for at := 0; ; at++ {
		next := bytes.Index(text[at:], f.anchor)
		if next < 0 {
			return found
		}
		at += next
		for _, before := range f.before {
			if before > at {
				continue
			}
			if m, ok := keyAt(text, at-before, f.prefix, f.decode); ok {
				found = append(found, m)
			}
		}
	}
}

// decoder writes the characters of a key into an empty buffer, as far as it has room and they
// are encoded text.
type decoder func(text, into []byte) []byte

func decodePlain(text, into []byte) []byte {
	return append(into, text[:min(len(text), cap(into))]...)
}

func decodeUTF16(text, into []byte) []byte {
	for i := 0; i < len(text) && len(into) < cap(into) && (i == 0 || text[i-1] == 0); i += 2 {
		into = append(into, text[i])
	}
	return into
}

func decodeHex(text, into []byte) []byte {
	n, _ := hex.Decode(into[:cap(into)], text[:2*min(len(text)/2, cap(into))]) // up to the first non-digit
	return into[:n]
}

func decodePercent(text, into []byte) []byte {
	for len(text) > 0 && len(into) < cap(into) {
		c, width := []byte{text[0]}, 1
		if text[0] == '%' && len(text) >= 3 {
			if _, err := hex.Decode(c, text[1:3]); err == nil {
				width = 3
			}
		}
		into = append(into, c...)
		text = text[width:]
	}
	return into
}

// decodeBase64 returns a decoder for a text that begins with bits of the byte before it.
// Lines may be wrapped.
func decodeBase64(skip int) decoder {
	return func(text, into []byte) []byte {
		bits, n := uint32(0), -skip
		for _, c := range text {
			if c == '\n' || c == '\r' || c == ' ' || c == '\t' {
				continue
			}
			value := strings.IndexByte(base64Alphabet, c)
			if value < 0 || len(into) == cap(into) {
				break
			}
			if value >= 64 { // of the URL alphabet
				value -= 2
			}
			bits, n = bits<<6|uint32(value), n+6
			if n >= 8 {
				n -= 8
				into = append(into, byte(bits>>n))
			}
		}
		return into
	}
}

const base64Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_"
