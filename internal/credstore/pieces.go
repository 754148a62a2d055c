package credstore

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/fobcli/fob/internal/seal"
)

// A record that fits into one item is stored as one. A larger one is a head of the same
// name, and a body that is sealed separately and split into pieces:
//
//	KIND/NAME        the head, with the manifest of the body
//	KIND/NAME/a/0 …  the body; the next version is under b, the one after that under a
//
// The pieces are written first, then the head that references them, then the old pieces are
// deleted: after a crash there is the old record or the new one, and maybe unreferenced
// pieces. A keyring cannot be searched for those, so DATA/pieces/KIND/NAME contains an
// upper bound of their numbers, written before them.

// The first byte of an opened item.
const (
	layoutInline = 1 // uvarint length, head, body
	layoutPieces = 2 // uvarint length, head, manifest
)

type manifest struct {
	generation byte // 'a' or 'b'
	count      uint16
	sum        [sha256.Size]byte // of the sealed body
}

const manifestSize = 1 + 2 + sha256.Size

// maxPieces bounds the pieces in a manifest: enough for MaxRecord in the smallest items.
const maxPieces = 128

func encodeInline(r Record) []byte {
	return append(encodeHead(layoutInline, r.Head), r.Body...)
}

func encodeHead(kind byte, head []byte) []byte {
	return append(binary.AppendUvarint([]byte{kind}, uint64(len(head))), head...)
}

func (m *manifest) appendTo(b []byte) []byte {
	return append(binary.BigEndian.AppendUint16(append(b, m.generation), m.count), m.sum[:]...)
}

// parseItem parses an opened item: a whole record, or a head and the manifest of its body.
func parseItem(plain []byte) (Record, *manifest, error) {
	damaged := fmt.Errorf("%w: it has an unknown layout", ErrCorrupt)
	if len(plain) == 0 {
		return Record{}, nil, damaged
	}
	size, n := binary.Uvarint(plain[1:])
	if n <= 0 || size > uint64(len(plain)-1-n) {
		return Record{}, nil, damaged
	}
	head, rest := plain[1+n:][:size], plain[1+n:][size:]
	switch plain[0] {
	case layoutInline:
		return Record{Head: head, Body: rest}, nil, nil
	case layoutPieces:
		if len(rest) != manifestSize {
			return Record{}, nil, damaged
		}
		m := &manifest{generation: rest[0], count: binary.BigEndian.Uint16(rest[1:]), sum: [sha256.Size]byte(rest[3:])}
		if m.generation != 'a' && m.generation != 'b' || m.count < 1 || m.count > maxPieces {
			return Record{}, nil, damaged
		}
		return Record{Head: head}, m, nil
	}
	return Record{}, nil, damaged
}

// readHead reads the item with the record's name, and the body if the item contains it.
func (s *Store) readHead(ctx context.Context, c seal.Context) (Record, *manifest, error) {
	sealed, err := s.items.get(ctx, itemName(c))
	if err != nil {
		return Record{}, nil, err
	}
	plain, err := s.open(ctx, c, sealed[0])
	if err != nil {
		return Record{}, nil, err
	}
	return parseItem(plain)
}

func (s *Store) readBody(ctx context.Context, c seal.Context, m *manifest) ([]byte, error) {
	pieces, err := s.items.get(ctx, pieceNames(c, m.generation, 0, int(m.count))...)
	if errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("%w: a piece of it is missing", ErrCorrupt)
	}
	if err != nil {
		return nil, err
	}
	var sealed []byte
	for _, piece := range pieces {
		sealed = append(sealed, piece...)
	}
	if sha256.Sum256(sealed) != m.sum {
		return nil, fmt.Errorf("%w: its pieces differ from those that were written", ErrCorrupt)
	}
	return s.open(ctx, bodyContext(c), sealed)
}

// bodyContext prevents a body from being opened as a record.
func bodyContext(c seal.Context) seal.Context {
	c.Kind += "/body"
	return c
}

func pieceNames(c seal.Context, generation byte, from, to int) []string {
	var list []string
	for i := from; i < to; i++ {
		list = append(list, itemName(c)+"/"+string(generation)+"/"+strconv.Itoa(i))
	}
	return list
}

