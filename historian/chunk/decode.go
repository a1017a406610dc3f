package chunk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"sort"

	"edge/historian/journal"
)

// What a damaged or unknown block is answered with.
var (
	ErrDamaged = errors.New("chunk: damaged block")
	ErrVersion = errors.New("chunk: block of a later version")
)

// Entry describes one series of a block.
type Entry struct {
	Series      journal.SeriesID
	Type        journal.DataType
	Count       int
	First, Last journal.Millis // the smallest and largest time stamp
	Ascending   bool           // the samples are strictly ascending by time
	Stats       *Stats         // nil: decode the samples
	payload     []byte
}

// Block is a block whose head was read and found good.
type Block struct {
	First, Last           journal.Millis // the smallest and largest time stamp
	FirstIndex, LastIndex journal.Index
	Entries               []Entry // ascending by Series

	count, slots int
	timeline     []byte
	line         *timeline // read when first needed
}

// timeline is the part of the head that says when messages came and who was in them.
type timeline struct {
	at, received, flags []int64
	base                []uint32   // for each slot, the place of its first sample in index order
	index               []int64    // for each slot, the index of its first sample
	in                  [][]uint32 // for each series its slots
	place               [][]uint32 // for each series' sample its place in index order
}

// Len is the number of samples.
func (b *Block) Len() int { return b.count }

// Parse reads the head of a block and checks it. It keeps a reference to data.
func Parse(data []byte) (*Block, error) {
	if len(data) < 10 || data[0] != magic {
		return nil, fmt.Errorf("%w: no block begins here", ErrDamaged)
	}
	if data[1] > version {
		return nil, fmt.Errorf("%w: %d, this program knows up to %d", ErrVersion, data[1], version)
	}
	n := int(binary.LittleEndian.Uint32(data[2:]))
	if n < 6 || n > len(data)-4 {
		return nil, fmt.Errorf("%w: head of %d bytes in a block of %d", ErrDamaged, n, len(data))
	}
	if crc32.Checksum(data[:n], castagnoli) != binary.LittleEndian.Uint32(data[n:]) {
		return nil, fmt.Errorf("%w: checksum of the head", ErrDamaged)
	}
	b := &Block{}
	head, payloads := &reader{b: data[6:n]}, &reader{b: data[n+4:]}
	if !b.readHead(head, payloads) {
		return nil, fmt.Errorf("%w: malformed head", ErrDamaged)
	}
	b.timeline = head.b
	return b, nil
}

func (b *Block) readHead(r, payloads *reader) bool {
	series := r.count(MaxSeries)
	b.count = r.count(MaxSamples)
	b.slots = r.count(b.count)
	b.First = journal.Millis(r.svarint())
	b.Last = b.First + journal.Millis(r.uvarint())
	b.FirstIndex = journal.Index(r.uvarint())
	b.LastIndex = b.FirstIndex + journal.Index(r.uvarint())
	if r.bad || series == 0 || series > len(r.b) {
		return false
	}
	b.Entries = make([]Entry, series)
	withStats := make([]bool, series)
	id, left := uint64(0), b.count
	for i := range b.Entries {
		e := &b.Entries[i]
		bits := r.byte()
		step := r.uvarint()
		if id += step; id > 1<<32-1 || step > 1<<32-1 || (step == 0 && i > 0) {
			return false
		}
		e.Series, e.Type = journal.SeriesID(id), journal.DataType(bits&maxType)
		e.Ascending, withStats[i] = bits&entryAscending != 0, bits&entryStats != 0
		e.Count = r.count(min(left, b.slots))
		left -= e.Count
		e.payload = payloads.take(r.count(len(payloads.b)))
		e.First = b.First + journal.Millis(r.uvarint())
		e.Last = e.First + journal.Millis(r.uvarint())
	}
	for i := range b.Entries {
		if withStats[i] {
			s := r.stats(b.Entries[i].Type)
			b.Entries[i].Stats = &s
		}
	}
	return !r.bad && !payloads.bad && left == 0 && len(payloads.b) == 0
}

// Find returns the place of a series in Entries.
func (b *Block) Find(id journal.SeriesID) (i int, ok bool) {
	i = sort.Search(len(b.Entries), func(i int) bool { return b.Entries[i].Series >= id })
	return i, i < len(b.Entries) && b.Entries[i].Series == id
}

// Decode appends the samples of Entries[i] to dst, in index order.
func (b *Block) Decode(dst []journal.Sample, i int) ([]journal.Sample, error) {
	at := len(dst)
	dst = append(dst, make([]journal.Sample, b.Entries[i].Count)...)
	if err := b.decode(i, func(n int) *journal.Sample { return &dst[at+n] }); err != nil {
		return dst[:at], err
	}
	return dst, nil
}

// All appends every sample to dst, in index order.
func (b *Block) All(dst []journal.Sample) ([]journal.Sample, error) {
	line, err := b.read()
	if err != nil {
		return dst, err
	}
	at := len(dst)
	dst = append(dst, make([]journal.Sample, b.count)...)
	for i := range b.Entries {
		if err := b.decode(i, func(n int) *journal.Sample { return &dst[at+int(line.place[i][n])] }); err != nil {
			return dst[:at], err
		}
	}
	return dst, nil
}

