package chunk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"slices"

	"edge/historian/journal"
)

// The limits of one block. A damaged block cannot make a reader allocate more.
const (
	MaxSamples = 1 << 17
	MaxSeries  = 1 << 12
)

const (
	magic     = 0xEB
	version   = 1
	maxType   = 63
	minStats  = 32   // a shorter series has no statistics: decoding it is as quick
	slotReach = 1000 // ms; a sample whose time differs more from its message's opens a slot of its own
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// What Encode refuses.
var (
	ErrOrder = errors.New("chunk: samples are not in ascending index order")
	ErrLimit = errors.New("chunk: too many samples or series for one block")
	ErrMixed = errors.New("chunk: one series holds values of several types")
	ErrLossy = errors.New("chunk: a block did not decode to what was encoded")
)

// Encode makes a block of samples, which are in ascending order of Index and may be in any order of time. The samples of
// one series have one type. Nothing of samples is kept; a null value's Num and Bytes are not.
func Encode(samples []journal.Sample) ([]byte, error) {
	if len(samples) == 0 || len(samples) > MaxSamples {
		return nil, ErrLimit
	}
	e, err := gather(samples)
	if err != nil {
		return nil, err
	}
	for _, plain := range [...]bool{false, true} {
		block := e.build(plain)
		if same(block, samples) {
			return block, nil
		}
	}
	return nil, ErrLossy
}

// same decodes the block and compares every sample.
func same(block []byte, want []journal.Sample) bool {
	b, err := Parse(block)
	if err != nil || b.Len() != len(want) {
		return false
	}
	got, err := b.All(make([]journal.Sample, 0, len(want)))
	if err != nil {
		return false
	}
	for i := range got {
		if !Equal(got[i], want[i]) {
			return false
		}
	}
	return true
}

// Equal compares two samples to the bit. A null value's Num and Bytes do not count.
func Equal(a, b journal.Sample) bool {
	return a.Index == b.Index && a.Series == b.Series && a.At == b.At && a.Received == b.Received && a.Quality == b.Quality &&
		a.Historical == b.Historical && a.Birth == b.Birth && EqualValue(a.Value, b.Value)
}

// EqualValue compares two values to the bit.
func EqualValue(a, b journal.Value) bool {
	return a.Type == b.Type && a.Null == b.Null && (a.Null || a.Num == b.Num && string(a.Bytes) == string(b.Bytes))
}

// encoder holds the samples by slot and by series.
type encoder struct {
	first, last          journal.Millis // of all samples
	minIndex, maxIndex   journal.Index
	count                int
	series               []*column // ascending by id
	slotAt, slotReceived []int64   // Received less the slot's time
	slotIndex, slotFlags []int64   // indices between the last of the slot before and the first of this
}

// column holds the samples of one series, in index order.
type column struct {
	id        journal.SeriesID
	kind      journal.DataType
	slots     []uint32
	at        []int64
	offset    []int64 // At less the slot's
	null      []bool
	quality   []journal.Quality
	nums      []uint64 // of values that are not null
	texts     [][]byte
	anyOffset bool
	anyNull   bool
	anyBad    bool
	ascending bool // strictly, by time
}

func gather(samples []journal.Sample) (*encoder, error) {
	byID := make(map[journal.SeriesID]*column)
	for i := range samples {
		s := &samples[i]
		c := byID[s.Series]
		if c == nil {
			c = &column{id: s.Series, kind: s.Value.Type, ascending: true}
			byID[s.Series] = c
		}
		if c.kind != s.Value.Type || c.kind > maxType {
			return nil, fmt.Errorf("%w: series %d", ErrMixed, s.Series)
		}
	}
	if len(byID) > MaxSeries {
		return nil, ErrLimit
	}
	e := &encoder{minIndex: samples[0].Index, first: samples[0].At, last: samples[0].At}
	for i := range samples {
		s := &samples[i]
		if i > 0 && s.Index <= samples[i-1].Index {
			return nil, ErrOrder
		}
		e.add(byID[s.Series], s, i > 0 && joins(samples, i))
	}
	for _, c := range byID {
		if len(c.nums) > 0 && len(c.texts) > 0 {
			return nil, fmt.Errorf("%w: series %d", ErrMixed, c.id)
		}
		e.series = append(e.series, c)
	}
	slices.SortFunc(e.series, func(a, b *column) int { return int(int64(a.id) - int64(b.id)) })
	return e, nil
}

// joins says that a sample goes on with the message of the one before: its place in the slot then tells its index.
func joins(samples []journal.Sample, i int) bool {
	s, p := &samples[i], &samples[i-1]
	return s.Index == p.Index+1 && s.Series > p.Series && s.Received == p.Received && s.Historical == p.Historical && s.Birth == p.Birth
}

// add puts one sample into its series, and into the open slot if it joins it.
func (e *encoder) add(c *column, s *journal.Sample, joins bool) {
	at := int64(s.At)
	if n := len(e.slotAt); !joins || far(at, e.slotAt[n-1]) {
		e.slotAt = append(e.slotAt, at)
		e.slotReceived = append(e.slotReceived, int64(s.Received)-at)
		e.slotFlags = append(e.slotFlags, flags(s))
		if n == 0 {
			e.slotIndex = append(e.slotIndex, 0)
		} else {
			e.slotIndex = append(e.slotIndex, int64(s.Index-e.maxIndex)-1)
		}
	}
	slot := len(e.slotAt) - 1
	offset := at - e.slotAt[slot]
	if n := len(c.at); n > 0 && at <= c.at[n-1] {
		c.ascending = false
	}
	c.slots = append(c.slots, uint32(slot))
	c.at = append(c.at, at)
	c.offset = append(c.offset, offset)
	c.anyOffset = c.anyOffset || offset != 0
	c.null = append(c.null, s.Value.Null)
	c.anyNull = c.anyNull || s.Value.Null
	c.quality = append(c.quality, s.Quality)
	c.anyBad = c.anyBad || s.Quality != journal.Good
	switch {
	case s.Value.Null:
	case isText(c.kind) || len(s.Value.Bytes) > 0:
		c.texts = append(c.texts, s.Value.Bytes)
	default:
		c.nums = append(c.nums, s.Value.Num)
	}
	e.first, e.last, e.maxIndex = min(e.first, s.At), max(e.last, s.At), s.Index
	e.count++
}

func far(a, b int64) bool { return a-b > slotReach || b-a > slotReach }

func flags(s *journal.Sample) (f int64) {
	if s.Historical {
		f |= Historical
	}
	if s.Birth {
		f |= Birth
	}
	return f
}

// build writes the block: head, its checksum, payloads.
func (e *encoder) build(plain bool) []byte {
	payloads := make([][]byte, len(e.series))
	for i, c := range e.series {
		p := c.payload(plain)
		payloads[i] = binary.LittleEndian.AppendUint32(p, crc32.Checksum(p, castagnoli))
	}
	head := e.header(make([]byte, 6, 1<<10))
	head = e.directory(head, payloads)
	for _, c := range e.series {
		if c.hasStats() {
			head = c.statistics().append(head, c.kind)
		}
	}
	head = e.timeline(head)
	head[0], head[1] = magic, version
	binary.LittleEndian.PutUint32(head[2:], uint32(len(head)))
	block := binary.LittleEndian.AppendUint32(head, crc32.Checksum(head, castagnoli))
	for _, p := range payloads {
		block = append(block, p...)
	}
	return block
}

func (e *encoder) header(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(e.series)))
	dst = binary.AppendUvarint(dst, uint64(e.count))
	dst = binary.AppendUvarint(dst, uint64(len(e.slotAt)))
	dst = appendSvarint(dst, int64(e.first))
	dst = binary.AppendUvarint(dst, uint64(e.last-e.first))
	dst = binary.AppendUvarint(dst, uint64(e.minIndex))
	return binary.AppendUvarint(dst, uint64(e.maxIndex-e.minIndex))
}

