package packets

import "encoding/binary"

// open appends a packet's first byte and room for a Remaining Length of one byte; seal fills it in.
func open(dst []byte, t Type, flags byte) []byte { return append(dst, byte(t)<<4|flags, 0) }

// seal writes the length of what follows position at, which holds one byte of room for it. Longer lengths move what
// follows; PUBLISH, the only packet where that would cost, computes its length beforehand.
func seal(dst []byte, at int) []byte {
	n := len(dst) - at - 1
	extra := varintLen(n) - 1
	if extra > 0 {
		dst = append(dst, 0, 0, 0)[:len(dst)+extra]
		copy(dst[at+1+extra:], dst[at+1:at+1+n])
	}
	appendVarint(dst[:at], n)
	return dst
}

func appendUint16(dst []byte, n uint16) []byte { return binary.BigEndian.AppendUint16(dst, n) }
func appendUint32(dst []byte, n uint32) []byte { return binary.BigEndian.AppendUint32(dst, n) }

// maxField is the longest string or binary field that its two length bytes can say (section 1.5.4).
const maxField = 65535

// appendString appends a length-prefixed string or binary field, as much of it as fits: a field that is too long must
// not make the bytes behind it mean something else.
func appendString[S ~string | ~[]byte](dst []byte, s S) []byte {
	s = s[:min(len(s), maxField)]
	return append(appendUint16(dst, uint16(len(s))), s...)
}

func flag(set bool, bit byte) byte {
	if set {
		return bit
	}
	return 0
}
