package chunk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"sort"

	"edge/historian/journal"
)

// MaxRows is how many rows a series of a rollup block has at most.
const MaxRows = 60

const (
	rollupMagic   = 0xEC
	rollupVersion = 2
)

// ErrRows is what EncodeRollups answers rows with that are not as its comment says.
var ErrRows = errors.New("chunk: rows that make no rollup block")

// Span is the time that a rollup block tells of: Steps (1 to 60) of Step ms from Start on.
type Span struct {
	Start, Step journal.Millis
	Steps       int
}

// End is where the span ends.
func (s Span) End() journal.Millis { return s.Start + s.Step*journal.Millis(s.Steps) }

func (s Span) valid() bool {
	const century = 100 * 366 * 86_400_000
	return s.Steps >= 1 && s.Steps <= MaxRows && s.Step >= 1 && s.Step <= 1<<32 && s.Start >= 0 && s.Start <= 100*century
}

// Holding says what holds at the end of a block.
type Holding uint8

// Nothing; the last row's Last; a sample without a usable value.
const (
	HoldsNothing Holding = iota
	HoldsLast
	HoldsUnusable
)

// Rollups are the rows of one series in a block: one row of the whole span, or at most one for each step. They ascend by At.
type Rollups struct {
	Series  journal.SeriesID
	Rows    []Rollup
	Holds   Holding
	Quality journal.Quality // of what holds
}

// RollupBlock is a rollup block whose head was read and found good.
type RollupBlock struct {
	Span
	version byte
	series  []rollupEntry // ascending by id
}

type rollupEntry struct {
	id      journal.SeriesID
	payload []byte
}

// EncodeRollups makes a block with a new RollupEncoder.
func EncodeRollups(span Span, list []Rollups) ([]byte, error) {
	var e RollupEncoder
	return e.Encode(span, list)
}

// Encode makes a block of rows, the series ascending: Begin, Add of each, End.
func (e *RollupEncoder) Encode(span Span, list []Rollups) ([]byte, error) {
	if len(list) == 0 {
		return nil, ErrRows
	}
	e.Begin(span)
	for i := range list {
		if err := e.Add(&list[i]); err != nil {
			return nil, err
		}
	}
	return e.End(), nil
}

// Begin starts a block. What was begun before and not ended is dropped.
func (e *RollupEncoder) Begin(span Span) {
	e.span, e.count, e.last = span, 0, 0
	e.entries, e.payloads = e.entries[:0], e.payloads[:0]
}

// Add puts a series behind the others, whose numbers are lower. Counts, times and qualities come back as they were; First, Last, Min and Max
// too, unless they have more than 28 bits: then they are rounded to 28 bits of the largest of them. Sum and Integral are kept to parts of the
// values' last digit where rows are hours; of minutes, which are many, to one part in 2^14 of the widest swing of a minute among them.
// The rows become what a reader will get.
func (e *RollupEncoder) Add(s *Rollups) error {
	if !e.span.valid() || e.count == MaxSeries {
		return ErrRows
	}
	if s.Series <= e.last {
		return fmt.Errorf("%w: series %d after %d", ErrRows, s.Series, e.last)
	}
	at := len(e.payloads)
	payloads, err := e.append(e.payloads, e.span, s)
	if err != nil {
		return err
	}
	e.payloads = binary.LittleEndian.AppendUint32(payloads, crc32.Checksum(payloads[at:], castagnoli))
	e.entries = binary.AppendUvarint(e.entries, uint64(s.Series-e.last))
	e.entries = binary.AppendUvarint(e.entries, uint64(len(e.payloads)-at))
	e.last, e.count = s.Series, e.count+1
	return nil
}

// End makes the block of what was added since Begin; nil if nothing was.
func (e *RollupEncoder) End() []byte {
	if e.count == 0 {
		return nil
	}
	var space [64]byte
	head := append(space[:0], rollupMagic, rollupVersion, 0, 0, 0, 0)
	for _, x := range [...]uint64{uint64(e.span.Start), uint64(e.span.Step), uint64(e.span.Steps), uint64(e.count)} {
		head = binary.AppendUvarint(head, x)
	}
	n := len(head) + len(e.entries)
	binary.LittleEndian.PutUint32(head[2:], uint32(n))
	block := append(append(make([]byte, 0, n+4+len(e.payloads)), head...), e.entries...)
	block = binary.LittleEndian.AppendUint32(block, crc32.Checksum(block, castagnoli))
	return append(block, e.payloads...)
}

