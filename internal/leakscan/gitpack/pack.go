package gitpack

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"slices"
	"sort"
	"strings"
)

const (
	nameSize   = 20      // bytes of a SHA-1
	maxPacked  = 4 << 20 // objects in all packs, at 70 bytes of memory each
	maxIndex   = 40 * maxPacked
	maxObject  = 16 << 20  // bytes of an object, unpacked
	maxChain   = 64 << 20  // bytes of an object and all that it is made of
	maxDepth   = 4095      // deltas in a chain, the same limit as git's
	maxKept    = 128 << 10 // bytes of a buffer that is reused
	maxLevels  = 100       // levels of a chain that reuse a buffer: git makes chains of 50
	headerSize = 40        // bytes at most: a type, a size, and an offset or a name
	windowSize = 128 << 10 // bytes of the pack that are read at once for headers
)

// Some of the object types in gitformat-pack(5).
const (
	kindCommit      = 1
	kindTree        = 2
	kindBlob        = 3
	kindTag         = 4
	kindOffsetDelta = 6
	kindNameDelta   = 7
)

// pack is a pack of version 2, which another process may delete meanwhile.
type pack struct {
	file    io.ReaderAt
	close   func() error
	names   []byte   // of nameSize bytes each, sorted
	offsets []byte   // in the order of names: 4 bytes each, or an index into large,
	large   []byte   // which has 8 bytes each
	objects []packed // in the order of the file

	window   []byte
	windowAt int64
}

type packed struct {
	at, end int64 // where its header begins and its compressed data ends
	size    int64 // of the data, uncompressed
	name    int32 // index in names
	head    uint8 // bytes of its header
	kind    uint8
	// The deltas to this object are a linked list, which -1 ends.
	child, sibling int32
}

func openPack(path string, open OpenFunc) (*pack, error) {
	index, err := readIndexFile(strings.TrimSuffix(path, ".pack")+".idx", open)
	if err != nil {
		return nil, err
	}
	file, info, err := open(path)
	if err != nil {
		return nil, err
	}
	p, err := readPack(file, info.Size(), index)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	p.close = file.Close
	return p, nil
}

// readIndexFile reads an index that is not larger than that of maxPacked objects.
func readIndexFile(path string, open OpenFunc) ([]byte, error) {
	file, info, err := open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if info.Size() > maxIndex {
		return nil, ErrUnsupported
	}
	index := make([]byte, info.Size())
	_, err = io.ReadFull(file, index)
	return index, err
}

func readPack(file io.ReaderAt, size int64, index []byte) (*pack, error) {
	p := &pack{file: file}
	if err := p.readIndex(index); err != nil {
		return nil, err
	}
	return p, p.readHeaders(size - nameSize)
}

func (p *pack) readIndex(index []byte) error {
	const start, trailer = 8 + 256*4, 2 * nameSize
	if len(index) < start+trailer || string(index[:8]) != "\xfftOc\x00\x00\x00\x02" {
		return ErrUnsupported
	}
	count := int(binary.BigEndian.Uint32(index[start-4:]))
	rest := index[start : len(index)-trailer]
	if count > maxPacked || len(rest) < count*(nameSize+8) {
		return ErrUnsupported
	}
	p.names = rest[:count*nameSize]
	p.offsets, p.large = rest[count*(nameSize+4):count*(nameSize+8)], rest[count*(nameSize+8):]
	p.objects = make([]packed, count)
	for i := range p.objects {
		p.objects[i] = packed{at: p.offset(i), name: int32(i), child: -1, sibling: -1}
	}
	slices.SortFunc(p.objects, func(a, b packed) int { return cmp.Compare(a.at, b.at) })
	return nil
}

// offset returns where an object begins, or -1 if the index is damaged.
func (p *pack) offset(name int) int64 {
	at := int64(binary.BigEndian.Uint32(p.offsets[name*4:]))
	if at <= math.MaxInt32 {
		return at
	}
	number := (at & math.MaxInt32) * 8
	if number+8 > int64(len(p.large)) {
		return -1
	}
	return int64(binary.BigEndian.Uint64(p.large[number:]))
}