// The bits of a directory entry's first byte above the datatype.
const (
	entryAscending = 1 << 6
	entryStats     = 1 << 7
)

func (e *encoder) directory(dst []byte, payloads [][]byte) []byte {
	last := journal.SeriesID(0)
	for i, c := range e.series {
		b := byte(c.kind)
		if c.ascending {
			b |= entryAscending
		}
		if c.hasStats() {
			b |= entryStats
		}
		first, end := slices.Min(c.at), slices.Max(c.at)
		dst = binary.AppendUvarint(append(dst, b), uint64(c.id-last))
		dst = binary.AppendUvarint(dst, uint64(len(c.at)))
		dst = binary.AppendUvarint(dst, uint64(len(payloads[i])))
		dst = binary.AppendUvarint(dst, uint64(first-int64(e.first)))
		dst = binary.AppendUvarint(dst, uint64(end-first))
		last = c.id
	}
	return dst
}

// timeline appends the slots, then who is in which. A slot's index is said as what lies between it and the slot before.
func (e *encoder) timeline(dst []byte) []byte {
	dst = appendColumn(dst, e.slotAt)
	dst = appendColumn(dst, e.slotReceived)
	dst = appendColumn(dst, e.slotFlags)
	dst = appendColumn(dst, e.slotIndex)
	for _, c := range e.series {
		dst = appendSlots(dst, c.slots, len(e.slotAt))
	}
	return dst
}

// The bits of a payload's first byte; the form of the values is below them.
const (
	payloadOffsets = 1 << 5
	payloadNulls   = 1 << 6
	payloadQuality = 1 << 7
)

// payload appends the columns of one series: values, then its own times, nulls and quality where they differ from the rule.
func (c *column) payload(plain bool) []byte {
	var dst []byte
	if len(c.texts) > 0 || isText(c.kind) {
		dst = appendTexts(nil, c.texts)
	} else {
		dst = appendNumbers(nil, c.kind, c.nums, plain)
	}
	if c.anyOffset {
		dst[0] |= payloadOffsets
		dst = appendColumn(dst, c.offset)
	}
	if c.anyNull {
		dst[0] |= payloadNulls
		dst = c.insertNulls(dst)
	}
	if c.anyBad {
		dst[0] |= payloadQuality
		dst = appendRuns(dst, c.quality)
	}
	return dst
}

// insertNulls puts the null bits behind the first byte: the reader needs them to know how many values follow.
func (c *column) insertNulls(dst []byte) []byte {
	nulls := appendBits(nil, c.null)
	return slices.Insert(dst, 1, nulls...)
}

// appendRuns appends qualities as (code, how many in a row).
func appendRuns(dst []byte, q []journal.Quality) []byte {
	for len(q) > 0 {
		n := 1
		for n < len(q) && q[n] == q[0] {
			n++
		}
		dst = binary.AppendUvarint(dst, uint64(q[0]))
		dst = binary.AppendUvarint(dst, uint64(n))
		q = q[n:]
	}
	return dst
}

// hasStats says that the series is long, plainly numeric and in order, so that its statistics can stand for it.
func (c *column) hasStats() bool {
	if len(c.at) < minStats || !c.ascending || c.anyNull || c.anyBad || len(c.texts) > 0 {
		return false
	}
	for _, n := range c.nums {
		f, ok := journal.Value{Type: c.kind, Num: n}.Float64()
		if !ok || math.IsNaN(f) || math.IsInf(f, 0) {
			return false
		}
	}
	return true
}
