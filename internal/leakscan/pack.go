package leakscan

import (
	"bytes"
	"cmp"
	"compress/zlib"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"math"
	"slices"
	"sort"
	"strings"
)

// errPack is a pack that is read by git alone: it is damaged, or of another kind.
var errPack = errors.New("the pack cannot be read")

const (
	nameSize   = 20      // of SHA-1; repositories of SHA-256 are git's
	maxPacked  = 4 << 20 // objects of all packs: 70 bytes of memory each
	maxIndex   = 40 * maxPacked
	maxObject  = 16 << 20  // bytes of an object, unpacked
	maxChain   = 64 << 20  // bytes of one and of those that it is made of
	maxDepth   = 4095      // git's own bound of those
	maxKept    = 128 << 10 // bytes of a buffer that is used again
	maxLevels  = 100       // of a chain that have such buffers: git makes chains of 50
	headerSize = 40        // a type, a size, and an offset or a name, at most
	windowSize = 128 << 10 // of the pack, for headers that stand side by side
)

// The types of gitformat-pack(5) that matter here.
const (
	kindTree        = 2
	kindOffsetDelta = 6
	kindNameDelta   = 7
)

// pack is one of git's packs of format 2, which another process may delete meanwhile.
type pack struct {
	file    io.ReaderAt
	close   func() error
	names   []byte   // one after the other, sorted
	offsets []byte   // in the order of names: of 4 bytes each, or the numbers of large ones,
	large   []byte   // which have 8
	objects []packed // as they lie in the file

	window   []byte
	windowAt int64
}

// packed is an object in a pack: whole, or as a difference to its base.
type packed struct {
	at, end int64 // where its header begins, and what is compressed ends
	size    int64 // of what is compressed, without compression
	name    int32 // its place in names
	head    uint8 // bytes of its header
	kind    uint8
	// The objects that have this one as their base are a list; -1 ends it.
	child, sibling int32
}

