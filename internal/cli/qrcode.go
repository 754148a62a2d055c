package cli

import (
	"strings"

	"rsc.io/qr"
)

// QRCode returns a QR code of a text, if the terminal has enough space and the characters
// for it.
func (s *IO) QRCode(text string) (picture Painted, fits bool) {
	columns, rows := SizeOf(s.Err)
	if !s.isUnicode() {
		return "", false
	}
	return drawQRCode(text, columns, rows)
}

func drawQRCode(text string, columns, rows int) (picture Painted, fits bool) {
	const margin = 2 // modules; scanners need a light margin
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		return "", false
	}
	size := code.Size + 2*margin
	if size > columns || size/2+1 > rows {
		return "", false
	}
	var b strings.Builder
	for y := 0; y < size; y += 2 {
		for x := range size {
			// Light modules are drawn, as dark terminals need; scanners read inverted codes
			// too.
			b.WriteString(map[[2]bool]string{
				{false, false}: "█", {false, true}: "▀", {true, false}: "▄", {true, true}: " ",
			}[[2]bool{code.Black(x-margin, y-margin), code.Black(x-margin, y+1-margin)}])
		}
		b.WriteByte('\n')
	}
	return Painted(b.String()), true
}

// isUnicode reports whether the terminal's characters are Unicode.
func (s *IO) isUnicode() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if locale := strings.ToUpper(s.Getenv(name)); locale != "" {
			return strings.Contains(locale, "UTF-8") || strings.Contains(locale, "UTF8")
		}
	}
	return false
}
