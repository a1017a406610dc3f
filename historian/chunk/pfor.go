package chunk

import (
	"encoding/binary"
	"math/bits"
)

// pforBlock is how many values share a bit width.
const pforBlock = 128

// patched marks a width byte that is followed by exceptions.
const patched = 0x80

// appendPFOR appends v in blocks of 128: a width byte, the low bits of each value packed, and for the few values that
// are wider their position (a byte) and high bits (a varint), counted by a byte that is there when width has patched set.
func appendPFOR(dst []byte, v []uint64) []byte {
	for len(v) > 0 {
		n := min(len(v), pforBlock)
		dst = appendPFORBlock(dst, v[:n])
		v = v[n:]
	}
	return dst
}

func appendPFORBlock(dst []byte, v []uint64) []byte {
	w, _, exceptions := bestWidth(v)
	if exceptions == 0 {
		return appendPacked(append(dst, byte(w)), v, w)
	}
	dst = append(dst, byte(w)|patched, byte(exceptions))
	dst = appendPacked(dst, v, w)
	for i, x := range v {
		if bits.Len64(x) > w {
			dst = append(dst, byte(i))
			dst = binary.AppendUvarint(dst, x>>w)
		}
	}
	return dst
}

// pforSize is the length that appendPFOR adds for v.
func pforSize(v []uint64) int {
	size := 0
	for len(v) > 0 {
		n := min(len(v), pforBlock)
		_, s, _ := bestWidth(v[:n])
		size += s
		v = v[n:]
	}
	return size
}

// bestWidth finds the width in bits with the smallest block, its size in bytes and its number of exceptions.
func bestWidth(v []uint64) (width, size, exceptions int) {
	var hist [65]uint8 // at most pforBlock
	all := uint64(0)
	for _, x := range v {
		hist[bits.Len64(x)]++
		all |= x
	}
	widest := bits.Len64(all)
	width, size = widest, 1+(len(v)*widest+7)/8
	for w, n := widest-1, 0; w >= 0; w-- {
		n += int(hist[w+1])
		if 2*n >= size {
			break // the exceptions alone are larger
		}
		if w > 0 && hist[w] == 0 {
			continue // the next smaller length in use is never worse
		}
		s := 2 + (len(v)*w+7)/8
		for l := w + 1; l <= widest; l++ {
			s += int(hist[l]) * (1 + (l-w+6)/7)
		}
		if s < size {
			width, size, exceptions = w, s, n
		}
	}
	return width, size, exceptions
}

// appendPacked appends the low w bits of each value, first value in the lowest bits.
func appendPacked(dst []byte, v []uint64, w int) []byte {
	if w == 0 {
		return dst
	}
	mask := ^uint64(0) >> (64 - w)
	var acc uint64
	have := 0
	for _, x := range v {
		x &= mask
		acc |= x << have
		if have += w; have >= 64 {
			dst = binary.LittleEndian.AppendUint64(dst, acc)
			have -= 64
			acc = x >> (w - have) // a shift by 64 gives 0
		}
	}
	for ; have > 0; have -= 8 {
		dst = append(dst, byte(acc))
		acc >>= 8
	}
	return dst
}

// pforBlock reads the next block, of at most left values, into buf. A bad reader gives zeros.
func (r *reader) pforBlock(buf *[pforBlock]uint64, left int) []uint64 {
	dst := buf[:min(left, pforBlock)]
	switch {
	case r.code.on && r.tight:
		r.codedBlock(dst)
		return dst
	case r.code.on:
		r.codedBlock2(dst)
		return dst
	}
	w, exceptions := r.width()
	unpack(dst, r.take((len(dst)*w+7)/8), w)
	for range exceptions {
		i, high := int(r.byte()), r.uvarint()
		if i >= len(dst) || w == 64 {
			r.bad = true
			break
		}
		dst[i] |= high << w
	}
	return dst
}

func (r *reader) width() (w, exceptions int) {
	head := r.byte()
	w = int(head &^ patched)
	if head&patched != 0 {
		exceptions = int(r.byte())
	}
	if w > 64 {
		r.bad, r.b = true, nil
		return 0, 0
	}
	return w, exceptions
}

