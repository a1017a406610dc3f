package chunk

import (
	"fmt"
	"math"
	"slices"

	"edge/historian/journal"
)

// Columns are the samples of one series of a block, in index order, field by field. Reading the next series into them uses
// their memory again. The zero value is ready.
type Columns struct {
	Series  journal.SeriesID
	Type    journal.DataType
	At      []journal.Millis
	Num     []uint64     // Value.Num, 0 for null; empty where Bytes is set
	Bytes   [][]byte     // Value.Bytes, nil for null: slices of the block, or what Objects gave; empty for series of numbers
	Null    []byte       // a bit for each sample, the first in the lowest; empty: none is null
	Quality []QualityRun // empty: all are Good

	// Set by Block.Complete and Block.Arrived only, Index by Complete.
	Index    []journal.Index
	Received []journal.Millis
	Flags    []uint8 // empty: none

	slots []uint32
	ints  []int64
	texts [][]byte

	copies map[*byte][]byte // of texts, while samples are made
}

// QualityRun is a quality and how many samples in a row have it.
type QualityRun struct {
	Quality journal.Quality
	Count   int
}

// The bits of Columns.Flags.
const (
	Historical = 1 << iota
	Birth
)

// Release forgets what points into a block or what Objects gave, and keeps the memory.
func (c *Columns) Release() {
	clear(c.Bytes[:cap(c.Bytes)])
	clear(c.texts[:cap(c.texts)])
	c.Bytes, c.texts = c.Bytes[:0], c.texts[:0]
}

// Len is the number of samples.
func (c *Columns) Len() int { return len(c.At) }

// IsNull says that sample n has no value.
func (c *Columns) IsNull(n int) bool { return len(c.Null) > 0 && c.Null[n/8]&(1<<(n%8)) != 0 }

// Floats appends the values as Value.Float64 gives them: NaN for null, text, bytes and structures.
func (c *Columns) Floats(dst []float64) []float64 {
	at := len(dst)
	dst = slices.Grow(dst, len(c.At))[:at+len(c.At)]
	out := dst[at:]
	switch {
	case len(c.Num) != len(out):
		fillNaN(out)
	case c.Type >= 1 && c.Type <= 4, c.Type == 13: // Int8 to Int64, DateTime
		for i, n := range c.Num {
			out[i] = float64(int64(n))
		}
	case c.Type >= 5 && c.Type <= 8, c.Type == 11: // UInt8 to UInt64, Boolean
		for i, n := range c.Num {
			out[i] = float64(n)
		}
	case c.Type == typeFloat:
		for i, n := range c.Num {
			out[i] = float64(math.Float32frombits(uint32(n)))
		}
	case c.Type == typeDouble:
		for i, n := range c.Num {
			out[i] = math.Float64frombits(n)
		}
	default:
		fillNaN(out)
	}
	if len(c.Null) > 0 {
		for i := range out {
			if c.IsNull(i) {
				out[i] = math.NaN()
			}
		}
	}
	return dst
}

func fillNaN(dst []float64) {
	for i := range dst {
		dst[i] = math.NaN()
	}
}

// Columns reads times, values and qualities of Entries[i] into c. t is the block's time line.
func (b *Block) Columns(i int, t *Timeline, c *Columns) error { return b.columnsInto(i, t, c, nil) }

// Numbers reads what Columns reads, but for the values; these it appends to dst, as Floats does.
func (b *Block) Numbers(i int, t *Timeline, c *Columns, dst []float64) ([]float64, error) {
	if b.version == 1 || !b.Entries[i].plainFloats() {
		if err := b.Columns(i, t, c); err != nil {
			return dst, err
		}
		return c.Floats(dst), nil
	}
	n := len(dst)
	dst = slices.Grow(dst, b.Entries[i].Count)[:n+b.Entries[i].Count]
	if err := b.columnsInto(i, t, c, dst[n:]); err != nil {
		return dst[:n], err
	}
	return dst, nil
}

// columnsInto reads the numbers into floats, if that is not nil.
func (b *Block) columnsInto(i int, t *Timeline, c *Columns, floats []float64) (err error) {
	e := &b.Entries[i]
	c.Series, c.Type = e.Series, e.Type
	c.Index, c.Received, c.Flags = c.Index[:0], c.Received[:0], c.Flags[:0]
	if t.block != b {
		panic("BUG: chunk: the time line of another block")
	}
	var slots []uint32
	if t.numbered {
		slots = t.in[i]
	} else if slots, err = t.slots(c.slots, i); err != nil {
		return err
	} else {
		c.slots = slots
	}
	c.At = resize(c.At, len(slots))
	for n, slot := range slots {
		c.At[n] = journal.Millis(t.at[slot])
	}
	if err := c.payload(e, b.version, floats); err != nil {
		return err
	}
	if b.Objects != nil && b.version > 1 {
		c.resolve(b.Objects)
	}
	return nil
}