// ParseRollups reads the head of a rollup block and checks it. It keeps a reference to data.
func ParseRollups(data []byte) (*RollupBlock, error) {
	if len(data) < 10 || data[0] != rollupMagic {
		return nil, fmt.Errorf("%w: no rollup block begins here", ErrDamaged)
	}
	if data[1] == 0 || data[1] > rollupVersion {
		return nil, fmt.Errorf("%w: %d, this program knows up to %d", ErrVersion, data[1], rollupVersion)
	}
	n := int(binary.LittleEndian.Uint32(data[2:]))
	if n < 6 || n > len(data)-4 {
		return nil, fmt.Errorf("%w: head of %d bytes in a block of %d", ErrDamaged, n, len(data))
	}
	if crc32.Checksum(data[:n], castagnoli) != binary.LittleEndian.Uint32(data[n:]) {
		return nil, fmt.Errorf("%w: checksum of the head", ErrDamaged)
	}
	r, payloads := &reader{b: data[6:n]}, &reader{b: data[n+4:]}
	b := &RollupBlock{version: data[1]}
	b.Start, b.Step, b.Steps = journal.Millis(r.uvarint()), journal.Millis(r.uvarint()), r.count(MaxRows)
	series := r.count(MaxSeries)
	if r.bad || !b.valid() || series == 0 || series > len(r.b) {
		return nil, fmt.Errorf("%w: malformed head", ErrDamaged)
	}
	b.series = make([]rollupEntry, series)
	id := uint64(0)
	for i := range b.series {
		step := r.uvarint()
		if id += step; step == 0 || step > 1<<32-1 || id > 1<<32-1 {
			r.bad = true
			break
		}
		b.series[i] = rollupEntry{journal.SeriesID(id), payloads.take(r.count(len(payloads.b)))}
	}
	if r.bad || payloads.bad || len(r.b) != 0 || len(payloads.b) != 0 {
		return nil, fmt.Errorf("%w: malformed head", ErrDamaged)
	}
	return b, nil
}

// Len is the number of series.
func (b *RollupBlock) Len() int { return len(b.series) }

// Find returns the place of a series.
func (b *RollupBlock) Find(id journal.SeriesID) (i int, ok bool) {
	i = sort.Search(len(b.series), func(i int) bool { return b.series[i].id >= id })
	return i, i < len(b.series) && b.series[i].id == id
}

// Read reads series i into s, whose Rows' memory it uses again.
func (b *RollupBlock) Read(i int, s *Rollups) error {
	e := &b.series[i]
	n := len(e.payload) - 4
	if n < 1 || crc32.Checksum(e.payload[:n], castagnoli) != binary.LittleEndian.Uint32(e.payload[n:]) {
		return fmt.Errorf("%w: checksum of series %d", ErrDamaged, e.id)
	}
	s.Series = e.id
	r := rowReader{reader: reader{b: e.payload[:n]}, version: b.version}
	if !r.rollups(b.Span, s) {
		return fmt.Errorf("%w: malformed rows of series %d", ErrDamaged, e.id)
	}
	return nil
}

// The bits of a series' first byte.
const (
	rollupWhole    = 1 << iota // one row over the whole span
	rollupAbsent               // a bit for each step: there is a row
	rollupUnusable             // column: Count less Good
	rollupPartly               // column: the row's length less GoodMs
	rollupQuality              // quality runs
	rollupHolds                // HoldsLast
	rollupHoldsNot             // HoldsUnusable
	rollupHeld                 // the quality of what holds, which is not Good
)

// rowsOf fills rows with the steps that a series has rows of.
func rowsOf(span Span, whole bool, present []byte, rows []Rollup) []Rollup {
	if whole {
		return append(rows, NoRollup(span.Start, span.End()))
	}
	for i := range span.Steps {
		if present == nil || present[i/8]&(1<<(i%8)) != 0 {
			at := span.Start + journal.Millis(i)*span.Step
			rows = append(rows, NoRollup(at, at+span.Step))
		}
	}
	return rows
}

// checkRows finds rows that do not lie on the span's steps.
func checkRows(span Span, s *Rollups) (whole bool, err error) {
	rows := s.Rows
	if len(rows) == 0 || len(rows) > span.Steps {
		return false, fmt.Errorf("%w: %d rows of series %d", ErrRows, len(rows), s.Series)
	}
	whole = len(rows) == 1 && rows[0].At == span.Start && rows[0].Until == span.End()
	for i := range rows {
		r := &rows[i]
		in := whole || r.At >= span.Start && r.Until <= span.End() && (r.At-span.Start)%span.Step == 0 && r.Until == r.At+span.Step
		if !in || i > 0 && r.At < rows[i-1].Until || r.Good < 0 || r.Good > r.Count || r.Count > MaxRollupCount || r.GoodMs < 0 ||
			r.GoodMs > r.Until-r.At {
			return false, fmt.Errorf("%w: %+v of series %d", ErrRows, *r, s.Series)
		}
	}
	return whole, nil
}

// MaxRollupCount bounds the samples of a row.
const MaxRollupCount = 1 << 40
