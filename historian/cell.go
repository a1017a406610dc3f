package historian

import (
	"encoding/binary"
	"math"
	"slices"
	"sort"

	"edge/historian/chunk"
	"edge/historian/journal"
)

// cell holds the samples of one group and window, in index order: what a block is made of. A sample takes about 8 bytes and
// its share of a slot; nothing in data is a pointer.
//
//	slots   ┌ index, at, received, flags ┐┌ ...                what samples of one message share
//	data    │ row │ row │ ... │ row      ││ row │ row │ ...
//
//	row     place u16 │ offset i16, if rowOffset │ odd u8 and quality u16, if rowOdd │ value, as wide as its type
//
// The place is the series' among those of its group. Text is its length u32 and its bytes.
type cell struct {
	slots    []slot
	data     []byte
	members  []member // by place
	count    int
	counted  int64            // of bytes, in the head's
	expected [2]int           // what data and slots may come to; 0: not known
	searches int              // for a sample with the time of one that is here
	seen     map[stamp]uint64 // where the last row of each stamp is: slot << 32 | offset in data; nil until there were many searches
}

// slot is what samples of one group that arrived in one message share.
type slot struct {
	index    journal.Index // of the first; the others follow without a gap
	at       journal.Millis
	received journal.Millis
	start    uint32 // in data, of the first row
	rows     uint16
	flags    uint8
}

const (
	slotHistorical = 1 << iota
	slotBirth
)

// member is a series that has samples in a cell.
type member struct {
	series *series // nil: it has none
	newest journal.Millis
	kind   journal.DataType
}

// stamp is the identity of a sample.
type stamp struct {
	series journal.SeriesID
	at     journal.Millis
}

const (
	rowPlace  = 1<<14 - 1 // the bits of a row's place; a group has at most chunk.MaxSeries
	rowOffset = 1 << 14
	rowOdd    = 1 << 15

	oddNull = 1             // no value follows
	maxRow  = 2 + 2 + 3 + 8 // bytes, but for text

	oddWide = 2 // eight bytes follow: the value is none that its type can have
)

const (
	cellBytes   = 168 // of an empty one, with its place in the map
	slotBytes   = 32
	memberBytes = 24
	seenBytes   = 64
	manySearch  = 64
)

func (c *cell) bytes() int64 {
	return cellBytes + int64(cap(c.data)+cap(c.slots)*slotBytes+cap(c.members)*memberBytes+len(c.seen)*seenBytes)
}

// expect says what data and slots may come to.
func (c *cell) expect(data, slots int) { c.expected = [2]int{data + data/32, slots + slots/32} }

// grown is s with room for n more. It doubles until it has what may be expected: growing by a quarter each time, as append does,
// copies all of it four times and leaves as much behind.
func grown[T any](s []T, n, expected int) []T {
	if need := len(s) + n; need > cap(s) && need <= expected {
		return append(make([]T, 0, min(max(2*cap(s), need, 512), expected)), s...)
	}
	return s
}

// widths of values by type, 0 for text.
var widths = [256]uint8{1: 4, 2: 4, 3: 4, 4: 8, 5: 4, 6: 4, 7: 4, 8: 8, 9: 4, 10: 8, 11: 1, 13: 8}

func width(t journal.DataType) int { return int(widths[t]) }

// narrow tells whether reading a value back from its type's width gives it again.
func narrow(v *journal.Value) bool {
	switch width(v.Type) {
	case 1:
		return v.Num <= math.MaxUint8
	case 4:
		return widen(v.Type, uint32(v.Num)) == v.Num
	}
	return true
}

// widen is the inverse of cutting a number of 32 bits or less: signed integers are extended.
func widen(t journal.DataType, x uint32) uint64 {
	if t <= 3 {
		return uint64(int64(int32(x)))
	}
	return uint64(x)
}

// append adds a sample behind the others.
func (c *cell) append(s *journal.Sample, e *series) {
	at := c.openSlot(s)
	place := uint16(e.place)
	offset := s.At - at
	if offset != 0 {
		place |= rowOffset
	}
	var odd byte
	if s.Value.Null {
		odd = oddNull
	} else if !narrow(&s.Value) {
		odd = oddWide
	}
	if odd != 0 || s.Quality != journal.Good {
		place |= rowOdd
	}
	if c.seen != nil {
		c.seen[stamp{e.id, s.At}] = c.here()
	}
	b := binary.LittleEndian.AppendUint16(grown(c.data, maxRow, c.expected[0]), place)
	if place&rowOffset != 0 {
		b = binary.LittleEndian.AppendUint16(b, uint16(offset))
	}
	if place&rowOdd != 0 {
		b = binary.LittleEndian.AppendUint16(append(b, odd), uint16(s.Quality))
	}
	c.data = appendCellValue(b, &s.Value, odd)
	c.slots[len(c.slots)-1].rows++
	c.count++
}

func appendCellValue(b []byte, v *journal.Value, odd byte) []byte {
	if odd == oddNull {
		return b
	}
	switch w := width(v.Type); {
	case w == 8 || odd == oddWide:
		return binary.LittleEndian.AppendUint64(b, v.Num)
	case w == 4:
		return binary.LittleEndian.AppendUint32(b, uint32(v.Num))
	case w == 1:
		return append(b, byte(v.Num))
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(v.Bytes)))
	return append(b, v.Bytes...)
}

