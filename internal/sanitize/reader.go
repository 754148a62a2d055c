package sanitize

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"unicode/utf16"
	"unicode/utf8"
)

// ErrUTF16 is UTF-16 that cannot be decoded.
var ErrUTF16 = errors.New("it is UTF-16 without a byte order mark, or damaged")

// NewReader returns a reader of a secret or list that programs on Windows may have written:
// it removes a byte order mark, and decodes UTF-16 with the line ends that PowerShell writes.
func NewReader(r io.Reader) io.Reader {
	return &reader{src: bufio.NewReader(r)}
}

// Decode is NewReader for a text in memory.
func Decode(text []byte) ([]byte, error) { return io.ReadAll(NewReader(bytes.NewReader(text))) }

type reader struct {
	src   *bufio.Reader
	begun bool
	order binary.ByteOrder // of UTF-16; nil: the text needs no decoding
	rest  []byte
}

func (r *reader) Read(p []byte) (int, error) {
	if !r.begun {
		r.begun = true
		if err := r.begin(); err != nil {
			return 0, err
		}
	}
	if r.order == nil {
		return r.src.Read(p)
	}
	for len(r.rest) == 0 {
		if err := r.decode(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func (r *reader) begin() error {
	start, _ := r.src.Peek(2)
	switch {
	case len(start) < 2:
	case start[0] == 0xff && start[1] == 0xfe:
		r.order = binary.LittleEndian
	case start[0] == 0xfe && start[1] == 0xff:
		r.order = binary.BigEndian
	case start[0] == 0xef && start[1] == 0xbb:
		if start, _ = r.src.Peek(3); len(start) == 3 && start[2] == 0xbf {
			_, _ = r.src.Discard(3)
		}
	case (start[0] == 0) != (start[1] == 0):
		if start, _ = r.src.Peek(4); len(start) == 4 && (start[2] == 0) == (start[0] == 0) && (start[3] == 0) == (start[1] == 0) {
			return ErrUTF16 // two ASCII characters
		}
	}
	if r.order != nil {
		_, _ = r.src.Discard(2)
	}
	return nil
}

// decode reads one character.
func (r *reader) decode() error {
	char, err := r.unit()
	if err != nil {
		return err
	}
	if utf16.IsSurrogate(char) {
		low, err := r.unit()
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if char = utf16.DecodeRune(char, low); char == utf8.RuneError {
			return ErrUTF16
		}
	}
	if char == 0 {
		return ErrUTF16
	}
	if next, _ := r.src.Peek(2); char == '\r' && len(next) == 2 && r.order.Uint16(next) == '\n' {
		return nil
	}
	r.rest = utf8.AppendRune(r.rest[:0], char)
	return nil
}

func (r *reader) unit() (rune, error) {
	var raw [2]byte
	_, err := io.ReadFull(r.src, raw[:])
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = ErrUTF16
	}
	return rune(r.order.Uint16(raw[:])), err
}
