package gitpack

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"slices"
)

// unpacker unpacks objects, each from the one that it is a delta to.
type unpacker struct {
	*pack
	raw, delta []byte
	inflater   io.ReadCloser
	levels     [][]byte // texts of the chain down to the current object
	chain      int64    // bytes in them
	kind       uint8    // of the chain's objects
	visit      func(o *packed, text []byte) error
	skip       func(o *packed) // an object that is too large
}

// descend visits an object, whose text is at its level, and all that are made of it.
func (u *unpacker) descend(i int32, level int) error {
	o := &u.objects[i]
	text := u.levels[level]
	if err := u.visit(o, text); err != nil {
		return err
	}
	u.chain += int64(len(text))
	defer func() { u.chain -= int64(len(text)) }()
	for c := o.child; c >= 0; c = u.objects[c].sibling {
		child := &u.objects[c]
		if child.size > maxObject {
			u.skipAll(c)
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
			u.skipAll(c)
			continue
		}
		if len(u.levels) == level+1 {
			u.levels = append(u.levels, nil)
		}
		if u.levels[level+1], err = applyDelta(u.delta, text, u.levels[level+1]); err != nil {
			return err
		}
		if err := u.descend(c, level+1); err != nil {
			return err
		}
		if cap(u.levels[level+1]) > maxKept || level+1 >= maxLevels {
			u.levels[level+1] = nil
		}
	}
	return nil
}

// root visits an object that is not a delta, and all that are made of it.
func (u *unpacker) root(i int32) error {
	if u.objects[i].size > maxObject {
		u.skipAll(i)
		return nil
	}
	if len(u.levels) == 0 {
		u.levels = make([][]byte, 1)
	}
	var err error
	if u.levels[0], err = u.inflate(&u.objects[i], u.levels[0]); err != nil {
		return err
	}
	u.kind = u.objects[i].kind
	return u.descend(i, 0)
}

func (u *unpacker) skipAll(i int32) {
	for open := []int32{i}; len(open) > 0; {
		o := &u.objects[open[len(open)-1]]
		open = open[:len(open)-1]
		u.skip(o)
		for c := o.child; c >= 0; c = u.objects[c].sibling {
			open = append(open, c)
		}
	}
}

// inflate uncompresses the data of an object into a buffer, which it may grow.
func (u *unpacker) inflate(o *packed, into []byte) ([]byte, error) {
	body := o.at + int64(o.head)
	n := o.end - body
	if n < 0 || n > 2*maxObject {
		return into, ErrUnsupported
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
	if n, err := u.inflater.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) { // the end, with a valid checksum
		return into, ErrUnsupported
	}
	return into, nil
}

// deltaSize returns the size of the object that a delta makes of a base.
func deltaSize(delta []byte, base int) (int64, error) {
	from, n := binary.Uvarint(delta)
	if n <= 0 || from != uint64(base) {
		return 0, ErrUnsupported
	}
	to, m := binary.Uvarint(delta[n:])
	if m <= 0 || to > math.MaxInt64 {
		return 0, ErrUnsupported
	}
	return int64(to), nil
}

// applyDelta makes an object of its base in a buffer, which it may grow.
func applyDelta(delta, base, into []byte) ([]byte, error) {
	_, n := binary.Uvarint(delta)
	size, m := binary.Uvarint(delta[n:])
	into = slices.Grow(into[:0], int(size))
	for delta = delta[n+m:]; len(delta) > 0; {
		op := delta[0]
		delta = delta[1:]
		if op&0x80 == 0 { // insert the next op bytes of the delta
			if op == 0 || int(op) > len(delta) {
				return into, ErrUnsupported
			}
			into, delta = append(into, delta[:op]...), delta[op:]
		} else { // copy a part of the base
			var part [7]uint32
			for i := range part {
				if op>>i&1 == 0 {
					continue
				}
				if len(delta) == 0 {
					return into, ErrUnsupported
				}
				part[i], delta = uint32(delta[0]), delta[1:]
			}
			at := uint64(part[0] | part[1]<<8 | part[2]<<16 | part[3]<<24)
			count := uint64(part[4] | part[5]<<8 | part[6]<<16)
			if count == 0 {
				count = 0x10000
			}
			if at+count > uint64(len(base)) {
				return into, ErrUnsupported
			}
			into = append(into, base[at:at+count]...)
		}
		if uint64(len(into)) > size {
			return into, ErrUnsupported
		}
	}
	if uint64(len(into)) != size {
		return into, ErrUnsupported
	}
	return into, nil
}