// openSlot makes the last slot one that takes the sample, and returns the slot's time.
func (c *cell) openSlot(s *journal.Sample) journal.Millis {
	var flags uint8
	if s.Historical {
		flags |= slotHistorical
	}
	if s.Birth {
		flags |= slotBirth
	}
	if n := len(c.slots); n > 0 {
		l := &c.slots[n-1]
		offset := s.At - l.at
		if l.index+journal.Index(l.rows) == s.Index && l.received == s.Received && l.flags == flags && l.rows < math.MaxUint16 &&
			offset >= math.MinInt16 && offset <= math.MaxInt16 {
			return l.at
		}
	}
	c.slots = append(grown(c.slots, 1, c.expected[1]), slot{index: s.Index, at: s.At, received: s.Received, start: uint32(len(c.data)), flags: flags})
	return s.At
}

// repeats tells whether a sample is here already and counts: of several with its time the last to arrive.
func (c *cell) repeats(s *journal.Sample, e *series) bool {
	if n := int(e.place) + 1; n > len(c.members) {
		c.members = slices.Grow(c.members, n-len(c.members))[:n]
	}
	m := &c.members[e.place]
	if m.series == nil || s.At > m.newest {
		m.series, m.newest, m.kind = e, s.At, s.Value.Type
		return false
	}
	var old journal.Sample
	return c.find(&old, s.At, e) && old.Quality == s.Quality && chunk.EqualValue(old.Value, s.Value)
}

// find finds the last sample of a series with a time. Few are looked for; where many are, by stamp.
func (c *cell) find(v *journal.Sample, at journal.Millis, e *series) bool {
	if c.searches++; c.searches > manySearch {
		return c.findSeen(v, at, e)
	}
	for i := len(c.slots) - 1; i >= 0; i-- {
		if d := at - c.slots[i].at; d < math.MinInt16 || d > math.MaxInt16 {
			continue
		}
		found := false
		for r := c.rowsOf(i); r.next(); {
			if r.place == e.place && r.at == at {
				r.sample(v)
				found = true
			}
		}
		if found {
			return true
		}
	}
	return false
}

func (c *cell) findSeen(v *journal.Sample, at journal.Millis, e *series) bool {
	if c.seen == nil {
		c.seen = make(map[stamp]uint64, c.count)
		for i := range c.slots {
			r := c.rowsOf(i)
			for from := r.pos; r.next(); from = r.pos {
				c.seen[stamp{c.members[r.place].series.id, r.at}] = uint64(i)<<32 | uint64(from)
			}
		}
	}
	where, ok := c.seen[stamp{e.id, at}]
	if !ok {
		return false
	}
	r := c.rowsOf(int(where >> 32))
	r.pos, r.left = int(uint32(where)), 1
	r.next()
	r.sample(v)
	return true
}

// here is where the next row goes.
func (c *cell) here() uint64 { return uint64(len(c.slots)-1)<<32 | uint64(len(c.data)) }

// series appends the samples of one series with from <= At < to, in index order.
func (c *cell) series(dst []journal.Sample, e *series, from, to journal.Millis) []journal.Sample {
	if !c.has(e) {
		return dst
	}
	for i := range c.slots {
		if at := c.slots[i].at; at < from+math.MinInt16 || at >= to-math.MinInt16 {
			continue
		}
		for r := c.rowsOf(i); r.next(); {
			if r.place == e.place && r.at >= from && r.at < to {
				dst = append(dst, journal.Sample{})
				r.sample(&dst[len(dst)-1])
			}
		}
	}
	return dst
}

// between appends the first limit samples with from <= Index < to.
func (c *cell) between(dst []journal.Sample, from, to journal.Index, limit int) []journal.Sample {
	first := sort.Search(len(c.slots), func(i int) bool { s := &c.slots[i]; return s.index+journal.Index(s.rows) > from })
	for i := first; i < len(c.slots) && c.slots[i].index < to; i++ {
		for r := c.rowsOf(i); r.next(); {
			if r.index >= to || len(dst) == limit {
				return dst
			}
			if r.index >= from {
				dst = append(dst, journal.Sample{})
				r.sample(&dst[len(dst)-1])
			}
		}
	}
	return dst
}

// all appends every sample, in index order.
func (c *cell) all(dst []journal.Sample) []journal.Sample {
	return c.between(dst, 0, math.MaxUint64, math.MaxInt)
}

// has tells whether the cell holds samples of a series.
func (c *cell) has(e *series) bool {
	return int(e.place) < len(c.members) && c.members[e.place].series != nil
}

// stamps are those of all samples, and their series.
func (c *cell) stamps() (stamps map[stamp]bool, series map[journal.SeriesID]bool) {
	stamps, series = make(map[stamp]bool, c.count), make(map[journal.SeriesID]bool)
	for i := range c.slots {
		for r := c.rowsOf(i); r.next(); {
			stamps[stamp{r.member.series.id, r.at}] = true
			series[r.member.series.id] = true
		}
	}
	return stamps, series
}
