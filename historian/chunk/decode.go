package chunk

import (
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
	form        byte           // of the values, and what else the payload has
	scale       uint64         // of decimals and lattices
	payload     []byte
}

// Block is a block whose head was read and found good.
type Block struct {
	First, Last           journal.Millis // the smallest and largest time stamp
	FirstIndex, LastIndex journal.Index
	Entries               []Entry // ascending by Series

	// Objects gives the value that a reference stands for; nil: references are left as they are. Set before reading.
	Objects func(ref []byte) ([]byte, error)

	version      byte
	count, slots int
	timeline     []byte
	line         *Timeline // read when Decode, All or Range first need it
	columns      *Columns
	stats        []Stats // what Entries point to
}

// Len is the number of samples.
func (b *Block) Len() int { return b.count }

// Parse reads the head of a block and checks it. It keeps a reference to data.
func Parse(data []byte) (*Block, error) {
	b := &Block{}
	if err := b.Reset(data); err != nil {
		return nil, err
	}
	return b, nil
}

// Reset is Parse into the memory of a block that is done with: nothing that it gave may be used any more. After an error it
// has no series.
func (b *Block) Reset(data []byte) error {
	*b = Block{Entries: b.Entries[:0], stats: b.stats}
	if len(data) < 10 || data[0] != magic {
		return fmt.Errorf("%w: no block begins here", ErrDamaged)
	}
	if data[1] == 0 || data[1] > version {
		return fmt.Errorf("%w: %d, this program knows up to %d", ErrVersion, data[1], version)
	}
	n := int(binary.LittleEndian.Uint32(data[2:]))
	if n < 6 || n > len(data)-4 {
		return fmt.Errorf("%w: head of %d bytes in a block of %d", ErrDamaged, n, len(data))
	}
	if crc32.Checksum(data[:n], castagnoli) != binary.LittleEndian.Uint32(data[n:]) {
		return fmt.Errorf("%w: checksum of the head", ErrDamaged)
	}
	b.version = data[1]
	head, payloads := &reader{b: data[6:n]}, &reader{b: data[n+4:]}
	if !b.readHead(head, payloads) {
		b.Entries = b.Entries[:0]
		return fmt.Errorf("%w: malformed head", ErrDamaged)
	}
	b.timeline = head.b
	return nil
}

// Release forgets the data, and keeps the memory for Reset.
func (b *Block) Release() {
	clear(b.Entries[:cap(b.Entries)])
	*b = Block{Entries: b.Entries[:0], stats: b.stats}
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
	b.Entries, b.stats = resize(b.Entries, series), resize(b.stats, series)
	clear(b.Entries)
	var withStats []bool
	if b.version == 1 {
		withStats = make([]bool, series)
	}
	id, left := uint64(0), b.count
	for i := range b.Entries {
		e := &b.Entries[i]
		bits := r.byte()
		if b.version > 1 {
			e.form = r.byte()
		}
		step := r.uvarint()
		if id += step; id > 1<<32-1 || step > 1<<32-1 || (step == 0 && i > 0) {
			return false
		}
		e.Series, e.Type = journal.SeriesID(id), journal.DataType(bits&maxType)
		e.Ascending = bits&entryAscending != 0
		e.Count = r.count(min(left, b.slots))
		left -= e.Count
		e.payload = payloads.take(r.count(len(payloads.b)))
		e.First = b.First + journal.Millis(r.uvarint())
		e.Last = b.Last - journal.Millis(r.uvarint())
		if b.version > 1 {
			if e.scale = r.scale(e.form); r.bad {
				return false
			}
			if bits&entryStats != 0 {
				e.Stats = &b.stats[i]
				r.stats(e.Stats, e)
			}
		} else {
			e.Last = e.First + (b.Last - e.Last)
			withStats[i] = bits&entryStats != 0
		}
	}
	for i, has := range withStats {
		if has {
			r.skipStats1(b.Entries[i].Type)
		}
	}
	return !r.bad && !payloads.bad && left == 0 && len(payloads.b) == 0
}

// Find returns the place of a series in Entries.
func (b *Block) Find(id journal.SeriesID) (i int, ok bool) {
	i = sort.Search(len(b.Entries), func(i int) bool { return b.Entries[i].Series >= id })
	return i, i < len(b.Entries) && b.Entries[i].Series == id
}
