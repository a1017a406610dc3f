package chunk

import (
	"encoding/binary"
	"errors"
	"hash/crc32"

	"edge/historian/journal"
)

// The limits of one block. A damaged block cannot make a reader allocate more.
const (
	MaxSamples = 1 << 17
	MaxSeries  = 1 << 12
)

const (
	magic     = 0xEB
	version   = 3
	maxType   = 63
	slotReach = 1000 // ms; a sample whose time differs more from its message's opens a slot of its own
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// What Encode refuses.
var (
	ErrOrder = errors.New("chunk: samples are not in ascending index order")
	ErrLimit = errors.New("chunk: too many samples or series for one block")
	ErrMixed = errors.New("chunk: one series holds values of several types")
	ErrNone  = errors.New("chunk: a series of the block has no sample")
	ErrLossy = errors.New("chunk: a block did not decode to what was encoded")
)

// Encoder makes blocks and uses its memory again for the next, at most as much as a few of the largest blocks need. It also remembers
// of each series how its values were scaled, which is found sooner then. It belongs to one goroutine. The zero value is ready.
//
// A block is made of a list by Encode, or sample by sample by Begin, Add and End.
type Encoder struct {
	memos map[journal.SeriesID]*memo

	// Of the block that is being made.
	first, last          journal.Millis // of all samples
	minIndex, maxIndex   journal.Index
	count                int
	series               []*column // ascending by id
	slotAt, slotReceived []int64   // Received less the slot's time
	slotIndex, slotFlags []int64   // indices between the last of the slot before and the first of this
	before               before
	want                 digest

	spare  []*column
	ids    []journal.SeriesID
	place  map[journal.SeriesID]int // of a series in series
	dense  []uint16                 // the same by id less the lowest, when the ids lie close together
	lowest journal.SeriesID
	work   scratch
	line   Timeline // of the block when it is read again
	read   Columns
}

// Encode makes a block of samples with a new Encoder.
func Encode(samples []journal.Sample) ([]byte, error) {
	var e Encoder
	return e.Encode(samples)
}

// Encode makes a block of samples, which are in ascending order of Index and may be in any order of time. The samples of
// one series have one type. Nothing of samples is kept; a null value's Num and Bytes are not stored.
func (e *Encoder) Encode(samples []journal.Sample) ([]byte, error) {
	if len(samples) == 0 || len(samples) > MaxSamples {
		return nil, ErrLimit
	}
	e.findIDs(samples)
	if err := e.Begin(e.ids); err != nil {
		return nil, err
	}
	for i := range samples {
		if err := e.Add(e.placeOf(samples[i].Series), &samples[i]); err != nil {
			e.forget()
			return nil, err
		}
	}
	return e.End()
}

// End makes the block of what was added since Begin, decodes it and compares.
func (e *Encoder) End() ([]byte, error) {
	defer e.forget()
	if err := e.complete(); err != nil {
		return nil, err
	}
	e.centre()
	for _, plain := range [...]bool{false, true} {
		block := e.build(plain)
		if e.same(block) {
			return block, nil
		}
	}
	return nil, ErrLossy
}

// forget lets go of the texts of the samples, and of the memory when blocks whose long series stood in different places left too much.
func (e *Encoder) forget() {
	for _, c := range e.series {
		clear(c.texts)
		c.texts = c.texts[:0]
	}
	held := 0
	for _, c := range e.spare {
		held += cap(c.at)
	}
	if held > maxHeld {
		e.series, e.spare = nil, nil
	}
}

// maxHeld is for how many samples an Encoder keeps memory.
const maxHeld = 3 * MaxSamples

// same decodes the block and compares it with what was added.
func (e *Encoder) same(block []byte) bool {
	b, err := Parse(block)
	if err != nil || b.Len() != e.count || b.Timeline(&e.line) != nil {
		return false
	}
	got := digest(0)
	for i := range b.Entries {
		if b.Complete(i, &e.line, &e.read) != nil {
			return false
		}
		got.columns(&e.read)
	}
	return got == e.want
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

// build writes the block: head, its checksum, payloads.
func (e *Encoder) build(plain bool) []byte {
	size := 0
	for _, c := range e.series {
		e.encode(c, plain)
		c.payload = binary.LittleEndian.AppendUint32(c.payload, crc32.Checksum(c.payload, castagnoli))
		size += len(c.payload)
	}
	head := e.header(append(e.work.head[:0], make([]byte, 6)...))
	head = e.work.appendTimes(head, e.slotAt)
	head = e.directory(head)
	head = e.timeline(head)
	e.work.head = head
	head[0], head[1] = magic, version
	binary.LittleEndian.PutUint32(head[2:], uint32(len(head)))
	block := append(make([]byte, 0, len(head)+4+size), head...)
	block = binary.LittleEndian.AppendUint32(block, crc32.Checksum(head, castagnoli))
	for _, c := range e.series {
		block = append(block, c.payload...)
	}
	return block
}

func (e *Encoder) header(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(e.series)))
	dst = binary.AppendUvarint(dst, uint64(e.count))
	dst = binary.AppendUvarint(dst, uint64(len(e.slotAt)))
	dst = appendSvarint(dst, int64(e.first))
	dst = binary.AppendUvarint(dst, uint64(e.last-e.first))
	dst = binary.AppendUvarint(dst, uint64(e.minIndex))
	return binary.AppendUvarint(dst, uint64(e.maxIndex-e.minIndex))
}

// encode writes the payload of one series: nulls, values, then its own times and qualities where they differ from the rule.
func (e *Encoder) encode(c *column, plain bool) {
	dst := c.payload[:0]
	c.form, c.scale, c.stats = 0, 0, false
	if c.nulls > 0 {
		c.form |= payloadNulls
		for len(c.null) < (len(c.at)+7)/8 {
			c.null = append(c.null, 0)
		}
		dst = append(dst, c.null...)
	}
	if len(c.texts) > 0 || isText(c.kind) {
		dst = e.texts(dst, c)
	} else {
		dst = e.numbers(dst, c, plain)
	}
	if c.anyOffset {
		c.form |= payloadOffsets
		dst = e.work.appendColumnAs(dst, c.offset, nil, &c.memo.offsets)
	}
	if len(c.quality) > 0 {
		c.form |= payloadQuality
		for _, run := range c.quality {
			dst = binary.AppendUvarint(dst, uint64(run.Quality))
			dst = binary.AppendUvarint(dst, uint64(run.Count))
		}
	}
	c.payload = dst
}