// Range appends the first limit samples with from <= Index < to, in index order.
func (b *Block) Range(dst []journal.Sample, from, to journal.Index, limit int) ([]journal.Sample, error) {
	line, err := b.read()
	if err != nil {
		return dst, err
	}
	lo, hi := line.position(b.count, from), line.position(b.count, to)
	hi = min(hi, lo+limit)
	if lo >= hi {
		return dst, nil
	}
	at := len(dst)
	dst = append(dst, make([]journal.Sample, hi-lo)...)
	var skip journal.Sample
	for i := range b.Entries {
		place := line.place[i]
		if first := sort.Search(len(place), func(n int) bool { return int(place[n]) >= lo }); first == len(place) || int(place[first]) >= hi {
			continue
		}
		err := b.decode(i, func(n int) *journal.Sample {
			if p := int(place[n]); p >= lo && p < hi {
				return &dst[at+p-lo]
			}
			return &skip
		})
		if err != nil {
			return dst[:at], err
		}
	}
	return dst, nil
}

// position is the place in index order of the first sample whose index is at least i.
func (t *timeline) position(count int, i journal.Index) int {
	slot := sort.Search(len(t.index), func(k int) bool { return journal.Index(t.index[k]) > i })
	if slot == 0 {
		return 0
	}
	end := count
	if slot < len(t.base) {
		end = int(t.base[slot])
	}
	inside := i - journal.Index(t.index[slot-1]) // indices run on inside a slot
	return min(int(t.base[slot-1])+int(min(inside, MaxSamples)), end)
}

// decode writes the samples of one series where put says.
func (b *Block) decode(i int, put func(n int) *journal.Sample) error {
	line, err := b.read()
	if err != nil {
		return err
	}
	e := &b.Entries[i]
	c, err := e.read()
	if err != nil {
		return err
	}
	value := 0
	for n, slot := range line.in[i] {
		s := put(n)
		*s = journal.Sample{
			Index:    journal.Index(line.index[slot]) + journal.Index(line.place[i][n]-line.base[slot]),
			Series:   e.Series,
			At:       journal.Millis(line.at[slot]),
			Received: journal.Millis(line.at[slot] + line.received[slot]),
			Value:    journal.Value{Type: e.Type},
			Quality:  journal.Good,

			Historical: line.flags[slot]&flagHistorical != 0,
			Birth:      line.flags[slot]&flagBirth != 0,
		}
		if c.offset != nil {
			s.At += journal.Millis(c.offset[n])
		}
		if c.quality != nil {
			s.Quality = c.quality[n]
		}
		switch {
		case c.null != nil && c.null[n/8]&(1<<(n%8)) != 0:
			s.Value.Null = true
			continue
		case c.texts != nil:
			s.Value.Bytes = bytes.Clone(c.texts[value])
		default:
			s.Value.Num = c.nums[value]
		}
		value++
	}
	return nil
}

// columns are the payload of one series.
type columns struct {
	null    []byte
	nums    []uint64
	texts   [][]byte
	offset  []int64
	quality []journal.Quality
}

func (e *Entry) read() (c columns, err error) {
	n := len(e.payload) - 4
	if n < 1 || crc32.Checksum(e.payload[:n], castagnoli) != binary.LittleEndian.Uint32(e.payload[n:]) {
		return c, fmt.Errorf("%w: checksum of series %d", ErrDamaged, e.Series)
	}
	r := &reader{b: e.payload[:n]}
	head := r.byte()
	values := e.Count
	if head&payloadNulls != 0 {
		c.null = r.take((e.Count + 7) / 8)
		values -= countBits(c.null)
	}
	switch form := head & (payloadOffsets - 1); {
	case values < 0:
		r.bad = true
	case form == valText || form == valDict:
		c.texts = make([][]byte, values)
		r.texts(form, c.texts)
	default:
		c.nums = make([]uint64, values)
		r.numbers(form, e.Type, c.nums)
	}
	if head&payloadOffsets != 0 && !r.bad {
		c.offset = make([]int64, e.Count)
		r.column(c.offset)
	}
	if head&payloadQuality != 0 && !r.bad {
		c.quality = r.runs(e.Count)
	}
	if r.bad || len(r.b) != 0 {
		return c, fmt.Errorf("%w: malformed series %d", ErrDamaged, e.Series)
	}
	return c, nil
}

func (r *reader) runs(n int) []journal.Quality {
	out := make([]journal.Quality, 0, n)
	for len(out) < n && !r.bad {
		q, run := r.count(1<<16-1), r.count(n-len(out))
		r.bad = r.bad || run == 0
		for range run {
			out = append(out, journal.Quality(q))
		}
	}
	return out
}

// read decodes the timeline once.
func (b *Block) read() (*timeline, error) {
	if b.line != nil {
		return b.line, nil
	}
	r := &reader{b: b.timeline}
	column := func() []int64 {
		if r.bad {
			return nil
		}
		v := make([]int64, b.slots)
		r.column(v)
		return v
	}
	t := &timeline{at: column(), received: column(), flags: column(), index: column()}
	for _, e := range b.Entries {
		if r.bad {
			break
		}
		slots := make([]uint32, e.Count)
		r.slots(slots, b.slots)
		t.in = append(t.in, slots)
	}
	if r.bad || len(r.b) != 0 {
		return nil, fmt.Errorf("%w: malformed timeline", ErrDamaged)
	}
	b.number(t)
	b.line = t
	return t, nil
}

// number turns what lies between the slots into each sample's place and each slot's index.
func (b *Block) number(t *timeline) {
	size := make([]uint32, b.slots)
	for _, slots := range t.in {
		place := make([]uint32, len(slots))
		for n, slot := range slots {
			place[n] = size[slot] // among those of its slot; completed below
			size[slot]++
		}
		t.place = append(t.place, place)
	}
	t.base = make([]uint32, b.slots)
	next, index := uint32(0), int64(b.FirstIndex)
	for k := range t.base {
		t.base[k] = next
		index += t.index[k]
		t.index[k] = index
		next += size[k]
		index += int64(size[k])
	}
	for i, slots := range t.in {
		for n, slot := range slots {
			t.place[i][n] += t.base[slot]
		}
	}
}
