package chunk

import (
	"fmt"
	"maps"
	"math/bits"
	"slices"

	"edge/historian/journal"
)

// column holds the samples of one series, in index order.
type column struct {
	id        journal.SeriesID
	kind      journal.DataType
	slots     []uint32
	at        []int64
	offset    []int64      // At less the slot's; empty: all 0
	null      []byte       // a bit for each sample; empty: none
	quality   []QualityRun // empty: all Good
	nums      []uint64     // of values that are not null
	texts     [][]byte
	ascending bool // strictly, by time
	anyOffset bool
	nulls     int

	form    byte   // of the values, and what else the payload has
	scale   uint64 // of decimals and lattices
	payload []byte
	exact   intStats // statistics in the numbers that are stored
	ints    []int64  // those numbers
}

// reset makes it the column of another series; its memory is used again.
func (c *column) reset(id journal.SeriesID, kind journal.DataType) {
	*c = column{id: id, kind: kind, ascending: true, slots: c.slots[:0], at: c.at[:0], offset: c.offset[:0], null: c.null[:0],
		quality: c.quality[:0], nums: c.nums[:0], texts: c.texts[:0], payload: c.payload[:0], ints: c.ints[:0]}
}

// gather sorts the samples by series and by slot.
func (e *Encoder) gather(samples []journal.Sample) error {
	if err := e.open(samples); err != nil {
		return err
	}
	for i := range samples {
		s := &samples[i]
		if i > 0 && s.Index <= samples[i-1].Index {
			return ErrOrder
		}
		if err := e.add(e.column(s.Series), s, i > 0 && joins(samples, i)); err != nil {
			return err
		}
	}
	for _, c := range e.series {
		if len(c.nums) > 0 && len(c.texts) > 0 {
			return fmt.Errorf("%w: series %d", ErrMixed, c.id)
		}
	}
	e.centre()
	return nil
}

// open makes a column for each series, ascending by id.
func (e *Encoder) open(samples []journal.Sample) error {
	e.slotAt, e.slotReceived, e.slotIndex, e.slotFlags = e.slotAt[:0], e.slotReceived[:0], e.slotIndex[:0], e.slotFlags[:0]
	e.minIndex, e.maxIndex, e.first, e.last, e.count = samples[0].Index, 0, samples[0].At, samples[0].At, len(samples)
	if e.findIDs(samples); len(e.ids) > MaxSeries {
		return ErrLimit
	}
	for len(e.spare) < len(e.ids) {
		e.spare = append(e.spare, &column{})
	}
	e.series = e.spare[:len(e.ids)]
	for i, id := range e.ids {
		e.series[i].reset(id, maxType+1)
		if len(e.dense) > 0 {
			e.dense[id-e.lowest] = uint16(i)
		} else {
			e.place[id] = i
		}
	}
	return nil
}

// maxDense is how far apart the ids of a block may lie to be found in a table.
const maxDense = 4 * MaxSeries

// findIDs lists the series, ascending.
func (e *Encoder) findIDs(samples []journal.Sample) {
	e.ids, e.dense = e.ids[:0], e.dense[:0]
	low, high := samples[0].Series, samples[0].Series
	for i := range samples {
		low, high = min(low, samples[i].Series), max(high, samples[i].Series)
	}
	if e.lowest = low; high-low >= maxDense {
		clear(e.place)
		for i := range samples {
			e.place[samples[i].Series] = 0
		}
		e.ids = slices.AppendSeq(e.ids, maps.Keys(e.place))
		slices.Sort(e.ids)
		return
	}
	e.dense = resize(e.dense, int(high-low)+1)
	clear(e.dense)
	for i := range samples {
		e.dense[samples[i].Series-low] = 1
	}
	for i, there := range e.dense {
		if there != 0 {
			e.ids = append(e.ids, low+journal.SeriesID(i))
		}
	}
}

func (e *Encoder) column(id journal.SeriesID) *column {
	if len(e.dense) > 0 {
		return e.series[e.dense[id-e.lowest]]
	}
	return e.series[e.place[id]]
}

// joins says that a sample goes on with the message of the one before: its place in the slot then tells its index.
func joins(samples []journal.Sample, i int) bool {
	s, p := &samples[i], &samples[i-1]
	return s.Index == p.Index+1 && s.Series > p.Series && s.Received == p.Received && s.Historical == p.Historical && s.Birth == p.Birth
}

// add puts one sample into its series, and into the open slot if it joins it.
func (e *Encoder) add(c *column, s *journal.Sample, joins bool) error {
	at := int64(s.At)
	if n := len(e.slotAt); !joins || far(at, e.slotAt[n-1]) {
		e.slotAt = append(e.slotAt, at)
		e.slotReceived = append(e.slotReceived, int64(s.Received)-at)
		e.slotFlags = append(e.slotFlags, int64(flags(s)))
		if n == 0 {
			e.slotIndex = append(e.slotIndex, 0)
		} else {
			e.slotIndex = append(e.slotIndex, int64(s.Index-e.maxIndex)-1)
		}
	}
	slot := len(e.slotAt) - 1
	n := len(c.at)
	if n == 0 {
		if c.kind = s.Value.Type; c.kind > maxType {
			return fmt.Errorf("%w: series %d", ErrMixed, c.id)
		}
	} else if c.kind != s.Value.Type {
		return fmt.Errorf("%w: series %d", ErrMixed, c.id)
	} else if at <= c.at[n-1] {
		c.ascending = false
	}
	c.slots, c.at = append(c.slots, uint32(slot)), append(c.at, at)
	if at != e.slotAt[slot] {
		c.anyOffset = true
	}
	if s.Quality != journal.Good || len(c.quality) > 0 {
		c.addQuality(n, s.Quality)
	}
	switch {
	case s.Value.Null:
		c.addNull(n)
	case isText(c.kind) || len(s.Value.Bytes) > 0:
		c.texts = append(c.texts, s.Value.Bytes)
	default:
		c.nums = append(c.nums, s.Value.Num)
	}
	e.first, e.last, e.maxIndex = min(e.first, s.At), max(e.last, s.At), s.Index
	return nil
}

func far(a, b int64) bool { return a-b > slotReach || b-a > slotReach }

func flags(s *journal.Sample) (f uint8) {
	if s.Historical {
		f |= Historical
	}
	if s.Birth {
		f |= Birth
	}
	return f
}

// addQuality puts the quality of sample n into the runs, which begin when the first is not Good.
func (c *column) addQuality(n int, q journal.Quality) {
	if len(c.quality) == 0 && n > 0 {
		c.quality = append(c.quality, QualityRun{journal.Good, n})
	}
	if k := len(c.quality) - 1; k >= 0 && c.quality[k].Quality == q {
		c.quality[k].Count++
		return
	}
	c.quality = append(c.quality, QualityRun{q, 1})
}

func (c *column) addNull(n int) {
	for len(c.null) <= n/8 {
		c.null = append(c.null, 0)
	}
	c.null[n/8] |= 1 << (n % 8)
	c.nulls++
}

func countBits(b []byte) (n int) {
	for _, x := range b {
		n += bits.OnesCount8(x)
	}
	return n
}