func (s *Store) setInPieces(ctx context.Context, c seal.Context, key seal.Key, r Record, reach int) error {
	m := &manifest{generation: 'a'}
	switch _, live, err := s.readHead(ctx, c); {
	case live != nil && live.generation == 'a':
		m.generation = 'b'
	case isUnavailable(err):
		return err
	}
	sealed := key.Seal(bodyContext(c), r.Body)
	m.sum = sha256.Sum256(sealed)
	var pieces []item
	for limit := s.items.limit(); len(sealed) > 0; {
		n := min(limit, len(sealed))
		pieces = append(pieces, item{pieceNames(c, m.generation, len(pieces), len(pieces)+1)[0], sealed[:n]})
		sealed = sealed[n:]
	}
	m.count = uint16(len(pieces))
	head := key.Seal(c, m.appendTo(encodeHead(layoutPieces, r.Head)))
	if len(head) > s.items.limit() || len(pieces) > maxPieces {
		return fmt.Errorf("%w: its head has %d bytes", ErrTooLarge, len(head))
	}
	return s.replacePieces(ctx, c, head, pieces, m.generation, reach)
}

// isUnavailable distinguishes a backend that does not respond from a record that is missing
// or cannot be opened, and may thus be replaced.
func isUnavailable(err error) bool {
	replaceable := []error{ErrNotFound, ErrCorrupt, ErrNoKey, seal.ErrFormat, seal.ErrWrongKey, seal.ErrWrongContext, seal.ErrTampered}
	return err != nil && !slices.ContainsFunc(replaceable, func(e error) bool { return errors.Is(err, e) })
}

// replacePieces writes pieces of an unused generation, then the head, then deletes all
// other pieces.
func (s *Store) replacePieces(ctx context.Context, c seal.Context, head []byte, pieces []item, generation byte, reach int) error {
	before := reach
	if len(pieces) > reach {
		reach = len(pieces)
		if err := s.setPieceBound(c, reach); err != nil {
			return err
		}
	}
	if len(pieces) > 0 {
		if err := s.setVerified(ctx, pieces...); err != nil {
			return err
		}
	}
	if err := s.setVerified(ctx, item{itemName(c), head}); err != nil {
		return err
	}
	// The new record is complete. Old pieces that cannot be deleted are left to the next
	// write.
	others := append(pieceNames(c, generation, len(pieces), before), pieceNames(c, otherGeneration(generation), 0, before)...)
	if _, err := s.items.delete(ctx, others...); err != nil || reach == len(pieces) {
		return nil //nolint:nilerr // the bound still includes them, so that a later sweep deletes them
	}
	_ = s.setPieceBound(c, len(pieces))
	return nil
}

func otherGeneration(generation byte) byte {
	if generation == 'a' {
		return 'b'
	}
	return 'a'
}

// Sweep deletes unreferenced pieces left by a crash, and returns their number.
func (s *Store) Sweep(ctx context.Context, c seal.Context) (int, error) { return s.sweep(ctx, c, true) }

// sweep deletes all pieces of a record, with keepNamed except those that its head
// references.
func (s *Store) sweep(ctx context.Context, c seal.Context, keepNamed bool) (int, error) {
	reach, err := s.pieceBound(c)
	if err != nil || reach == 0 {
		return 0, err
	}
	named := &manifest{generation: 'a'}
	if keepNamed {
		_, m, err := s.readHead(ctx, c)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return 0, err
		}
		named = cmp.Or(m, named)
	}
	orphans := append(pieceNames(c, named.generation, int(named.count), reach), pieceNames(c, otherGeneration(named.generation), 0, reach)...)
	deleted, err := s.items.delete(ctx, orphans...)
	if err != nil {
		return deleted, err
	}
	return deleted, s.setPieceBound(c, int(named.count))
}

func (s *Store) pieceBoundPath(c seal.Context) string {
	return filepath.Join(s.dataDir, "pieces", c.Kind, c.Profile)
}

// pieceBound returns an upper bound for the numbers of pieces.
func (s *Store) pieceBound(c seal.Context) (int, error) {
	if s.items.limit() == 0 {
		return 0, nil
	}
	text, err := readFile(s.pieceBoundPath(c), maxSmall)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || n < 0 || n > maxPieces {
		return maxPieces, nil //nolint:nilerr // a damaged number costs a longer sweep
	}
	return n, nil
}

func (s *Store) setPieceBound(c seal.Context, n int) error {
	path := s.pieceBoundPath(c)
	if n == 0 {
		return remove(path)
	}
	return writePrivate(path, []byte(strconv.Itoa(n)+"\n"))
}
