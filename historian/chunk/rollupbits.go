package chunk

import (
	"encoding/binary"
	"math/bits"
)

// bitWriter appends numbers bit by bit, the first in the lowest bits.
type bitWriter struct {
	b    []byte
	acc  uint64
	have int // bits in acc, fewer than 64
}

// put appends the low n bits of x, whose others are 0; n is at most 64.
func (w *bitWriter) put(x uint64, n int) {
	w.acc |= x << w.have
	if w.have += n; w.have >= 64 {
		w.b = binary.LittleEndian.AppendUint64(w.b, w.acc)
		w.have -= 64
		w.acc = x >> (n - w.have) // a shift by 64 gives 0
	}
}

// number appends a number as its length and the bits below its highest.
func (w *bitWriter) number(x uint64) {
	n := bits.Len64(x)
	w.put(uint64(n), lengthBits)
	if n > 1 {
		w.put(x&^(1<<(n-1)), n-1)
	}
}

const lengthBits = 7

// end fills the last byte.
func (w *bitWriter) end() []byte {
	for ; w.have > 0; w.have -= 8 {
		w.b = append(w.b, byte(w.acc))
		w.acc >>= 8
	}
	w.have = 0
	return w.b
}

// bitReader reads what a bitWriter wrote. Past the end it is bad and gives zeros.
type bitReader struct {
	b   []byte
	bit int
	bad bool
}

// peek gives the next bits, at least 57, zeros behind the end.
func (r *bitReader) peek() uint64 { return load64At(r.b, r.bit>>3) >> (r.bit & 7) }

// load64At is load64 of any place.
func load64At(src []byte, at int) uint64 {
	if at >= len(src) {
		return 0
	}
	return load64(src, at)
}

// take reads n bits, at most 64.
func (r *bitReader) take(n int) uint64 {
	if n > 56 {
		low := r.take(32)
		return low | r.take(n-32)<<32
	}
	x := r.peek() & (1<<n - 1)
	r.skip(n)
	return x
}

func (r *bitReader) skip(n int) {
	if r.bit += n; r.bit > 8*len(r.b) {
		r.bad, r.bit = true, 8*len(r.b)
	}
}

func (r *bitReader) number() uint64 {
	n := int(r.take(lengthBits))
	switch {
	case n > 64:
		r.bad = true
		return 0
	case n < 2:
		return uint64(n)
	}
	return r.take(n-1) | 1<<(n-1)
}

// done says that nothing is left but what fills the last byte.
func (r *bitReader) done() bool { return !r.bad && len(r.b)*8-r.bit < 8 && r.peek() == 0 }
