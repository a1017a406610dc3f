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

	memo    *memo
	form    byte   // of the values, and what else the payload has
	scale   uint64 // of decimals and lattices
	payload []byte
	stats   bool     // it has statistics
	exact   intStats // these, in the numbers that are stored
	ints    []int64  // those numbers
}

// reset makes it the column of another series; its memory is used again.
func (c *column) reset(id journal.SeriesID, kind journal.DataType) {
	*c = column{id: id, kind: kind, ascending: true, slots: c.slots[:0], at: c.at[:0], offset: c.offset[:0], null: c.null[:0],
		quality: c.quality[:0], nums: c.nums[:0], texts: c.texts[:0], payload: c.payload[:0], ints: c.ints[:0]}
}

// before is what tells whether a sample goes on with the message of the one before.
type before struct {
	place    int
	received journal.Millis
	flags    uint8
}

// Begin starts a block of series, ascending by number, each of which has a sample. What was begun before and not ended is dropped.
func (e *Encoder) Begin(series []journal.SeriesID) error {
	if len(series) > MaxSeries {
		return ErrLimit
	}
	if e.memos == nil {
		e.memos = make(map[journal.SeriesID]*memo)
	}
	e.slotAt, e.slotReceived, e.slotIndex, e.slotFlags = e.slotAt[:0], e.slotReceived[:0], e.slotIndex[:0], e.slotFlags[:0]
	e.minIndex, e.maxIndex, e.count, e.before, e.want = 0, 0, 0, before{}, 0
	for len(e.spare) < len(series) {
		e.spare = append(e.spare, &column{})
	}
	e.series = e.spare[:len(series)]
	for i, id := range series {
		if i > 0 && id <= series[i-1] {
			return ErrOrder
		}
		c := e.series[i]
		if c.reset(id, maxType+1); e.memos[id] == nil {
			e.memos[id] = new(memo)
		}
		c.memo = e.memos[id]
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
		if e.place == nil {
			e.place = make(map[journal.SeriesID]int)
		}
		clear(e.place)
		for i := range samples {
			e.place[samples[i].Series] = 0
		}
		e.ids = slices.AppendSeq(e.ids, maps.Keys(e.place))
		slices.Sort(e.ids)
		for i, id := range e.ids {
			e.place[id] = i
		}
		return
	}
	e.dense = resize(e.dense, int(high-low)+1)
	clear(e.dense)
	for i := range samples {
		e.dense[samples[i].Series-low] = 1
	}
	for i, there := range e.dense {
		if there != 0 {
			e.dense[i] = uint16(len(e.ids))
			e.ids = append(e.ids, low+journal.SeriesID(i))
		}
	}
}

func (e *Encoder) placeOf(id journal.SeriesID) int {
	if len(e.dense) > 0 {
		return int(e.dense[id-e.lowest])
	}
	return e.place[id]
}

// Add puts a sample into the block. They come in ascending order of Index; i is the place of its series among those of Begin.
// Of s nothing is kept, but that a value's Bytes must stay until End.
func (e *Encoder) Add(i int, s *journal.Sample) error {
	c, n, err := e.next(i, s.Value.Type, arrival{s.Index, s.Received, flags(s)}, int64(s.At))
	if err != nil {
		return err
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
	e.want.sample(s)
	return nil
}

// Number is Add of a sample of a numeric type, with a value and of quality Good; flags are those of Columns.
func (e *Encoder) Number(i int, kind journal.DataType, index journal.Index, at, received journal.Millis, flags uint8, num uint64) error {
	c, n, err := e.next(i, kind, arrival{index, received, flags}, int64(at))
	if err != nil {
		return err
	}
	if len(c.quality) > 0 {
		c.addQuality(n, journal.Good)
	}
	c.nums = append(c.nums, num)
	e.want.add(index, at, received, rest(c.id, kind, journal.Good, flags, false), num)
	return nil
}

// arrival is how a sample came.
type arrival struct {
	index    journal.Index
	received journal.Millis
	flags    uint8
}

// next gives the next sample its slot, and returns its series' column, where it is the n-th.
func (e *Encoder) next(i int, kind journal.DataType, a arrival, at int64) (c *column, n int, err error) {
	switch {
	case e.count == MaxSamples:
		return nil, 0, ErrLimit
	case e.count == 0:
		e.minIndex, e.first, e.last = a.index, journal.Millis(at), journal.Millis(at)
	case a.index <= e.maxIndex:
		return nil, 0, ErrOrder
	}
	c = e.series[i]
	// One that goes on with the message of the one before has its index from its place in the slot.
	joins := e.count > 0 && a.index == e.maxIndex+1 && i > e.before.place && a.received == e.before.received && a.flags == e.before.flags
	if n := len(e.slotAt); !joins || far(at, e.slotAt[n-1]) {
		e.slotAt = append(e.slotAt, at)
		e.slotReceived = append(e.slotReceived, int64(a.received)-at)
		e.slotFlags = append(e.slotFlags, int64(a.flags))
		if n == 0 {
			e.slotIndex = append(e.slotIndex, 0)
		} else {
			e.slotIndex = append(e.slotIndex, int64(a.index-e.maxIndex)-1)
		}
	}
	slot := len(e.slotAt) - 1
	if n = len(c.at); n == 0 {
		if c.kind = kind; c.kind > maxType {
			return nil, 0, fmt.Errorf("%w: series %d", ErrMixed, c.id)
		}
	} else if c.kind != kind {
		return nil, 0, fmt.Errorf("%w: series %d", ErrMixed, c.id)
	} else if at <= c.at[n-1] {
		c.ascending = false
	}
	c.slots, c.at = append(c.slots, uint32(slot)), append(c.at, at)
	if at != e.slotAt[slot] {
		c.anyOffset = true
	}
	e.first, e.last, e.maxIndex = min(e.first, journal.Millis(at)), max(e.last, journal.Millis(at)), a.index
	e.before = before{i, a.received, a.flags}
	e.count++
	return c, n, nil
}

// complete sees that there is something of every series.
func (e *Encoder) complete() error {
	if e.count == 0 {
		return ErrLimit
	}
	for _, c := range e.series {
		if len(c.at) == 0 {
			return fmt.Errorf("%w: series %d", ErrNone, c.id)
		}
		if len(c.nums) > 0 && (len(c.texts) > 0 || isText(c.kind)) {
			return fmt.Errorf("%w: series %d", ErrMixed, c.id)
		}
	}
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