// Complete reads what Columns reads, and Index, Received and Flags: for them the time line of all series is read, once.
func (b *Block) Complete(i int, t *Timeline, c *Columns) error {
	if err := t.number(); err != nil {
		return err
	}
	if err := b.Columns(i, t, c); err != nil {
		return err
	}
	slots, place := t.in[i], t.place[i]
	c.Index = resize(c.Index, len(slots))
	for n, slot := range slots {
		c.Index[n] = journal.Index(t.index[slot]) + journal.Index(place[n]-t.base[slot])
	}
	c.arrive(t, slots)
	return nil
}

// Arrived reads what Columns reads, and Received and Flags: all but Index, for which the other series would have to be read.
func (b *Block) Arrived(i int, t *Timeline, c *Columns) error {
	if err := t.arrivals(); err != nil {
		return err
	}
	if err := b.Columns(i, t, c); err != nil {
		return err
	}
	slots := c.slots
	if t.numbered {
		slots = t.in[i]
	}
	c.arrive(t, slots)
	return nil
}

func (c *Columns) arrive(t *Timeline, slots []uint32) {
	c.Received, c.Flags = resize(c.Received, len(slots)), resize(c.Flags, len(slots))
	for n, slot := range slots {
		c.Received[n] = journal.Millis(t.at[slot] + t.received[slot])
		c.Flags[n] = uint8(t.flags[slot])
	}
}

// payload reads the columns that are the series' own.
func (c *Columns) payload(e *Entry, version byte, floats []float64) error {
	if err := checkPayload(e.payload, e.Series); err != nil {
		return err
	}
	r := reader{b: e.payload[:len(e.payload)-4], tight: version >= 3}
	head, scale := e.form, e.scale
	if version == 1 {
		head = r.byte()
	}
	values := e.Count
	c.Null = c.Null[:0]
	if head&payloadNulls != 0 {
		c.Null = append(c.Null, r.take((e.Count+7)/8)...)
		values -= countBits(c.Null)
		if k := e.Count % 8; k > 0 && len(c.Null) > 0 && c.Null[len(c.Null)-1]>>k != 0 {
			r.bad = true // a bit behind the last sample
		}
	}
	c.ints = resize(c.ints, e.Count)
	form := head & formBits
	if version == 1 && !r.bad && values >= 0 {
		scale = r.scale(form)
	}
	var k *known
	if r.tight && e.hasStats {
		k = &e.known
	}
	switch {
	case r.bad || values < 0:
		r.bad = true
	case form == valText || form == valDict || form == valZipped:
		c.Num, c.Bytes = c.Num[:0], resize(c.Bytes, e.Count)
		c.readTexts(&r, form, values)
	case floats != nil:
		c.Bytes, c.Num = c.Bytes[:0], c.Num[:0]
		r.columnOf(c.ints[:values], k)
		toFloats(floats[:values], c.ints, e)
		c.spreadFloats(floats, values)
	default:
		c.Bytes, c.Num = c.Bytes[:0], resize(c.Num, e.Count)
		r.numbers(form, scale, e.Type, c.Num[:values], c.ints, k)
		c.spread(values)
	}
	if head&payloadOffsets != 0 && !r.bad {
		c.ints = resize(c.ints, e.Count)
		r.column(c.ints)
		for i, x := range c.ints {
			c.At[i] += journal.Millis(x)
		}
	}
	c.Quality = c.Quality[:0]
	if head&payloadQuality != 0 && !r.bad {
		c.Quality = r.runs(c.Quality, e.Count)
	}
	if r.bad || len(r.b) != 0 {
		return fmt.Errorf("%w: malformed series %d", ErrDamaged, e.Series)
	}
	return nil
}

// spread moves the values, which lie at the front, to where no null is.
func (c *Columns) spread(values int) {
	for i := len(c.Num) - 1; values <= i; i-- {
		if c.IsNull(i) {
			c.Num[i] = 0
			continue
		}
		values--
		c.Num[i] = c.Num[values]
	}
}

// spreadFloats is the like for numbers.
func (c *Columns) spreadFloats(list []float64, values int) {
	for i := len(list) - 1; values <= i; i-- {
		if c.IsNull(i) {
			list[i] = math.NaN()
			continue
		}
		values--
		list[i] = list[values]
	}
}

// readTexts is the like for texts.
func (c *Columns) readTexts(r *reader, form byte, values int) {
	c.texts = resize(c.texts, values)
	r.texts(form, c.texts)
	next := 0
	for i := range c.Bytes {
		switch {
		case c.IsNull(i), next >= len(c.texts):
			c.Bytes[i] = nil
		default:
			c.Bytes[i] = c.texts[next]
			next++
		}
	}
}

// runs appends quality runs for n samples.
func (r *reader) runs(dst []QualityRun, n int) []QualityRun {
	for n > 0 && !r.bad {
		q, run := r.count(1<<16-1), r.count(n)
		r.bad = r.bad || run == 0
		dst = append(dst, QualityRun{journal.Quality(q), run})
		n -= run
	}
	return dst
}
