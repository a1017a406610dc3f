package chunk

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"

	"edge/historian/journal"
)

// The bits of a kind's first byte above the datatype.
const (
	entryAscending = 1 << 6
	entryStats     = 1 << 7
)

// The bits of a kind's second byte; the form of the values is below them.
const (
	payloadOffsets = 1 << 5
	payloadNulls   = 1 << 6
	payloadQuality = 1 << 7
)

// timeline appends who is in which slot, then what else there is of slots. A slot's index is said as what lies between it and the
// slot before.
func (e *Encoder) timeline(dst []byte) []byte {
	for _, c := range e.series {
		dst = e.work.appendSlots(dst, c.slots, len(e.slotAt))
	}
	dst = e.work.appendColumn(dst, e.slotReceived)
	dst = e.work.appendColumn(dst, e.slotFlags)
	return e.work.appendColumn(dst, e.slotIndex)
}

// directory appends what is said of each series: its kind, which is a place in a list, columns of the rest, then its step and its
// statistics.
func (e *Encoder) directory(dst []byte) []byte {
	dst = e.kinds(dst)
	slots := len(e.slotAt)
	e.work.packed = true // every query reads them
	defer func() { e.work.packed = false }()
	for _, f := range [...]func(c *column) int64{
		func(c *column) int64 { return int64(c.id) },
		func(c *column) int64 { return int64(len(c.at)) },
		func(c *column) int64 { return int64(len(c.payload)) },
		func(c *column) int64 { return int64(c.slots[0]) },
		func(c *column) int64 { return int64(slots) - 1 - int64(c.slots[len(c.slots)-1]) },
		func(c *column) int64 { first, _ := c.span(); return first - e.slotAt[c.slots[0]] },
		func(c *column) int64 { _, last := c.span(); return last - e.slotAt[c.slots[len(c.slots)-1]] },
	} {
		rows := resize(e.work.rows, len(e.series))
		e.work.rows = rows
		for i, c := range e.series {
			rows[i] = f(c)
		}
		dst = e.work.appendColumn(dst, rows)
	}
	for _, c := range e.series {
		if c.form&formBits == valLattice {
			dst = appendStep(dst, math.Float64frombits(c.scale))
		}
		if c.stats {
			dst = c.appendStats(dst)
		}
	}
	return dst
}

// kinds appends the kinds that there are, then of each series the place of its own.
func (e *Encoder) kinds(dst []byte) []byte {
	w := &e.work
	w.gaps, w.words = w.gaps[:0], w.words[:0]
	for _, c := range e.series {
		k := c.kindBytes()
		place := 0
		for place < len(w.words) && !bytes.Equal(w.words[place:place+len(k)], k[:]) {
			place += len(k)
		}
		if place == len(w.words) {
			w.words = append(w.words, k[:]...)
		}
		w.gaps = append(w.gaps, uint64(place/len(k)))
	}
	dst = binary.AppendUvarint(dst, uint64(len(w.words)/3))
	return appendPFOR(append(dst, w.words...), w.gaps)
}

// kindBytes are the datatype, the form, and of decimals the exponent, of a lattice the bytes of its step.
func (c *column) kindBytes() (k [3]byte) {
	if k[0], k[1] = byte(c.kind), c.form; c.ascending {
		k[0] |= entryAscending
	}
	if c.stats {
		k[0] |= entryStats
	}
	switch c.form & formBits {
	case valDecimal:
		k[2] = byte(c.scale)
	case valLattice:
		k[2] = stepBytes(math.Float64frombits(c.scale))
	}
	return k
}

// stepBytes is 4 for a step that is a float32.
func stepBytes(q float64) byte {
	if float64(float32(q)) == q {
		return 4
	}
	return 8
}

func appendStep(dst []byte, q float64) []byte {
	if stepBytes(q) == 4 {
		return binary.LittleEndian.AppendUint32(dst, math.Float32bits(float32(q)))
	}
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(q))
}

// span is the time of the series' first and of its last sample, whatever order they came in.
func (c *column) span() (first, last int64) {
	if !c.ascending {
		return slices.Min(c.at), slices.Max(c.at)
	}
	return c.at[0], c.at[len(c.at)-1]
}

// readDirectory reads what directory wrote.
func (b *Block) readDirectory(r, payloads *reader) bool {
	kinds := r.take(3 * r.count(len(b.Entries)))
	if !b.readKinds(r, kinds) {
		return false
	}
	rows := b.rows(len(b.Entries))
	id, left := int64(-1), b.count
	for f := range 7 {
		r.column(rows)
		if r.bad {
			return false
		}
		for i, x := range rows {
			e := &b.Entries[i]
			ok := true
			switch f {
			case 0:
				ok = x > id && x <= math.MaxUint32
				e.Series, id = journal.SeriesID(x), x
			case 1:
				ok = x >= 1 && x <= int64(min(left, b.slots))
				e.Count, left = int(x), left-int(x)
			case 2:
				e.payload = payloads.take(int(min(max(x, -1), math.MaxInt32)))
			case 3:
				if ok = x >= 0 && x < int64(b.slots); ok {
					e.First = journal.Millis(b.at[x])
				}
			case 4:
				if ok = x >= 0 && x < int64(b.slots); ok {
					e.Last = journal.Millis(b.at[int64(b.slots)-1-x])
				}
			case 5:
				e.First += journal.Millis(x)
			case 6:
				e.Last += journal.Millis(x)
			}
			if !ok {
				return false
			}
		}
	}
	return left == 0 && b.readScales(r)
}

// readKinds gives each series its kind.
func (b *Block) readKinds(r *reader, kinds []byte) bool {
	var buf [pforBlock]uint64
	r.code.on = false
	for list := b.Entries; len(list) > 0; {
		u := r.pforBlock(&buf, len(list))
		for i, place := range u {
			if place >= uint64(len(kinds)/3) {
				return false
			}
			k := kinds[3*place : 3*place+3]
			e := &list[i]
			e.Type, e.Ascending, e.form, e.scale = journal.DataType(k[0]&maxType), k[0]&entryAscending != 0, k[1], uint64(k[2])
			e.hasStats = k[0]&entryStats != 0
		}
		list = list[len(u):]
	}
	return !r.bad
}

// readScales reads what turns integers into values, and the statistics.
func (b *Block) readScales(r *reader) bool {
	for i := range b.Entries {
		e := &b.Entries[i]
		switch e.form & formBits {
		case valDecimal:
			r.bad = r.bad || e.scale > maxExponent
		case valLattice:
			switch e.scale {
			case 4:
				e.scale = math.Float64bits(float64(math.Float32frombits(r.uint32())))
			case 8:
				e.scale = r.uint64()
			default:
				r.bad = true
			}
		}
		if r.bad {
			return false
		}
		if e.hasStats {
			e.Stats = &b.stats[i]
			r.stats(e.Stats, e)
		}
	}
	return !r.bad
}