// readHeaders sets the type, size and base of each object.
func (p *pack) readHeaders(end int64) error {
	if len(p.objects) > 0 && p.objects[0].at < 0 {
		return ErrUnsupported
	}
	for i := len(p.objects) - 1; i >= 0; i-- {
		p.objects[i].end = end
		end = p.objects[i].at
	}
	for i := range p.objects {
		base, err := p.readHeader(&p.objects[i])
		if err != nil {
			return err
		}
		if base >= 0 {
			p.objects[i].sibling, p.objects[base].child = p.objects[base].child, int32(i)
		}
	}
	return nil
}

// readHeader reads the header of an object and returns the index of its base, or -1.
func (p *pack) readHeader(o *packed) (base int, err error) {
	head := p.head(o)
	if len(head) == 0 {
		return 0, ErrUnsupported
	}
	at := 1
	o.kind, o.size = head[0]>>4&7, int64(head[0]&15)
	for shift := 4; head[at-1]&0x80 != 0; shift += 7 {
		if at == len(head) || shift > 50 {
			return 0, ErrUnsupported
		}
		o.size |= int64(head[at]&0x7f) << shift
		at++
	}
	base = -1
	found := true
	switch o.kind {
	case kindOffsetDelta:
		var back int64
		for first := true; first || head[at-1]&0x80 != 0; first = false {
			if at == len(head) || back > math.MaxInt64>>8 {
				return 0, ErrUnsupported
			}
			if !first {
				back++
			}
			back = back<<7 | int64(head[at]&0x7f)
			at++
		}
		base, found = p.objectAt(o.at - back)
		found = found && back > 0
	case kindNameDelta:
		if at+nameSize > len(head) {
			return 0, ErrUnsupported
		}
		var name int
		if name, found = p.index(head[at : at+nameSize]); found {
			base, found = p.objectAt(p.offset(name))
		}
		at += nameSize
	}
	if !found {
		return 0, ErrUnsupported
	}
	o.head = uint8(at)
	return base, nil
}

func (p *pack) head(o *packed) []byte {
	from := o.at - p.windowAt
	if from < 0 || from+headerSize > int64(len(p.window)) {
		p.window = slices.Grow(p.window[:0], windowSize)[:windowSize]
		n, err := p.file.ReadAt(p.window, o.at)
		if err != nil && !errors.Is(err, io.EOF) {
			n = 0
		}
		p.window, p.windowAt, from = p.window[:n], o.at, 0
	}
	return p.window[from:max(from, min(from+headerSize, int64(len(p.window)), o.end-p.windowAt))]
}

func (p *pack) objectAt(offset int64) (int, bool) {
	return slices.BinarySearchFunc(p.objects, offset, func(o packed, at int64) int { return cmp.Compare(o.at, at) })
}

func (p *pack) index(name []byte) (int, bool) {
	return sort.Find(len(p.names)/nameSize, func(i int) int { return bytes.Compare(name, p.name(int32(i))) })
}

func (p *pack) name(i int32) []byte { return p.names[i*nameSize:][:nameSize] }

// roots returns the objects that are not deltas, without trees; all others are made of
// these. A pack with deltas that are made of each other in a circle is refused.
func (p *pack) roots() ([]int32, error) {
	var roots, open []int32
	seen := 0
	for i := range p.objects {
		if kind := p.objects[i].kind; kind == kindOffsetDelta || kind == kindNameDelta {
			continue
		}
		for open = append(open[:0], int32(i)); len(open) > 0; seen++ {
			o := &p.objects[open[len(open)-1]]
			open = open[:len(open)-1]
			for c := o.child; c >= 0; c = p.objects[c].sibling {
				open = append(open, c)
			}
		}
		if p.objects[i].kind != kindTree {
			roots = append(roots, int32(i))
		}
	}
	if seen != len(p.objects) {
		return nil, ErrUnsupported
	}
	return roots, nil
}
