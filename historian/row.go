package historian

import (
	"bytes"
	"encoding/binary"

	"edge/historian/journal"
)

// rows goes through the rows of one slot. After next returned true its fields and sample are those of a row.
type rows struct {
	c    *cell
	slot *slot
	pos  int // in data: of the next row
	left int

	index   journal.Index
	at      journal.Millis
	place   uint16
	member  *member
	odd     byte
	quality journal.Quality
	value   []byte // of text, without its length
}

func (c *cell) rowsOf(i int) rows {
	s := &c.slots[i]
	return rows{c: c, slot: s, pos: int(s.start), left: int(s.rows), index: s.index - 1}
}

func (r *rows) next() bool {
	if r.left == 0 {
		return false
	}
	r.left--
	r.index++
	b := r.c.data[r.pos:]
	head := binary.LittleEndian.Uint16(b)
	n := 2
	r.place = head & rowPlace
	r.at, r.odd, r.quality = r.slot.at, 0, journal.Good
	if head&rowOffset != 0 {
		r.at += journal.Millis(int16(binary.LittleEndian.Uint16(b[n:])))
		n += 2
	}
	if head&rowOdd != 0 {
		r.odd, r.quality = b[n], journal.Quality(binary.LittleEndian.Uint16(b[n+1:]))
		n += 3
	}
	r.member = &r.c.members[r.place]
	w := width(r.member.kind)
	switch {
	case r.odd == oddNull:
		w = 0
	case r.odd == oddWide:
		w = 8
	case w == 0:
		w = int(binary.LittleEndian.Uint32(b[n:]))
		n += 4
	}
	r.value = b[n : n+w]
	r.pos += n + w
	return true
}

// nextNumber is next for a row that is Good and has a number; ok is false for others, before which it stays. Of the fields it
// sets index and member.
func (r *rows) nextNumber() (place uint16, at journal.Millis, num uint64, ok bool) {
	b := r.c.data[r.pos:]
	head := binary.LittleEndian.Uint16(b)
	place, at = head&rowPlace, r.slot.at
	n := 2
	if head&rowOffset != 0 {
		at += journal.Millis(int16(binary.LittleEndian.Uint16(b[n:])))
		n += 2
	}
	m := &r.c.members[place]
	w := width(m.kind)
	switch {
	case head&rowOdd != 0 || w == 0:
		return 0, 0, 0, false
	case w == 4:
		num = widen(m.kind, binary.LittleEndian.Uint32(b[n:]))
	case w == 8:
		num = binary.LittleEndian.Uint64(b[n:])
	default:
		num = uint64(b[n])
	}
	r.left--
	r.index++
	r.pos += n + w
	r.member = m
	return place, at, num, true
}

// sample writes the row into v. Text is v's own.
func (r *rows) sample(v *journal.Sample) {
	r.view(v)
	if v.Value.Bytes != nil {
		v.Value.Bytes = bytes.Clone(v.Value.Bytes)
	}
}

// view writes the row into v. Text is the cell's.
func (r *rows) view(v *journal.Sample) {
	kind := r.member.kind
	*v = journal.Sample{Index: r.index, Series: r.member.series.id, At: r.at, Received: r.slot.received, Quality: r.quality,
		Historical: r.slot.flags&slotHistorical != 0, Birth: r.slot.flags&slotBirth != 0}
	v.Value.Type = kind
	switch w := width(kind); {
	case r.odd == oddNull:
		v.Value.Null = true
	case w == 8, r.odd == oddWide:
		v.Value.Num = binary.LittleEndian.Uint64(r.value)
	case w == 4:
		v.Value.Num = widen(kind, binary.LittleEndian.Uint32(r.value))
	case w == 1:
		v.Value.Num = uint64(r.value[0])
	case len(r.value) > 0:
		v.Value.Bytes = r.value
	}
}
