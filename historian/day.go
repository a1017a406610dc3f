package historian

import (
	"encoding/binary"
	"fmt"
	"time"

	"edge/historian/chunk"
	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

// The buckets of a day file. FORMAT.md draws their rows.
var (
	bucketMeta   = []byte("meta")   // name: value
	bucketSeries = []byte("series") // id: the catalog's row, so that a day file can be read alone
	bucketBlock  = []byte("blk")    // unit, group: block
	bucketLate   = []byte("late")   // flush, group: block
	bucketFlush  = []byte("flush")  // flush: what it wrote
	bucketEvent  = []byte("evt")    // index: event
	bucketLife   = []byte("life")   // owner, time, index: births, deaths and gaps again, by whom they concern
	bucketMinute = []byte("r1m")    // hour start, group: 1-minute rollups; since version 2
	bucketObject = []byte("obj")    // hash: a large value; since version 2
)

// dayKind is part/YYYY-MM-DD.db: everything of one UTC day.
var dayKind = &fileKind{
	version:  fileVersion,
	buckets:  [][]byte{bucketMeta, bucketSeries, bucketBlock, bucketLate, bucketFlush, bucketEvent, bucketLife},
	added:    [][]byte{bucketMinute, bucketObject},
	optional: [][]byte{bucketBirth, bucketSaid},
	upgrade:  upgradeDay,
	layout:   dayLayout,
	unit:     func(t time.Time) int64 { return dayOf(millis(t)) },
	start:    dayStart,
}

const dayLayout = "2006-01-02"

// The rows of meta.
var (
	metaVersion   = []byte("version")
	metaPosition  = []byte("position")
	metaTotals    = []byte("totals")
	metaClock     = []byte("clock")     // of catalog.db: the time, see timekeeper
	metaRewritten = []byte("rewritten") // how many times, for its late samples
	metaThin      = []byte("thin")      // how many samples retention took
	metaAgain     = []byte("again")     // nothing: a file of the day was removed before
)

// totals count what a day file holds.
type totals struct {
	samples                 uint64
	firstIndex, lastIndex   journal.Index // of samples
	firstEvent, lastEvent   journal.Index
	blockBytes, lateSamples uint64
}

func (t *totals) addIndex(first, last journal.Index) {
	if t.firstIndex == 0 || first < t.firstIndex {
		t.firstIndex = first
	}
	t.lastIndex = max(t.lastIndex, last)
}

func (t *totals) addEvent(i journal.Index) {
	if t.firstEvent == 0 || i < t.firstEvent {
		t.firstEvent = i
	}
	t.lastEvent = max(t.lastEvent, i)
}

func (t totals) holdsFrom(i journal.Index) bool { return t.samples > 0 && t.lastIndex >= i }

func (t totals) bytes() (b []byte) {
	for _, x := range [...]uint64{t.samples, uint64(t.firstIndex), uint64(t.lastIndex), uint64(t.firstEvent), uint64(t.lastEvent),
		t.blockBytes, t.lateSamples} {
		b = binary.AppendUvarint(b, x)
	}
	return b
}

func readTotals(b []byte) (t totals, err error) {
	f := &journal.Fields{B: b}
	t.samples = f.Uvarint()
	t.firstIndex, t.lastIndex = journal.Index(f.Uvarint()), journal.Index(f.Uvarint())
	t.firstEvent, t.lastEvent = journal.Index(f.Uvarint()), journal.Index(f.Uvarint())
	t.blockBytes, t.lateSamples = f.Uvarint(), f.Uvarint()
	return t, end(f)
}

// flushRow is what a day file tells of one flush: the samples that it wrote have indices from <= index <= applied.
type flushRow struct {
	day                       int64
	number                    uint64
	from, checkpoint, applied journal.Index
	units                     []uint32 // of its blocks
	replaced                  int64    // of the file that it was read of
}

func (r *flushRow) bytes() []byte {
	b := binary.AppendUvarint(nil, uint64(r.from))
	b = binary.AppendUvarint(b, uint64(r.checkpoint))
	b = binary.AppendUvarint(b, uint64(r.applied))
	for _, u := range r.units {
		b = binary.AppendUvarint(b, uint64(u))
	}
	return b
}

// readFlushRow reads a row of a file of the given version. Version 1 had no from: it may be anything.
func readFlushRow(day int64, version uint32, k, v []byte) (r flushRow, err error) {
	f := &journal.Fields{B: v}
	if len(k) != 8 {
		return r, errMalformed
	}
	r.day, r.number = day, binary.BigEndian.Uint64(k)
	if version > 1 {
		r.from = journal.Index(f.Uvarint())
	}
	r.checkpoint, r.applied = journal.Index(f.Uvarint()), journal.Index(f.Uvarint())
	for len(f.B) > 0 && !f.Bad {
		r.units = append(r.units, uint32(f.Uvarint()))
	}
	return r, end(f)
}

// upgradeDay makes the newest version of a day file: since 2 each flush row tells from which index on the flush has samples; since 3
// blocks may be of version 3, and those of rollups of their version 2; since 4 there are sums.
func upgradeDay(tx *bolt.Tx, of uint32) error {
	if of > 1 {
		return nil
	}
	flush := tx.Bucket(bucketFlush)
	var rows []flushRow
	err := flush.ForEach(func(k, v []byte) error {
		r, err := readFlushRow(0, 1, k, v)
		if err == nil {
			r.from = lowestOf(tx, &r)
			rows = append(rows, r)
		}
		return nil // a malformed row is as useless after as it was before
	})
	if err != nil {
		return err
	}
	for _, r := range rows {
		if err := put(flush, bucketFlush, big8(r.number), r.bytes()); err != nil {
			return fmt.Errorf("flush %d: %w", r.number, err)
		}
	}
	return nil
}

// lowestOf is the lowest index in the blocks that a flush wrote; behind its end if there are none.
func lowestOf(tx *bolt.Tx, r *flushRow) journal.Index {
	from := r.applied + 1
	look := func(v []byte) {
		b, err := chunk.Parse(v)
		switch {
		case err != nil:
			from = 0 // not known
		default:
			from = min(from, b.FirstIndex)
		}
	}
	c := tx.Bucket(bucketBlock).Cursor()
	for _, u := range r.units {
		for k, v := c.Seek(big4(u)); len(k) == 8 && binary.BigEndian.Uint32(k) == u; k, v = c.Next() {
			look(v)
		}
	}
	c = tx.Bucket(bucketLate).Cursor()
	for k, v := c.Seek(big8(r.number)); len(k) == 14 && binary.BigEndian.Uint64(k) == r.number; k, v = c.Next() {
		look(v)
	}
	return from
}
