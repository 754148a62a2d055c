package sanitize

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// ErrUTF16 is UTF-16 that cannot be decoded.
var ErrUTF16 = errors.New("it is UTF-16 without a byte order mark, damaged, or longer than 256 MiB")

const maxUTF16 = 256 << 20

// NewReader returns a reader of a secret or list that programs on Windows may have written:
// it removes a byte order mark, and decodes UTF-16 with the line ends that PowerShell writes.
func NewReader(r io.Reader) io.Reader { return &reader{Reader: r} }

// Decode is NewReader for a text in memory.
func Decode(text []byte) ([]byte, error) { return io.ReadAll(NewReader(bytes.NewReader(text))) }

type reader struct {
	io.Reader
	begun bool
}

func (r *reader) Read(p []byte) (int, error) {
	if !r.begun {
		r.begun = true
		if err := r.begin(); err != nil {
			return 0, err
		}
	}
	return r.Reader.Read(p)
}

func (r *reader) begin() error {
	src := bufio.NewReader(r.Reader)
	r.Reader = src
	switch start, _ := src.Peek(2); {
	case len(start) < 2:
	case start[0] == 0xff && start[1] == 0xfe:
		return r.decode(binary.LittleEndian)
	case start[0] == 0xfe && start[1] == 0xff:
		return r.decode(binary.BigEndian)
	case start[0] == 0xef && start[1] == 0xbb:
		if start, _ = src.Peek(3); string(start) == "\ufeff" {
			_, _ = src.Discard(3)
		}
	case (start[0] == 0) != (start[1] == 0):
		if start, _ = src.Peek(4); len(start) == 4 && (start[2] == 0) == (start[0] == 0) && (start[3] == 0) == (start[1] == 0) {
			return ErrUTF16 // two ASCII characters
		}
	}
	return nil
}

func (r *reader) decode(order binary.ByteOrder) error {
	text, err := io.ReadAll(io.LimitReader(r.Reader, maxUTF16+1))
	if err != nil {
		return err
	}
	if len(text) > maxUTF16 || len(text)%2 != 0 {
		return ErrUTF16
	}
	units := make([]uint16, 0, len(text)/2)
	for unit := range slices.Chunk(text[2:], 2) { // after the mark
		units = append(units, order.Uint16(unit))
	}
	decoded := string(utf16.Decode(units))
	if strings.ContainsAny(decoded, "\x00"+string(utf8.RuneError)) {
		return ErrUTF16
	}
	r.Reader = strings.NewReader(strings.ReplaceAll(decoded, "\r\n", "\n"))
	return nil
}