// skipPFOR passes over n values.
func (r *reader) skipPFOR(n int) {
	if r.code.on {
		r.skipCoded2() // nobody skips those of later versions: their length is not told
		return
	}
	for n > 0 && !r.bad {
		w, exceptions := r.width()
		r.take((min(n, pforBlock)*w + 7) / 8)
		for range exceptions {
			r.byte()
			r.uvarint()
		}
		n -= pforBlock
	}
}

// unpack reads len(dst) values of w bits. A short src (the reader is bad then) gives zeros.
func unpack(dst []uint64, src []byte, w int) {
	switch {
	case w == 0 || len(src) < (len(dst)*w+7)/8:
		clear(dst)
	case w <= 8:
		unpack8(dst, src, w)
	case w <= 56:
		unpack56(dst, src, w)
	default:
		unpackWide(dst, src, w)
	}
}

// unpack8 takes eight values, which are w bytes, out of one word.
func unpack8(dst []uint64, src []byte, w int) {
	n := uint(w) & 63 // a shift by less than 64 is one instruction
	mask := uint64(1)<<n - 1
	for len(dst) >= 8 && len(src) >= 8 {
		x := binary.LittleEndian.Uint64(src)
		d := dst[:8:8]
		d[0], x = x&mask, x>>n
		d[1], x = x&mask, x>>n
		d[2], x = x&mask, x>>n
		d[3], x = x&mask, x>>n
		d[4], x = x&mask, x>>n
		d[5], x = x&mask, x>>n
		d[6], x = x&mask, x>>n
		d[7] = x & mask
		dst, src = dst[8:], src[w:]
	}
	for len(dst) > 0 {
		x := load64(src, 0)
		k := min(len(dst), 8)
		for i := range dst[:k] {
			dst[i], x = x&mask, x>>n
		}
		dst, src = dst[k:], src[min(w, len(src)):]
	}
}

// unpack56 takes each value out of a word of its own; eight values are w bytes.
func unpack56(dst []uint64, src []byte, w int) {
	n := uint(w) & 63
	mask := uint64(1)<<n - 1
	for len(dst) >= 8 && len(src) >= w+8 {
		d, s := dst[:8:8], src[:w+8]
		d[0] = binary.LittleEndian.Uint64(s) & mask
		d[1] = binary.LittleEndian.Uint64(s[n>>3:]) >> (n & 7) & mask
		d[2] = binary.LittleEndian.Uint64(s[2*n>>3:]) >> (2 * n & 7) & mask
		d[3] = binary.LittleEndian.Uint64(s[3*n>>3:]) >> (3 * n & 7) & mask
		d[4] = binary.LittleEndian.Uint64(s[4*n>>3:]) >> (4 * n & 7) & mask
		d[5] = binary.LittleEndian.Uint64(s[5*n>>3:]) >> (5 * n & 7) & mask
		d[6] = binary.LittleEndian.Uint64(s[6*n>>3:]) >> (6 * n & 7) & mask
		d[7] = binary.LittleEndian.Uint64(s[7*n>>3:]) >> (7 * n & 7) & mask
		dst, src = dst[8:], src[w:]
	}
	for i := range dst {
		bit := uint(i) * n
		dst[i] = load64(src, int(bit>>3)) >> (bit & 7) & mask
	}
}

// unpackWide is for values that may reach into a ninth byte.
func unpackWide(dst []uint64, src []byte, w int) {
	mask := ^uint64(0) >> (64 - w)
	for i := range dst {
		bit := i * w
		at, shift := bit>>3, bit&7
		x := load64(src, at) >> shift
		if shift+w > 64 {
			x |= uint64(src[at+8]) << (64 - shift)
		}
		dst[i] = x & mask
	}
}

// load64 reads 8 bytes from at, fewer at the end of src.
func load64(src []byte, at int) uint64 {
	if at+8 <= len(src) {
		return binary.LittleEndian.Uint64(src[at:])
	}
	var x uint64
	for i, b := range src[at:] {
		x |= uint64(b) << (8 * i)
	}
	return x
}
