package chunk

import (
	"encoding/binary"
	"math/bits"
)

// The forms of a column of integers. All arithmetic wraps, so every bit pattern survives.
const (
	colConst  = iota // the value
	colFrame         // the smallest value, then each less the smallest
	colDelta         // the first value, then zigzag differences
	colDelta2        // the first value and difference, then zigzag differences of the differences
)

// appendColumn appends v in its smallest form. An empty column takes no bytes.
func appendColumn(dst []byte, v []int64) []byte {
	if len(v) == 0 {
		return dst
	}
	if isConst(v) {
		return appendSvarint(append(dst, colConst), v[0])
	}
	buf := make([]uint64, 3*len(v))
	frame, delta, delta2 := buf[:len(v)], buf[len(v):2*len(v)-1], buf[2*len(v):3*len(v)-2]
	low := residuals(v, frame, delta, delta2)
	best, size := colFrame, pforSize(frame)
	if s := pforSize(delta); s < size {
		best, size = colDelta, s
	}
	if s := pforSize(delta2); s < size {
		best = colDelta2
	}
	switch dst = append(dst, byte(best)); best {
	case colFrame:
		return appendPFOR(appendSvarint(dst, low), frame)
	case colDelta:
		return appendPFOR(appendSvarint(dst, v[0]), delta)
	default:
		return appendPFOR(appendSvarint(appendSvarint(dst, v[0]), v[1]-v[0]), delta2)
	}
}

func isConst(v []int64) bool {
	for _, x := range v {
		if x != v[0] {
			return false
		}
	}
	return true
}

// residuals fills the three forms of v, which has at least two values, and returns the smallest value.
func residuals(v []int64, frame, delta, delta2 []uint64) (low int64) {
	low = v[0]
	for _, x := range v {
		low = min(low, x)
	}
	for i, x := range v {
		frame[i] = uint64(x) - uint64(low)
		if i > 0 {
			delta[i-1] = zigzag(x - v[i-1])
		}
		if i > 1 {
			delta2[i-2] = zigzag((x - v[i-1]) - (v[i-1] - v[i-2]))
		}
	}
	return low
}

// column fills dst with what appendColumn wrote.
func (r *reader) column(dst []int64) {
	if len(dst) == 0 {
		return
	}
	switch form := r.byte(); {
	case form == colConst:
		x := r.svarint()
		for i := range dst {
			dst[i] = x
		}
	case form == colFrame:
		r.frame(dst, r.svarint())
	case form == colDelta:
		dst[0] = r.svarint()
		r.delta(dst[1:], dst[0])
	case form == colDelta2 && len(dst) > 1:
		dst[0] = r.svarint()
		d := r.svarint()
		dst[1] = dst[0] + d
		r.delta2(dst[2:], dst[1], d)
	default:
		r.bad = true
	}
}

func (r *reader) frame(dst []int64, low int64) {
	var buf [pforBlock]uint64
	for len(dst) > 0 && !r.bad {
		u := r.pforBlock(&buf, len(dst))
		for i, x := range u {
			dst[i] = int64(uint64(low) + x)
		}
		dst = dst[len(u):]
	}
}

func (r *reader) delta(dst []int64, last int64) {
	var buf [pforBlock]uint64
	for len(dst) > 0 && !r.bad {
		u := r.pforBlock(&buf, len(dst))
		for i, x := range u {
			last += unzigzag(x)
			dst[i] = last
		}
		dst = dst[len(u):]
	}
}

func (r *reader) delta2(dst []int64, last, d int64) {
	var buf [pforBlock]uint64
	for len(dst) > 0 && !r.bad {
		u := r.pforBlock(&buf, len(dst))
		for i, x := range u {
			d += unzigzag(x)
			last += d
			dst[i] = last
		}
		dst = dst[len(u):]
	}
}

// skipColumn passes over a column of n values.
func (r *reader) skipColumn(n int) {
	if n == 0 {
		return
	}
	form := r.byte()
	r.uvarint()
	switch form {
	case colConst:
	case colFrame:
		r.skipPFOR(n)
	case colDelta:
		r.skipPFOR(n - 1)
	case colDelta2:
		r.uvarint()
		r.skipPFOR(n - 2)
	default:
		r.bad = true
	}
}

// appendBits appends one bit for each value that is not zero.
func appendBits(dst []byte, set []bool) []byte {
	at := len(dst)
	dst = append(dst, make([]byte, (len(set)+7)/8)...)
	for i, on := range set {
		if on {
			dst[at+i/8] |= 1 << (i % 8)
		}
	}
	return dst
}

// The forms of a list of slots: which messages a series was in.
const (
	slotsAll  = iota // every one
	slotsBits        // one bit a slot
	slotsGaps        // the distance from the slot before, less one
)

// appendSlots appends an ascending list of numbers below n.
func appendSlots(dst []byte, slots []uint32, n int) []byte {
	if len(slots) == n {
		return append(dst, slotsAll)
	}
	gaps := make([]uint64, len(slots))
	next := uint32(0)
	for i, s := range slots {
		gaps[i] = uint64(s - next)
		next = s + 1
	}
	if pforSize(gaps) < (n+7)/8 {
		return appendPFOR(append(dst, slotsGaps), gaps)
	}
	set := make([]bool, n)
	for _, s := range slots {
		set[s] = true
	}
	return appendBits(append(dst, slotsBits), set)
}

// slots fills dst with what appendSlots wrote.
func (r *reader) slots(dst []uint32, n int) {
	switch r.byte() {
	case slotsAll:
		r.bad = r.bad || len(dst) != n
		for i := range dst {
			dst[i] = uint32(i)
		}
	case slotsBits:
		r.slotBits(dst, n)
	case slotsGaps:
		r.slotGaps(dst, n)
	default:
		r.bad = true
	}
}

func (r *reader) slotGaps(dst []uint32, n int) {
	var buf [pforBlock]uint64
	next := uint64(0)
	for len(dst) > 0 && !r.bad {
		u := r.pforBlock(&buf, len(dst))
		for i, gap := range u {
			if next += gap; gap >= uint64(n) || next >= uint64(n) {
				r.bad = true
				return
			}
			dst[i] = uint32(next)
			next++
		}
		dst = dst[len(u):]
	}
}

// skipSlots passes over a list of count slots.
func (r *reader) skipSlots(count, n int) {
	switch r.byte() {
	case slotsAll:
	case slotsBits:
		r.take((n + 7) / 8)
	case slotsGaps:
		r.skipPFOR(count)
	default:
		r.bad = true
	}
}

func (r *reader) slotBits(dst []uint32, n int) {
	src, found := r.take((n+7)/8), 0
	for at := 0; at < len(src); at += 8 {
		for x := load64(src, at); x != 0; x &= x - 1 {
			slot := at*8 + bits.TrailingZeros64(x)
			if found == len(dst) || slot >= n {
				r.bad = true
				return
			}
			dst[found] = uint32(slot)
			found++
		}
	}
	r.bad = r.bad || found != len(dst)
}

// appendText appends a length and the bytes.
func appendText(dst, s []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func (r *reader) text() []byte { return r.take(r.count(len(r.b))) }
