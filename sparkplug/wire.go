package sparkplug

import (
	"encoding/binary"
	"math/bits"

	"google.golang.org/protobuf/encoding/protowire"
)

// Wire types, as the low three bits of a tag: a field's tag is its number<<3 | its wire type.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

// reader walks the fields of one message. It allocates nothing.
type reader struct {
	data       []byte
	start, end int // of the field at hand

	tag uint64 // number<<3 | wire type
	v   uint64 // of a varint or fixed field
	b   []byte // of a length-delimited field; shares the message's memory, its capacity is its length
}

// next goes to the next field; false at the end of the message and at what is no field, which err tells apart.
func (r *reader) next() bool {
	d, i := r.data, r.end
	if uint(i) >= uint(len(d)) {
		return false
	}
	r.start = i
	tag := uint64(d[i])
	if i++; tag >= 0x80 {
		if tag, i = varint(d, i-1); i < 0 {
			return r.broken()
		}
	}
	if tag < 1<<3 || tag>>3 > uint64(protowire.MaxValidNumber) {
		return r.broken()
	}
	r.tag = tag
	switch tag & 7 {
	case wireVarint:
		if i < len(d) && d[i] < 0x80 {
			r.v, i = uint64(d[i]), i+1
		} else {
			r.v, i = varint(d, i)
		}
	case wireFixed64:
		if len(d)-i < 8 {
			return r.broken()
		}
		r.v, i = binary.LittleEndian.Uint64(d[i:]), i+8
	case wireBytes:
		var size uint64
		if i < len(d) && d[i] < 0x80 {
			size, i = uint64(d[i]), i+1
		} else if size, i = varint(d, i); i < 0 {
			return r.broken()
		}
		if size > uint64(len(d)-i) {
			return r.broken()
		}
		end := i + int(size)
		r.b, i = d[i:end:end], end
	case wireFixed32:
		if len(d)-i < 4 {
			return r.broken()
		}
		r.v, i = uint64(binary.LittleEndian.Uint32(d[i:])), i+4
	default: // a group
		n := protowire.ConsumeFieldValue(protowire.Number(tag>>3), protowire.Type(tag&7), d[i:])
		if n < 0 {
			return r.broken()
		}
		i += n
	}
	if i < 0 {
		return r.broken()
	}
	r.end = i
	return true
}

// noField stands in reader.end, and for the end of a varint, where there is none.
const noField = -1

// broken ends the walk.
func (r *reader) broken() bool {
	r.end = noField
	return false
}

// err says, after next returned false, whether the message ended as it should.
func (r *reader) err() error {
	if r.end != noField {
		return nil
	}
	return malformed("byte %d of a message of %d is no field", r.start, len(r.data))
}

// raw returns the whole field at hand.
func (r *reader) raw() []byte { return r.data[r.start:r.end] }

// varint reads a varint at d[i:] and returns it with the index behind it, noField if there is none. Time stamps are varints
// of six bytes: those of up to eight are read at once, where eight can be read.
func varint(d []byte, i int) (uint64, int) {
	if len(d)-i >= 8 {
		x := binary.LittleEndian.Uint64(d[i:])
		if ends := ^x & 0x8080808080808080; ends != 0 { // the lowest of these bits is the top of the last byte
			x &= (ends ^ (ends - 1)) & 0x7f7f7f7f7f7f7f7f
			x = x&0x007f007f007f007f | x&0x7f007f007f007f00>>1
			x = x&0x00003fff00003fff | x&0x3fff00003fff0000>>2
			x = x&0x000000000fffffff | x&0x0fffffff00000000>>4
			return x, i + bits.TrailingZeros64(ends)/8 + 1
		}
	}
	v, n := protowire.ConsumeVarint(d[i:])
	if n < 0 {
		return 0, noField
	}
	return v, i + n
}

// checkFields checks that b is a sequence of fields.
func checkFields(b []byte) error {
	r := reader{data: b}
	for r.next() {
	}
	return r.err()
}

// count returns how often the field with this tag is among those of b, up to where b is malformed.
func count(b []byte, tag uint64) (n int) {
	r := reader{data: b}
	for r.next() {
		if r.tag == tag {
			n++
		}
	}
	return n
}

// joined returns what a message field holds after one more occurrence: protobuf merges them, which for the bytes of
// messages is one behind the other. have is nil if there was none.
func joined(have, b []byte) []byte {
	if have == nil {
		if b == nil {
			b = []byte{}
		}
		return b
	}
	return append(have, b...) // into memory of its own: what is shared has no capacity beyond its length
}