// openPack opens a pack, which has to be closed.
func openPack(path string) (*pack, error) {
	index, err := readIndexFile(strings.TrimSuffix(path, ".pack") + ".idx")
	if err != nil {
		return nil, err
	}
	file, info, err := openRegular(path)
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

// readIndexFile reads no more than the largest pack has.
func readIndexFile(path string) ([]byte, error) {
	file, info, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if info.Size() > maxIndex {
		return nil, errPack
	}
	index := make([]byte, info.Size())
	_, err = io.ReadFull(file, index)
	return index, err
}

// readPack reads a pack's index and the headers of its objects.
func readPack(file io.ReaderAt, size int64, index []byte) (*pack, error) {
	p := &pack{file: file}
	if err := p.readIndex(index); err != nil {
		return nil, err
	}
	return p, p.readHeaders(size - nameSize)
}

// readIndex reads an index of version 2.
func (p *pack) readIndex(index []byte) error {
	const start, trailer = 8 + 256*4, 2 * nameSize
	if len(index) < start+trailer || string(index[:8]) != "\xfftOc\x00\x00\x00\x02" {
		return errPack
	}
	count := int(binary.BigEndian.Uint32(index[start-4:]))
	rest := index[start : len(index)-trailer]
	if count > maxPacked || len(rest) < count*(nameSize+8) {
		return errPack
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

// offset is where the object of a name is; -1 of a damaged index.
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

// readHeaders finds out what each object is, and its base.
func (p *pack) readHeaders(end int64) error {
	if len(p.objects) > 0 && p.objects[0].at < 0 {
		return errPack
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

// readHeader returns the number of the object's base, -1 without one.
func (p *pack) readHeader(o *packed) (base int, err error) {
	head := p.head(o)
	if len(head) == 0 {
		return 0, errPack
	}
	at := 1
	o.kind, o.size = head[0]>>4&7, int64(head[0]&15)
	for shift := 4; head[at-1]&0x80 != 0; shift += 7 {
		if at == len(head) || shift > 50 {
			return 0, errPack
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
				return 0, errPack
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
			return 0, errPack
		}
		if name, known := p.index(head[at : at+nameSize]); known {
			base, found = p.objectAt(p.offset(name))
		} else {
			found = false
		}
		at += nameSize
	}
	if !found {
		return 0, errPack
	}
	o.head = uint8(at)
	return base, nil
}

// head returns the first bytes of an object.
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

// objectAt is the number of the object at an offset.
func (p *pack) objectAt(offset int64) (int, bool) {
	return slices.BinarySearchFunc(p.objects, offset, func(o packed, at int64) int { return cmp.Compare(o.at, at) })
}

// index is the place of a name among the names.
func (p *pack) index(name []byte) (int, bool) {
	return sort.Find(len(p.names)/nameSize, func(i int) int { return bytes.Compare(name, p.name(int32(i))) })
}

func (p *pack) name(i int32) []byte { return p.names[i*nameSize:][:nameSize] }

func (p *pack) hexName(o *packed) string { return hex.EncodeToString(p.name(o.name)) }

// families returns the objects that have no base, but for trees; all others are made of
// these. Where some are made of one another in a circle, the pack is refused.
func (p *pack) families() ([]int32, error) {
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
		return nil, errPack
	}
	return roots, nil
}

// unpacker unpacks the objects of families, each by the one that it is a difference to.
type unpacker struct {
	*pack
	raw, delta []byte
	inflater   io.ReadCloser
	levels     [][]byte // of the chain that is gone down
	chain      int64    // bytes in it
	whole      func(o *packed, text []byte) error
	left       func(o *packed) // for git: too large
}

// family goes through an object, whose text is at its level, and all that are made of it.
func (u *unpacker) family(i int32, level int) error {
	o := &u.objects[i]
	text := u.levels[level]
	if err := u.whole(o, text); err != nil {
		return err
	}
	u.chain += int64(len(text))
	defer func() { u.chain -= int64(len(text)) }()
	for c := o.child; c >= 0; c = u.objects[c].sibling {
		child := &u.objects[c]
		if child.size > maxObject {
			u.leave(c)
			continue
		}
		var err error
		if u.delta, err = u.inflate(child, u.delta); err != nil {
			return err
		}
		size, err := deltaSize(u.delta, len(text))
		if err != nil {
			return err
		}
		if size > maxObject || u.chain+size > maxChain || level == maxDepth {
			u.leave(c)
			continue
		}
		if len(u.levels) == level+1 {
			u.levels = append(u.levels, nil)
		}
		if u.levels[level+1], err = applyDelta(u.delta, text, u.levels[level+1]); err != nil {
			return err
		}
		if err := u.family(c, level+1); err != nil {
			return err
		}
		if cap(u.levels[level+1]) > maxKept || level+1 >= maxLevels {
			u.levels[level+1] = nil
		}
	}
	return nil
}

// root goes through a family.
func (u *unpacker) root(i int32) error {
	if u.objects[i].size > maxObject {
		u.leave(i)
		return nil
	}
	if len(u.levels) == 0 {
		u.levels = make([][]byte, 1)
	}
	var err error
	if u.levels[0], err = u.inflate(&u.objects[i], u.levels[0]); err != nil {
		return err
	}
	return u.family(i, 0)
}

// leave leaves an object and all that are made of it to git.
func (u *unpacker) leave(i int32) {
	for open := []int32{i}; len(open) > 0; {
		o := &u.objects[open[len(open)-1]]
		open = open[:len(open)-1]
		u.left(o)
		for c := o.child; c >= 0; c = u.objects[c].sibling {
			open = append(open, c)
		}
	}
}

// inflate returns what is compressed of an object, in a buffer that it may grow.
func (u *unpacker) inflate(o *packed, into []byte) ([]byte, error) {
	body := o.at + int64(o.head)
	n := o.end - body
	if n < 0 || n > 2*maxObject {
		return into, errPack
	}
	u.raw = slices.Grow(u.raw[:0], int(n))[:n]
	if _, err := u.file.ReadAt(u.raw, body); err != nil {
		return into, err
	}
	in := bytes.NewReader(u.raw)
	var err error
	if u.inflater == nil {
		u.inflater, err = zlib.NewReader(in)
	} else {
		err = u.inflater.(zlib.Resetter).Reset(in, nil)
	}
	if err != nil {
		return into, err
	}
	into = slices.Grow(into[:0], int(o.size))[:o.size]
	if _, err := io.ReadFull(u.inflater, into); err != nil {
		return into, err
	}
	if n, err := u.inflater.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) { // and its checksum is right
		return into, errPack
	}
	return into, nil
}

// deltaSize is how large the object is that a difference makes of a base.
func deltaSize(delta []byte, base int) (int64, error) {
	from, n := binary.Uvarint(delta)
	if n <= 0 || from != uint64(base) {
		return 0, errPack
	}
	to, m := binary.Uvarint(delta[n:])
	if m <= 0 || to > math.MaxInt64 {
		return 0, errPack
	}
	return int64(to), nil
}

// applyDelta makes an object of its base, in a buffer that it may grow.
func applyDelta(delta, base, into []byte) ([]byte, error) {
	_, n := binary.Uvarint(delta)
	size, m := binary.Uvarint(delta[n:])
	into = slices.Grow(into[:0], int(size))
	for delta = delta[n+m:]; len(delta) > 0; {
		op := delta[0]
		delta = delta[1:]
		if op&0x80 == 0 { // as many bytes stand here
			if op == 0 || int(op) > len(delta) {
				return into, errPack
			}
			into, delta = append(into, delta[:op]...), delta[op:]
		} else { // some of the base
			var part [7]uint32
			for i := range part {
				if op>>i&1 == 0 {
					continue
				}
				if len(delta) == 0 {
					return into, errPack
				}
				part[i], delta = uint32(delta[0]), delta[1:]
			}
			at := uint64(part[0] | part[1]<<8 | part[2]<<16 | part[3]<<24)
			count := uint64(part[4] | part[5]<<8 | part[6]<<16)
			if count == 0 {
				count = 0x10000
			}
			if at+count > uint64(len(base)) {
				return into, errPack
			}
			into = append(into, base[at:at+count]...)
		}
		if uint64(len(into)) > size {
			return into, errPack
		}
	}
	if uint64(len(into)) != size {
		return into, errPack
	}
	return into, nil
}
