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
	hasStats    bool
	known       known // of those that have
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
	at           []int64 // of each slot; since version 3
	row          []int64 // of the directory
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
	*b = Block{Entries: b.Entries[:0], stats: b.stats, at: b.at, row: b.row}
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
	*b = Block{Entries: b.Entries[:0], stats: b.stats, at: b.at, row: b.row}
}

func (b *Block) readHead(r, payloads *reader) bool {
	series := r.count(MaxSeries)
	b.count = r.count(MaxSamples)
	b.slots = r.count(b.count)
	b.First = journal.Millis(r.svarint())
	b.Last = b.First + journal.Millis(r.uvarint())
	b.FirstIndex = journal.Index(r.uvarint())
	b.LastIndex = b.FirstIndex + journal.Index(r.uvarint())
	if r.bad || series == 0 || series > b.count || b.slots == 0 {
		return false
	}
	b.Entries, b.stats = resize(b.Entries, series), resize(b.stats, series)
	clear(b.Entries)
	if b.version < 3 {
		return b.readDirectory2(r, payloads) && len(payloads.b) == 0
	}
	r.tight = true
	b.at = resize(b.at, b.slots)
	r.column(b.at)
	return !r.bad && b.readDirectory(r, payloads) && !payloads.bad && len(payloads.b) == 0
}

// Find returns the place of a series in Entries.
func (b *Block) Find(id journal.SeriesID) (i int, ok bool) {
	i = sort.Search(len(b.Entries), func(i int) bool { return b.Entries[i].Series >= id })
	return i, i < len(b.Entries) && b.Entries[i].Series == id
}

// rows is memory for a column of the directory.
func (b *Block) rows(n int) []int64 {
	b.row = resize(b.row, n)
	return b.row
}
