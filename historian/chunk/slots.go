package chunk

import (
	"math/bits"
)

// The forms of a list of slots: which messages a series was in.
const (
	slotsAll  = iota // every one
	slotsBits        // one bit a slot
	slotsGaps        // the distance from the slot before, less one
	slotsBut         // all but those that follow as gaps
)

// appendSlots appends an ascending list of numbers below n.
func (w *scratch) appendSlots(dst []byte, slots []uint32, n int) []byte {
	if len(slots) == n {
		return append(dst, slotsAll)
	}
	form, size := byte(slotsGaps), (n+7)/8
	if len(slots) <= n/2 {
		w.gaps = gapsOf(w.gaps[:0], slots)
	} else {
		form, w.gaps = slotsBut, gapsBut(w.gaps[:0], slots, n)
	}
	packed := pforSize(w.gaps)
	if len(w.gaps) >= minCoded {
		if code, low, s := codeFor(w.gaps, maxLow); s+2 < min(size, packed)-size/codedSlots {
			return w.appendCodedSlots(dst, form, code, low)
		}
	}
	if packed < size {
		return appendPFOR(append(dst, form), w.gaps)
	}
	return appendSlotBits(append(dst, slotsBits), slots, size)
}

// codedSlots is by how much of a bit for each slot a code has to be smaller.
const codedSlots = 24

// appendCodedSlots appends the gaps in a code, and before it their length: who wants another series passes over them.
func (w *scratch) appendCodedSlots(dst []byte, form byte, code, low int) []byte {
	w.code = appendCoded(w.code[:0], w.gaps, code, low)
	return appendText(append(dst, coded(form, code)), w.code)
}

func appendSlotBits(dst []byte, slots []uint32, size int) []byte {
	at := len(dst)
	for range size {
		dst = append(dst, 0)
	}
	for _, s := range slots {
		dst[at+int(s)/8] |= 1 << (s % 8)
	}
	return dst
}

// gapsOf appends the distance of each slot from the one before, less one.
func gapsOf(dst []uint64, slots []uint32) []uint64 {
	next := uint32(0)
	for _, s := range slots {
		dst = append(dst, uint64(s-next))
		next = s + 1
	}
	return dst
}

// gapsBut appends the same of the slots below n that are not in the list.
func gapsBut(dst []uint64, slots []uint32, n int) []uint64 {
	next, free := uint32(0), uint32(0) // next: behind the last that is not in the list
	for i := 0; i <= len(slots); i++ {
		end := uint32(n)
		if i < len(slots) {
			end = slots[i]
		}
		for ; free < end; free++ {
			dst = append(dst, uint64(free-next))
			next = free + 1
		}
		free = end + 1
	}
	return dst
}

// slots fills dst with what appendSlots wrote.
func (r *reader) slots(dst []uint32, n int) {
	form := r.form()
	if r.code.on && r.tight {
		inside := *r
		inside.b = r.text()
		inside.codedSlots(form, dst, n)
		r.bad = r.bad || inside.bad || len(inside.b) != 0
		return
	}
	switch form {
	case slotsAll:
		r.bad = r.bad || len(dst) != n
		for i := range dst {
			dst[i] = uint32(i)
		}
	case slotsBits:
		r.slotBits(dst, n)
	case slotsGaps:
		r.slotGaps(dst, n)
	case slotsBut:
		r.slotsBut(dst, n)
	default:
		r.bad = true
	}
}

func (r *reader) codedSlots(form byte, dst []uint32, n int) {
	switch form {
	case slotsGaps:
		r.slotGaps(dst, n)
	case slotsBut:
		r.slotsBut(dst, n)
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

func (r *reader) slotsBut(dst []uint32, n int) {
	var buf [pforBlock]uint64
	next, found := 0, 0
	for left := n - len(dst); left > 0 && !r.bad; {
		u := r.pforBlock(&buf, left)
		for _, gap := range u {
			if gap > uint64(len(dst)-found) {
				r.bad = true
				return
			}
			for range gap {
				dst[found] = uint32(next)
				found, next = found+1, next+1
			}
			next++
		}
		left -= len(u)
	}
	for ; found < len(dst); found, next = found+1, next+1 {
		dst[found] = uint32(next)
	}
}

// skipSlots passes over a list of count slots.
func (r *reader) skipSlots(count, n int) {
	form := r.form()
	if r.code.on && r.tight {
		r.text()
		return
	}
	switch form {
	case slotsAll:
	case slotsBits:
		r.take((n + 7) / 8)
	case slotsGaps:
		r.skipPFOR(count)
	case slotsBut:
		r.skipPFOR(n - count)
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
